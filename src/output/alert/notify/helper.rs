//! The helper process: takes a banner as JSON on standard input, shows it, says by which service. All in it may hang:
//! whoever started it has the time limit.

use std::io::Read;

use super::super::policy::Banner;

/// What is read of the banner, bytes.
const MOST: u64 = 1 << 16;

/// Why a banner was not shown: one line.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// What came on standard input is no banner.
    #[error(
        "no banner as JSON on standard input: this command is for pause-monitor itself; try `notify-test`"
    )]
    Input,
    /// There is no desktop to show it on.
    #[cfg(not(target_os = "macos"))]
    #[error("no desktop session: {0}")]
    NoSession(String),
    /// The service refuses.
    #[error("{0}")]
    Service(String),
}

/// Reads the banner and shows it. The service's name, for a person.
///
/// # Errors
/// Where it is not shown.
pub fn run(input: impl Read) -> Result<String, HelperError> {
    let banner: Banner = serde_json::from_reader(input.take(MOST)).map_err(|_| HelperError::Input)?;
    service::show(&banner)
}

#[cfg(not(target_os = "macos"))]
mod service {
    use std::path::PathBuf;

    use notify_rust::{Hint, Notification, Urgency};

    use super::{Banner, HelperError};

    /// Over D-Bus to whatever owns `org.freedesktop.Notifications`.
    pub(super) fn show(banner: &Banner) -> Result<String, HelperError> {
        session()?;
        let failed = |error: notify_rust::error::Error| {
            let said = error.to_string();
            let hint = if said.contains("ServiceUnknown") || said.contains("was not provided") {
                "; start a notification service, such as dunst"
            } else {
                ""
            };
            HelperError::Service(format!("D-Bus: {said}{hint}"))
        };
        // notify-rust asks for answers on this thread, and zbus reads them on the runtime's.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| HelperError::Service(format!("no thread: {error}")))?;
        let _inside = runtime.enter();
        let server = notify_rust::get_server_information().map_err(failed)?;
        let capabilities = notify_rust::get_capabilities().map_err(failed)?;
        let body = if capabilities.iter().any(|name| name == "body-markup") {
            crate::human::without_markup(&banner.body)
        } else {
            banner.body.clone()
        };
        let mut notification = Notification::new();
        notification
            .appname("pause-monitor")
            .summary(&banner.title)
            .body(&body)
            .icon("dialog-warning")
            .urgency(Urgency::Normal);
        if !banner.sound.is_empty() {
            notification.hint(Hint::SoundName(banner.sound.clone()));
        }
        let handle = notification.show().map_err(failed)?;
        Ok(format!("{} {} over D-Bus, as number {}", server.name, server.version, handle.id()))
    }

    /// Nobody can be asked where there is no bus; zbus would say so less clearly.
    fn session() -> Result<(), HelperError> {
        if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty()) {
            return Ok(());
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(
            // SAFETY: it takes nothing and always succeeds.
            || PathBuf::from(format!("/run/user/{}", unsafe { libc::geteuid() })),
            PathBuf::from,
        );
        let bus = runtime.join("bus");
        if bus.exists() {
            return Ok(());
        }
        Err(HelperError::NoSession(format!(
            "DBUS_SESSION_BUS_ADDRESS is not set, and there is no {}",
            bus.display()
        )))
    }
}

#[cfg(target_os = "macos")]
mod service {
    use std::process::{Command, Stdio};
    use std::sync::Mutex;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{Banner, HelperError};

    /// NSUserNotificationCenter wants the id of an installed program; every Mac has this one.
    const BUNDLE: &str = "com.apple.Terminal";
    /// mac-notification-sys waits up to 2 s; one that takes longer hangs.
    const PATIENCE: Duration = Duration::from_millis(2_500);
    /// The text comes as arguments: nothing of it can be taken for AppleScript.
    const SCRIPT: &str = "on run argv\n\
        if (count of argv) > 2 then\n\
        display notification (item 2 of argv) with title (item 1 of argv) sound name (item 3 of argv)\n\
        else\n\
        display notification (item 2 of argv) with title (item 1 of argv)\n\
        end if\n\
        end run";

    /// By NSUserNotificationCenter, on the main thread as that asks for; where it refuses or hangs, by osascript.
    pub(super) fn show(banner: &Banner) -> Result<String, HelperError> {
        let (told, shown) = mpsc::sync_channel(1);
        // Whoever takes it says how it went; the other is too late.
        let turn = std::sync::Arc::new(Mutex::new(Some(told)));
        let fallback = std::sync::Arc::clone(&turn);
        let other = banner.clone();
        std::thread::spawn(move || {
            if shown.recv_timeout(PATIENCE).is_ok() {
                return;
            }
            let Some(_mine) = fallback.lock().ok().and_then(|mut turn| turn.take()) else { return };
            // The main thread hangs: this is the only way out.
            match osascript(&other) {
                Ok(service) => {
                    use std::io::Write;
                    let _ = writeln!(std::io::stdout(), "{service}");
                    std::process::exit(0);
                }
                Err(error) => {
                    use std::io::Write;
                    let _ = writeln!(std::io::stderr(), "{error}");
                    std::process::exit(1);
                }
            }
        });
        let refused = notify_rust::set_application(BUNDLE).err();
        if refused.is_none() {
            let mut notification = notify_rust::Notification::new();
            notification.summary(&banner.title).body(&banner.body);
            if !banner.sound.is_empty() {
                notification.sound_name(&banner.sound);
            }
            // It is delivered when the handle is dropped.
            drop(notification.show());
        }
        let Some(told) = turn.lock().ok().and_then(|mut turn| turn.take()) else {
            // osascript has taken over, and ends the process.
            loop {
                std::thread::park();
            }
        };
        let _ = told.send(());
        match refused {
            None => Ok("NSUserNotificationCenter, as Terminal".to_owned()),
            Some(_) => osascript(banner),
        }
    }

    fn osascript(banner: &Banner) -> Result<String, HelperError> {
        let mut command = Command::new("/usr/bin/osascript");
        command.args(["-e", SCRIPT, &banner.title, &banner.body]);
        if !banner.sound.is_empty() {
            command.arg(&banner.sound);
        }
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| HelperError::Service(format!("/usr/bin/osascript: {error}")))?;
        if output.status.success() {
            return Ok("osascript, as Script Editor".to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(HelperError::Service(format!("osascript ended with {}: {said}", output.status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_banner_is_refused() {
        for input in ["", "{}", "[1", "{\"title\":1}"] {
            assert!(matches!(run(input.as_bytes()), Err(HelperError::Input)), "{input}");
        }
    }
}
