//! macOS: a LaunchAgent of the user. A daemon of root's could show no notifications, and would run all of this as root;
//! an agent needs root for one command, which sudo permits.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::run::{self, AT_ONCE, LAUNCHCTL, SERVICE};
use super::{ServiceError, Who};

/// The job's name.
pub const LABEL: &str = "local.pause-monitor";
/// launchctl's exit codes, from <sys/errno.h> and launchd's own: a job that was just stopped is still there (EIO), or is on
/// its way out (EINPROGRESS, EALREADY); the user is not logged in at the screen.
const STILL_THERE: i32 = 5;
const IN_PROGRESS: [i32; 2] = [36, 37];
const NO_SESSION: i32 = 125;
/// How long it is waited between two attempts.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a start is tried.
const ATTEMPTS: u32 = 20;

/// The user's job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    uid: u32,
    /// The program's path and arguments.
    arguments: Vec<String>,
    /// The property list.
    pub plist: PathBuf,
    /// Where the daemon logs.
    pub log: PathBuf,
}

/// What launchd has of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Nothing.
    None,
    /// Its program runs.
    Running,
    /// It is loaded, and its program has ended; how, as launchd says it.
    Ended(String),
    /// It does not say.
    Unknown,
}

/// How a start went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It runs.
    Now,
    /// Nobody is logged in at the screen (`ssh`): launchd starts it at the next login.
    AtLogin,
}

impl Agent {
    /// The job that runs `program` for `who`; `directories` are the daemon's options that name its places.
    #[must_use]
    pub fn new(who: &Who, program: &Path, directories: Vec<String>) -> Self {
        let log = who.home.join("Library/Logs/pause-monitor.log");
        let fixed = ["daemon", "--allow-degraded", "--under-launchd", "--log-file"].map(str::to_owned);
        let mut arguments = vec![program.to_string_lossy().into_owned()];
        arguments.extend(fixed);
        arguments.push(log.to_string_lossy().into_owned());
        arguments.extend(directories);
        Self { uid: who.uid, arguments, plist: plist(who), log }
    }

    /// The files that the daemon's log is in.
    #[must_use]
    pub fn logs(&self) -> [PathBuf; 2] {
        [self.log.clone(), crate::daemon::logging::old(&self.log)]
    }

