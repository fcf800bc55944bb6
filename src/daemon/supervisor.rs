//! What systemd is told (sd_notify(3)): that the daemon is ready, reads its configuration again, stops; and, while the
//! sampling loop goes round, that it is well. Without systemd there is nobody to tell.

use std::ffi::OsString;
use std::future::pending;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::sleep;

use crate::clock;
use crate::output::metrics::Metrics;

/// The longest time between two signs of life. Far more often than the unit demands them: after a freeze of almost that
/// length the next one should not be due at once.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// A sampling loop that has not gone round for so long hangs, ns. It does so at least every 250 ms.
const STUCK_NS: u64 = 10_000_000_000;

/// Who started the daemon and wants to be told.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life; `None` where it does not.
    every: Option<Duration>,
}

impl Supervisor {
    /// What the environment says of it: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(&|name| std::env::var_os(name), std::process::id())
    }

    fn new(variable: &dyn Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let socket = address(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // A manager that hangs holds up nobody.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        let socket = match socket {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET ({}) can't be used: {error}", name.to_string_lossy());
                None
            }
        };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|of| of == u64::from(pid));
        let demanded = number("WATCHDOG_USEC").filter(|&us| ours && us > 0).map(Duration::from_micros);
        let every = demanded.filter(|_| socket.is_some()).map(|demanded| (demanded / 2).min(SIGN_OF_LIFE));
        Self { socket, every }
    }

    /// Says that it watches.
    pub fn ready(&self, source: &str) {
        self.tell(&format!("READY=1\nSTATUS=watching with the source {source}"));
    }

    /// Says that the configuration is read again.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::awake_ns() / 1_000));
    }

    /// Says that it stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Gives signs of life for as long as the sampling loop goes round. Never ends.
    pub async fn watchdog(&self, metrics: &Metrics) {
        let Some(every) = self.every else { return pending().await };
        loop {
            if goes_round(metrics) {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!(
                    "the sampling loop has not gone round for 10 s: systemd is told no more that all is well"
                );
            }
            sleep(every).await;
        }
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!("systemd was not told {message:?}: {error}");
        }
    }
}

/// Whether sampling is well: a recording does not say, and is.
fn goes_round(metrics: &Metrics) -> bool {
    !metrics.sampling_ended() && metrics.sampling_stuck_ns().is_none_or(|stuck_ns| stuck_ns < STUCK_NS)
}

/// The socket's address; `@` stands for the NUL in front of an abstract one.
fn address(name: &OsString) -> std::io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "it is neither a path nor an abstract name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Thresholds;
    use crate::output::metrics::{self, Peers};

    fn supervisor(variables: &[(&str, &str)]) -> Supervisor {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        Supervisor::new(&variable, 77)
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn without_a_socket_or_with_a_wrong_one_nobody_is_told() {
        for name in [None, Some(""), Some("vsock:2:1"), Some("/no/such/socket")] {
            let variables: Vec<_> = name.iter().map(|&name| ("NOTIFY_SOCKET", name)).collect();
            supervisor(&variables).ready("linux");
        }
        assert_eq!(supervisor(&[("WATCHDOG_USEC", "3000000")]).every, None);
    }

    #[test]
    fn signs_of_life_come_twice_as_often_as_they_are_demanded_and_only_where_we_are_meant() {
        let every = |usec: &str, pid: &str| {
            supervisor(&[("NOTIFY_SOCKET", "/x"), ("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)]).every
        };
        assert_eq!(every("10000000", "77"), Some(Duration::from_secs(5)));
        assert_eq!(every("180000000", "77"), Some(SIGN_OF_LIFE));
        assert_eq!(every("180000000", "78"), None);
        assert_eq!(every("no", "77"), None);
    }

    #[test]
    fn the_states_are_told_to_a_path() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let supervisor = supervisor(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        supervisor.ready("linux");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=watching with the source linux");
        supervisor.reloading();
        assert!(heard(&socket).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        supervisor.stopping();
        assert_eq!(heard(&socket), "STOPPING=1");
    }

    #[test]
    fn signs_of_life_end_with_the_sampling_loop() {
        let tiers = Thresholds { elevated: 15, critical: 50, deescalation_ns: 5_000_000_000 };
        let peers = Peers { source: "linux", ..Peers::default() };
        let (feed, metrics) = metrics::channel(&tiers, peers);
        assert!(goes_round(&metrics), "a recording does not say");
        feed.alive(clock::awake_ns());
        assert!(goes_round(&metrics));
        // Of a machine that has not been up for so long, the clock's first instant will do.
        feed.alive(clock::awake_ns().saturating_sub(STUCK_NS + 1).max(1));
        assert_eq!(goes_round(&metrics), clock::awake_ns() < STUCK_NS);
        feed.alive(clock::awake_ns());
        drop(feed);
        assert!(!goes_round(&metrics), "it has ended");
    }
}
