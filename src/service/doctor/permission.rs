//! The service, and what others have to permit: sudo, the sampler, the screen.

use super::{Doctor, Finding};
use crate::config::SourceKind;
use crate::service::launchd::{Agent, Job};
use crate::service::plan::Service;
use crate::service::run::{self, AT_ONCE, LAUNCHCTL, POWERMETRICS, SUDO, TAILSPIN};
use crate::service::{Platform, sudoers, systemd::Unit};

pub(super) const INSTALL: &str = "pause-monitor install";
/// The same for the system's service.
pub(super) const SYSTEMS: &str = "sudo pause-monitor install";

/// Whether the service is in place, as `install` would write it now, and active.
pub(super) fn service(doctor: &Doctor<'_>) -> Finding {
    const CHECK: &str = "service";
    let file = Service::file_of(doctor.platform, doctor.who, doctor.paths);
    if !file.exists() {
        if doctor.is_left_to_the_system() {
            return Finding::ok(
                CHECK,
                "the system's service is installed; sudo pause-monitor doctor looks at it",
            );
        }
        let found = "it is not installed: nothing watches after the next start";
        return Finding::warning(CHECK, found, doctor.install());
    }
    let file = file.display().to_string();
    let service = match Service::new(doctor.platform, doctor.who, doctor.paths) {
        Ok(service) => service,
        Err(error) => {
            let fix = "ask the program that is installed: ExecStart= names it";
            return Finding::warning(
                CHECK,
                format!("{file} is there, but not for this program: {error}"),
                fix,
            );
        }
    };
    if !service.is_in_place() {
        let found = format!("{file} is not what this version would write");
        return Finding::warning(CHECK, found, doctor.install());
    }
    match &service {
        Service::Agent(agent) => agent_state(agent, &file),
        Service::Unit(unit) => unit_state(unit, &file),
    }
}

fn agent_state(agent: &Agent, file: &str) -> Finding {
    const CHECK: &str = "service";
    match agent.job() {
        Job::Running => Finding::ok(CHECK, format!("{file} is loaded and runs")),
        Job::Ended(how) => Finding::failed(
            CHECK,
            format!("{file} is loaded, but its program does not run ({how})"),
            format!("{} says why; then: {INSTALL}", agent.log.display()),
        ),
        Job::None => Finding::failed(
            CHECK,
            format!("{file} is there, but launchd does not have it"),
            format!("log in at the screen (over ssh it can't be started), or: {INSTALL}"),
        ),
        Job::Unknown => Finding::unknown(CHECK, "launchctl does not answer"),
    }
}

fn unit_state(unit: &Unit, file: &str) -> Finding {
    const CHECK: &str = "service";
    match unit.state() {
        Ok(state) if state == "active" => Finding::ok(CHECK, format!("{file} is active")),
        Ok(state) => {
            let (journal, install) =
                if unit.system { ("journalctl -u", SYSTEMS) } else { ("journalctl --user -u", INSTALL) };
            Finding::failed(
                CHECK,
                format!("{file} is {state}"),
                format!("{journal} pause-monitor says why; then: {install}"),
            )
        }
        Err(why) => Finding::unknown(CHECK, format!("systemctl does not say: {why}")),
    }
}

/// Whether sudo permits the very command that is run.
pub(super) fn permission(doctor: &Doctor<'_>) -> Finding {
    const CHECK: &str = "permission";
    let command = &doctor.config.powermetrics.command;
    let [sudo, _, sampler @ ..] = command.as_slice() else {
        return Finding::unknown(CHECK, "[powermetrics] command does not go through sudo");
    };
    if sudo != SUDO {
        return Finding::unknown(CHECK, "[powermetrics] command does not go through sudo");
    }
    if !std::path::Path::new(SUDO).exists() {
        return Finding::failed(CHECK, format!("{SUDO} is not there"), "this is no Mac: use --source linux");
    }
    if sudoers::runs(sampler) {
        return Finding::ok(CHECK, "sudo runs powermetrics with exactly these arguments");
    }
    let file = sudoers::file(doctor.who.uid);
    let found = if std::fs::symlink_metadata(&file).is_ok() {
        format!("{file} is there, but permits another command: was the interval changed?")
    } else {
        format!("sudo does not permit powermetrics: there is no {file}")
    };
    Finding::failed(CHECK, found, INSTALL)
}