    /// The property list, as launchd.plist(5) has it.
    ///
    /// Interactive and LegacyTimers: else the system puts timers together, by up to 100 ms, and slows disk accesses. A job
    /// is started again unless it ended with exit code 0, ten seconds after it was last started at the earliest;
    /// `--under-launchd` sees to it that what another start would not mend ends so. To end it has three times what it
    /// takes at most. 63 is 077. What the program says
    /// before it has a log, and what a panic says, comes to the log's file too.
    #[must_use]
    pub fn text(&self) -> String {
        let arguments: String =
            self.arguments.iter().map(|word| format!("\t\t<string>{}</string>\n", escaped(word))).collect();
        let log = escaped(&self.log.to_string_lossy());
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>{LABEL}</string>
	<key>ProgramArguments</key>
	<array>
{arguments}	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ThrottleInterval</key>
	<integer>10</integer>
	<key>ExitTimeOut</key>
	<integer>15</integer>
	<key>ProcessType</key>
	<string>Interactive</string>
	<key>LegacyTimers</key>
	<true/>
	<key>WorkingDirectory</key>
	<string>/</string>
	<key>Umask</key>
	<integer>63</integer>
	<key>StandardOutPath</key>
	<string>/dev/null</string>
	<key>StandardErrorPath</key>
	<string>{log}</string>
</dict>
</plist>
"#
        )
    }

    fn domain(&self) -> String {
        format!("gui/{}", self.uid)
    }

    fn target(&self) -> String {
        format!("gui/{}/{LABEL}", self.uid)
    }

    /// What [`Agent::start`] runs.
    #[must_use]
    pub fn start_commands(&self) -> Vec<String> {
        let plist = self.plist.to_string_lossy();
        vec![
            run::shown(&[LAUNCHCTL, "bootout", &self.target()]),
            run::shown(&[LAUNCHCTL, "bootstrap", &self.domain(), &plist]),
        ]
    }

    /// What [`Agent::stop`] runs.
    #[must_use]
    pub fn stop_commands(&self) -> Vec<String> {
        vec![run::shown(&[LAUNCHCTL, "bootout", &self.target()])]
    }

    /// What launchd has of the job.
    #[must_use]
    pub fn job(&self) -> Job {
        match run::run(&[LAUNCHCTL, "print", &self.target()], AT_ONCE) {
            Ok(answer) if answer.ok() => {
                let said = |name: &str| {
                    // The first is the job's own; parts of it have more.
                    answer.out.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::to_owned)
                };
                match said("state = ").as_deref() {
                    Some("running") | None => Job::Running,
                    Some(state) => {
                        let exit = said("last exit code = ").unwrap_or_else(|| "unknown".to_owned());
                        Job::Ended(format!("{state}, last exit code {exit}"))
                    }
                }
            }
            Ok(run::Answer { code: Some(_), .. }) => Job::None,
            Ok(_) | Err(_) => Job::Unknown,
        }
    }

    /// Whether somebody had launchd not start it: it keeps that whatever becomes of the job.
    fn is_disabled(&self) -> bool {
        run::run(&[LAUNCHCTL, "print-disabled", &self.domain()], AT_ONCE).is_ok_and(|answer| {
            answer.out.lines().any(|line| {
                let said = line.trim().strip_prefix(&format!("\"{LABEL}\" => "));
                // Older systems say whether it is disabled.
                matches!(said, Some("disabled" | "true"))
            })
        })
    }

    /// Starts the job, anew where it runs.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] where launchd does not take it.
    pub fn start(&self) -> Result<Started, ServiceError> {
        self.stop()?;
        if self.is_disabled() {
            self.launchctl(&["enable", &self.target()])?;
        }
        let plist = self.plist.to_string_lossy();
        for attempt in 1.. {
            let answer = self.launchctl(&["bootstrap", &self.domain(), &plist])?;
            match answer.code {
                Some(0) => return Ok(Started::Now),
                Some(NO_SESSION) => return Ok(Started::AtLogin),
                // Right after a stop it can fail so.
                Some(code) if attempt < ATTEMPTS && (code == STILL_THERE || IN_PROGRESS.contains(&code)) => {
                    thread::sleep(AGAIN);
                }
                _ => {
                    return Err(ServiceError::Failed(format!(
                        "launchd does not take {plist}: {}: try `launchctl bootstrap {} {plist}`, or log out and in",
                        answer.complaint(),
                        self.domain()
                    )));
                }
            }
        }
        Ok(Started::Now)
    }

    /// Stops the job and waits until it is gone. Its codes say little (it may be on its way out, or not have been there):
    /// what counts is that launchd has it no more.
    ///
    /// # Errors
    /// [`ServiceError::Failed`] where it does not go.
    pub fn stop(&self) -> Result<(), ServiceError> {
        let answer = self.launchctl(&["bootout", &self.target()])?;
        let deadline = Instant::now() + SERVICE;
        while matches!(self.job(), Job::Running | Job::Ended(_)) {
            if Instant::now() > deadline {
                let target = self.target();
                return Err(ServiceError::Failed(format!(
                    "{target} is still there after {} s ({}): look at it with `launchctl print {target}`",
                    SERVICE.as_secs(),
                    answer.complaint()
                )));
            }
            thread::sleep(AGAIN / 5);
        }
        Ok(())
    }

    fn launchctl(&self, arguments: &[&str]) -> Result<run::Answer, ServiceError> {
        let command: Vec<&str> = std::iter::once(LAUNCHCTL).chain(arguments.iter().copied()).collect();
        run::run(&command, SERVICE).map_err(|error| ServiceError::Failed(error.to_string()))
    }
}

