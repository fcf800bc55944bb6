//! Those who are told over the network: Prometheus asks us, a collector is sent to.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::{Doctor, Finding};
use crate::output::store::Reader;

/// How long a connection, and each answer on it, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest page that is read, bytes.
const PAGE: u64 = 4 << 20;

/// What to do about somebody else at our address.
const ELSEWHERE: &str = "end it, or choose another address: [http] listen";

/// Whether Prometheus would be answered.
///
/// `runs`: our daemon does.
pub(super) fn metrics(doctor: &Doctor<'_>, runs: bool) -> Finding {
    const CHECK: &str = "metrics";
    let Some(address) = address(doctor) else {
        return Finding::unknown(CHECK, "they are turned off: [http] listen is empty");
    };
    match scrape(doctor) {
        Ok(page) => match value(&page, "pause_monitor_up") {
            Some(_) if !runs => {
                let found = format!(
                    "at {address} answers a pause-monitor, but not one of {}",
                    doctor.paths.data_dir.display()
                );
                if doctor.is_left_to_the_system() {
                    return Finding::ok(CHECK, format!("{found}: the system's service's, it seems"));
                }
                Finding::warning(
                    CHECK,
                    found,
                    "another user's, or the system's: a daemon of yours needs another address, [http] listen",
                )
            }
            Some(up) => {
                let state = if up == 1.0 { "complete samples arrive" } else { "no complete samples arrive" };
                Finding::ok(CHECK, format!("Prometheus is answered at http://{address}/metrics ({state})"))
            }
            None => Finding::failed(CHECK, format!("something else answers at {address}"), ELSEWHERE),
        },
        Err(NoPage::Else(what)) => {
            Finding::failed(CHECK, format!("something else is at {address}: {what}"), ELSEWHERE)
        }
        Err(NoPage::Secured) => {
            let found = format!("{address} wants a password or TLS (web_config): not asked from here");
            Finding::unknown(CHECK, found)
        }
        Err(NoPage::Not(why)) => Finding::warning(
            CHECK,
            format!("nobody answers at http://{address}/metrics: {why}"),
            "start the daemon; if it listens elsewhere (--web.listen-address), that is not seen from here",
        ),
    }
}

/// Whether a collector of spans can be reached, and what waits for it.
pub(super) fn collector(doctor: &Doctor<'_>) -> Finding {
    const CHECK: &str = "collector";
    let Some(target) = doctor.config.otlp.target() else {
        return Finding::unknown(CHECK, "no spans are exported: [otlp] endpoint is not set");
    };
    let url = match target.url(doctor.config.otlp.protocol) {
        Ok(url) => url,
        Err(error) => return Finding::failed(CHECK, error.to_string(), "correct [otlp] endpoint"),
    };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(if target.is_tls() { 443 } else { 80 });
    let waiting = Reader::open(&doctor.paths.data_dir)
        .ok()
        .flatten()
        .and_then(|reader| reader.summary(crate::clock::unix_ns()).ok())
        .map_or(0, |summary| summary.exports.outbox_spans);
    let waits = format!("{} waiting", crate::human::count(waiting, "span"));
    match reach(&host, port) {
        Ok(()) => Finding::ok(CHECK, format!("{host}:{port} takes connections; {waits}")),
        Err(why) => Finding::warning(
            CHECK,
            format!("{host}:{port} can't be reached: {why}; {waits}"),
            "start the collector, or correct [otlp] endpoint; nothing is lost meanwhile",
        ),
    }
}

/// Looks a name up and connects, each within the time.
fn reach(host: &str, port: u16) -> Result<(), String> {
    let (send, found) = sync_channel(1);
    let host = host.to_owned();
    // A resolver that hangs is left behind.
    std::thread::spawn(move || {
        let _ = send.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    });
    let addresses = found
        .recv_timeout(PATIENCE)
        .map_err(|_| "its name is not found within 2 s".to_owned())?
        .map_err(|error| error.to_string())?;
    let mut why = "its name has no address".to_owned();
    for address in addresses.into_iter().take(4) {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

/// Why there is no page of metrics.
pub(super) enum NoPage {
    /// Somebody took the connection, and answered otherwise, or not at all.
    Else(String),
    /// It is for those with a password, or behind TLS.
    Secured,
    /// Something else, in a line.
    Not(String),
}

/// The address at which the configuration has the metrics; from here, an address for everybody is loopback.
fn address(doctor: &Doctor<'_>) -> Option<SocketAddr> {
    let mut address = doctor.config.http.listen.first()?.socket_addr();
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Some(address)
}

/// The metrics of a daemon that serves them plainly.
pub(super) fn scrape(doctor: &Doctor<'_>) -> Result<String, NoPage> {
    let not = |error: std::io::Error| NoPage::Not(error.to_string());
    if doctor.config.http.web_config.is_some() {
        return Err(NoPage::Secured);
    }
    let address = address(doctor).ok_or_else(|| NoPage::Not("they are turned off".to_owned()))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(not)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(not)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(not)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").map_err(not)?;
    let mut page = Vec::new();
    Read::take(stream, PAGE).read_to_end(&mut page).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            NoPage::Else(format!("it does not answer within {} s", PATIENCE.as_secs()))
        }
        _ => NoPage::Else(error.to_string()),
    })?;
    let page = String::from_utf8_lossy(&page).into_owned();
    match page.split_once("\r\n\r\n") {
        Some((header, body)) if header.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        Some((header, _)) if header.starts_with("HTTP/1.1 401") => Err(NoPage::Secured),
        Some((header, _)) => {
            let status = header.lines().next().unwrap_or_default();
            Err(NoPage::Else(format!("it says {}", status.chars().take(80).collect::<String>())))
        }
        None => Err(NoPage::Else("it does not speak HTTP".to_owned())),
    }
}

/// The value of a series without labels.
pub(super) fn value(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let page = "# HELP up x\nup_more 3\nup 1\nup{a=\"b\"} 2\n";
        assert_eq!((value(page, "up"), value(page, "down")), (Some(1.0), None));
    }

    #[test]
    fn a_port_where_nobody_listens_is_told() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(reach("127.0.0.1", port).is_err());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _listener = runtime.block_on(async { socket.listen(1) }).unwrap();
        assert_eq!(reach("127.0.0.1", port), Ok(()));
    }
}