/// Whether the sampler knows what it is asked for: names are checked before it asks for root.
pub(super) fn flags(doctor: &Doctor<'_>) -> Finding {
    const CHECK: &str = "sampler flags";
    let words = doctor.config.powermetrics.command.iter().skip_while(|word| !word.ends_with("powermetrics"));
    let mut command: Vec<&str> = words.map(String::as_str).collect();
    let Some(&program) = command.first() else {
        return Finding::unknown(CHECK, "[powermetrics] command runs something else");
    };
    // Where it need not be root after all, one sample is enough.
    if let Some(at) = command.iter().position(|word| *word == "-n")
        && at + 1 < command.len()
    {
        command[at + 1] = "1";
    }
    match run::run(&command, AT_ONCE) {
        Err(error) if error.is_missing() => Finding::failed(
            CHECK,
            format!("{program} is not there"),
            format!("{POWERMETRICS} comes with macOS; elsewhere use --source linux"),
        ),
        Err(error) => Finding::unknown(CHECK, error.to_string()),
        Ok(answer) if answer.ok() || answer.err.contains("superuser") => {
            Finding::ok(CHECK, "powermetrics knows its samplers and options")
        }
        Ok(answer) => Finding::failed(
            CHECK,
            format!("powermetrics refuses its arguments: {}", answer.complaint()),
            "set [powermetrics] command to samplers that this Mac has (powermetrics --help lists them)",
        ),
    }
}

/// Whether captures of what the kernel traced can be made.
pub(super) fn tailspin(_: &Doctor<'_>) -> Finding {
    const CHECK: &str = "tailspin";
    let answer = match run::run(&[TAILSPIN, "info"], AT_ONCE) {
        Ok(answer) => answer,
        Err(error) if error.is_missing() => {
            return Finding::unknown(CHECK, "this system has no tailspin: pauses are recorded without it");
        }
        Err(error) => return Finding::unknown(CHECK, error.to_string()),
    };
    let said = format!("{} {}", answer.out, answer.err).to_lowercase();
    if !sudoers::captures_are_permitted() {
        let found = "sudo does not permit to save what the kernel traced: captures are `not permitted`";
        return Finding::warning(CHECK, found, "pause-monitor install --forensics, if you want them");
    }
    if said.contains("disabled") || said.contains("not enabled") {
        return Finding::warning(
            CHECK,
            "the kernel does not trace: there would be nothing to save",
            "sudo tailspin enable",
        );
    }
    if said.contains("enabled") {
        Finding::ok(CHECK, "the kernel traces, and sudo permits to save it")
    } else {
        Finding::unknown(
            CHECK,
            format!(
                "sudo permits to save it; whether the kernel traces it does not say: {}",
                answer.complaint()
            ),
        )
    }
}

/// Whether there is a screen that could show a notification.
pub(super) fn notifications(doctor: &Doctor<'_>) -> Finding {
    const CHECK: &str = "notifications";
    let test = "pause-monitor notify-test sends one";
    if doctor.platform == Platform::Macos {
        let session = run::run(&[LAUNCHCTL, "print", &format!("gui/{}", doctor.who.uid)], AT_ONCE);
        return match session {
            Ok(answer) if answer.ok() => {
                Finding::ok(CHECK, format!("you are logged in at the screen; {test}"))
            }
            Ok(_) => Finding::warning(
                CHECK,
                "nobody is logged in at the screen: there is none to show them",
                format!("log in there; then {test}"),
            ),
            Err(error) => Finding::unknown(CHECK, error.to_string()),
        };
    }
    if doctor.paths.root && doctor.paths.owner.is_none() {
        return Finding::unknown(
            CHECK,
            "the system's own service has no screen: use [[hooks]] or Prometheus",
        );
    }
    match session_bus(doctor.who.uid) {
        Some(bus) => Finding::ok(CHECK, format!("there is a session to show them ({bus}); {test}")),
        None => Finding::warning(
            CHECK,
            "there is no session to show them (no D-Bus): nobody is logged in at a desktop",
            format!("on a server use [[hooks]] or Prometheus; else log in at the desktop: {test}"),
        ),
    }
}

/// The user's session bus, where there seems to be one.
fn session_bus(uid: u32) -> Option<String> {
    let named = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
    let file = format!("/run/user/{uid}/bus");
    named.or_else(|| std::path::Path::new(&file).exists().then_some(file))
}

/// Whether the sampler is run at all.
pub(super) fn is_powermetrics(doctor: &Doctor<'_>) -> bool {
    doctor.config.source == SourceKind::Powermetrics
}
