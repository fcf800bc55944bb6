//! What works and what does not: one finding a check, each with what to do about it.
//!
//! It changes nothing, and everything it asks may hang: each question has a time limit of its own.

mod daemon;
mod machine;
mod network;
mod permission;
mod sampler;

use serde::Serialize;

use super::systemd::{self, Unit};
use super::{Platform, Who};
use crate::config::{Config, Paths};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It works.
    Ok,
    /// It works, less well than it could; or a part that can be done without does not.
    Warning,
    /// It does not work.
    Failed,
    /// It could not be told, or does not apply.
    Unknown,
}

impl Outcome {
    /// The outcome's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name; it stays the same from version to version.
    pub check: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in a line.
    pub found: String,
    /// What to do, in a line; `None` where there is nothing to do.
    pub fix: Option<String>,
}

impl Finding {
    fn new(check: &'static str, outcome: Outcome, found: impl AsRef<str>) -> Self {
        // What does not work comes with what to do: only `warning` and `failed` make one.
        Self { check, outcome, found: crate::sample::printable(found.as_ref()), fix: None }
    }

    fn ok(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, Outcome::Ok, found)
    }

    fn unknown(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, Outcome::Unknown, found)
    }

    fn warning(check: &'static str, found: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(check, Outcome::Warning, found).with(fix)
    }

    fn failed(check: &'static str, found: impl AsRef<str>, fix: impl AsRef<str>) -> Self {
        Self::new(check, Outcome::Failed, found).with(fix)
    }

    fn with(mut self, fix: impl AsRef<str>) -> Self {
        self.fix = Some(crate::sample::printable(fix.as_ref()));
        self
    }
}

/// What is looked at.
#[derive(Debug)]
pub struct Doctor<'a> {
    /// The system whose ways are checked.
    pub platform: Platform,
    /// The user.
    pub who: &'a Who,
    /// Where things are.
    pub paths: &'a Paths,
    /// The configuration in force; the defaults where it is wrong.
    pub config: &'a Config,
    /// What is wrong with the configuration, in a line.
    pub wrong: Option<String>,
}

impl Doctor<'_> {
    /// Makes all checks. `progress` is told before one that takes a second or more, `found` of each finding at once.
    pub fn examine(&self, progress: &mut dyn FnMut(&str), found: &mut dyn FnMut(Finding)) {
        found(machine::system());
        found(self.configuration());
        found(machine::clocks());
        found(machine::counters(self.platform));
        found(machine::directory(self.paths));
        found(machine::database(self.paths));
        found(permission::service(self));
        if self.platform == Platform::Macos {
            found(permission::permission(self));
            found(permission::flags(self));
            found(permission::tailspin(self));
        }
        found(permission::notifications(self));
        let seen = daemon::look(self, progress);
        let runs = seen.runs;
        seen.findings.into_iter().for_each(&mut *found);
        if !runs {
            // What a daemon would have shown is tried out.
            sampler::try_out(self, progress).into_iter().for_each(&mut *found);
        }
        found(network::metrics(self, runs));
        found(network::collector(self));
    }

    /// How the service is put in place that this is about.
    fn install(&self) -> &'static str {
        if self.paths.root { permission::SYSTEMS } else { permission::INSTALL }
    }

    /// Nothing of the user's own is asked for: the system's service watches.
    fn is_left_to_the_system(&self) -> bool {
        self.platform == Platform::Linux
            && !self.paths.root
            && Unit::system_is_installed()
            && !systemd::user_file(self.who).exists()
    }

    fn configuration(&self) -> Finding {
        let file = self.paths.config_file.display();
        match &self.wrong {
            Some(wrong) => Finding::failed(
                "configuration",
                wrong,
                "mend the file; `pause-monitor config check` looks again",
            ),
            None if self.paths.config_file.exists() => {
                Finding::ok("configuration", format!("{file} is right"))
            }
            None => Finding::ok("configuration", "there is no file, and none is needed"),
        }
    }
}