/// The property list of a user.
#[must_use]
pub fn plist(who: &Who) -> PathBuf {
    who.home.join(format!("Library/LaunchAgents/{LABEL}.plist"))
}

/// The words that a property list of ours has its job run; none where it is none of ours.
#[must_use]
pub fn words(plist: &str) -> Vec<String> {
    let Some((_, rest)) = plist.split_once("<key>ProgramArguments</key>") else { return Vec::new() };
    let array = rest.split("</array>").next().unwrap_or_default();
    let strings =
        array.lines().filter_map(|line| line.trim().strip_prefix("<string>")?.strip_suffix("</string>"));
    strings.map(|text| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).collect()
}

/// Text in XML. What XML 1.0 can't hold is replaced: no path has it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(home: &str, program: &str) -> Agent {
        let who = Who { uid: 501, name: Some("alice".into()), home: home.into() };
        Agent::new(&who, Path::new(program), Vec::new())
    }

    #[test]
    fn the_property_list_is_the_one_that_is_shipped() {
        let text = agent("/Users/alice", "/opt/homebrew/bin/pause-monitor").text();
        assert_eq!(text, include_str!("../../deploy/launchd/local.pause-monitor.plist"));
    }

    #[test]
    fn whatever_a_path_holds_the_property_list_says_it_back() {
        let text = agent("/Users/a&b <c>", "/Apps/\"it's\" ]]> ü/pause-monitor").text();
        let value = plist::Value::from_reader_xml(text.as_bytes()).unwrap();
        let job = value.as_dictionary().unwrap();
        let arguments = job["ProgramArguments"].as_array().unwrap();
        assert_eq!(arguments[0].as_string(), Some("/Apps/\"it's\" ]]> ü/pause-monitor"));
        let arguments: Vec<_> = arguments.iter().filter_map(|word| word.as_string()).collect();
        assert_eq!(words(&text), arguments);
        assert_eq!(
            job["StandardErrorPath"].as_string(),
            Some("/Users/a&b <c>/Library/Logs/pause-monitor.log")
        );
    }

    #[test]
    fn every_key_is_one_of_launchds_and_of_its_type() {
        use plist::Value;
        let text = agent("/Users/alice", "/opt/homebrew/bin/pause-monitor").text();
        let value = Value::from_reader_xml(text.as_bytes()).unwrap();
        let job = value.as_dictionary().unwrap();
        // launchd.plist(5)
        for (key, value) in job {
            let right = match key.as_str() {
                "Label" | "WorkingDirectory" | "StandardOutPath" | "StandardErrorPath" => {
                    value.as_string().is_some_and(|text| !text.contains('~'))
                }
                "ProcessType" => ["Background", "Standard", "Adaptive", "Interactive"]
                    .contains(&value.as_string().unwrap()),
                "ProgramArguments" => value.as_array().unwrap().iter().all(|word| word.as_string().is_some()),
                "RunAtLoad" | "LegacyTimers" => value.as_boolean().is_some(),
                "ThrottleInterval" | "ExitTimeOut" | "Umask" => {
                    value.as_signed_integer().is_some_and(|number| number > 0)
                }
                "KeepAlive" => value.as_dictionary().is_some_and(|when| {
                    when.iter()
                        .all(|(key, value)| key == "SuccessfulExit" && value.as_boolean() == Some(false))
                }),
                _ => false,
            };
            assert!(right, "{key}: {value:?}");
        }
        for key in ["Label", "ProgramArguments", "RunAtLoad", "KeepAlive", "ProcessType", "LegacyTimers"] {
            assert!(job.contains_key(key), "{key} is missing");
        }
        let arguments = job["ProgramArguments"].as_array().unwrap();
        assert!(arguments[0].as_string().unwrap().starts_with('/'), "launchd's PATH is short");
        assert_eq!(job["Umask"].as_signed_integer(), Some(0o077));
    }
}
