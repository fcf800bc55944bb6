//! The settings: what is written (`raw`), what is valid (`keys`, `table`), what is in force ([`Loaded`]).
//!
//! Every default is in `settings`, every range and meaning in `table`; the reading,
//! `config show` and `config init` all go by that table. An option of the command line beats the environment
//! (OpenTelemetry's variables), that beats the file, the file beats the default.

mod headers;
mod hooks;
mod keys;
mod listen;
pub mod otlp;
pub mod paths;
mod raw;
mod read;
mod settings;
pub mod show;
mod syntax;
mod table;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

pub use headers::Secret;
pub use hooks::{Hook, WebhookUrl};
pub use listen::ListenAddress;
pub use otlp::Otlp;
pub use paths::{Origin, Owner, Paths, PathsError, User, create_dir, user};
pub use settings::{
    Alerts, Config, Forensics, Http, Log, Pause, Powermetrics, Retention, Ring, Tiers, default_command,
};
pub use values::{
    Compression, Event, LogFormat, LogLevel, NoSuchValue, Protocol, Scenario, SourceKind, WebhookFormat,
    duration_text,
};

use table::KEYS;
pub(crate) use values::clipped;

/// What the command line says about settings that are in the file too.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Where readings come from: powermetrics, linux, replay:FILE (replay:- is standard input) or
    /// simulate:SCENARIO
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<SourceKind>,
    /// The least important message to log
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Log lines for people, or for programs
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Serve metrics and health at this address, such as 127.0.0.1:9847 or :9847 for all; can be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Vec<ListenAddress>,
    /// TLS and users for it, in the format of Prometheus' exporters
    #[arg(long = "web.config.file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub web_config: Option<PathBuf>,
}

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; `None` where it concerns the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do; one line, which names the key where there is one.
    pub message: String,
}

/// What is wrong with a configuration file: a line each, `FILE:LINE: KEY: what to do`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file, as it was named; `the environment` where that is what is wrong.
    pub file: PathBuf,
    /// What is wrong, at least one, by line.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More than anyone reads in one go; a file that is something else altogether has thousands.
        const SHOWN: usize = 20;
        let file = crate::sample::printable(&self.file.to_string_lossy());
        for (index, Problem { line, message }) in self.problems.iter().take(SHOWN).enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            match line {
                Some(line) => write!(f, "{newline}{file}:{line}: {message}")?,
                None => write!(f, "{newline}{file}: {message}")?,
            }
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n{file}: and {more} more"),
        }
    }
}

/// The settings in force, and where each comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Whether there is a configuration file.
    pub file_exists: bool,
    /// One for each of `KEYS`.
    origins: Vec<Origin>,
    /// The hooks, with where the values of each come from.
    hooks: Vec<hooks::Written>,
}

/// What stands in a message in place of the file's name.
const ENVIRONMENT: &str = "the environment";

/// What is told of a configuration file that is named and does not exist.
#[must_use]
pub fn missing(paths: &Paths) -> ConfigErrors {
    let who = match paths.config_origin {
        Origin::Environment(name) | Origin::Option(name) => format!(", which {name} names,"),
        Origin::Default | Origin::File { .. } => String::new(),
    };
    let message = format!("this file{who} does not exist: correct the name, or write it with `config init`");
    ConfigErrors { file: paths.config_file.clone(), problems: vec![Problem { line: None, message }] }
}

/// Reads the configuration file, and puts the environment and the command line's `overrides` on top. A file that nobody named
/// may be missing: then the defaults are in force.
///
/// # Errors
/// Everything found wrong with the file; where it is right, with the environment.
pub fn load(paths: &Paths, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    let file = &paths.config_file;
    let fail = |problems| ConfigErrors { file: file.clone(), problems };
    let text = raw::read(file).map_err(|problem| fail(vec![problem]))?;
    if text.is_none() && paths.config_origin != Origin::Default {
        return Err(missing(paths));
    }
    let mut loaded = parse(text.as_deref().unwrap_or_default(), paths.root).map_err(fail)?;
    loaded.file_exists = text.is_some();
    let problems = loaded.put_environment(&|name| std::env::var_os(name));
    if !problems.is_empty() {
        return Err(ConfigErrors { file: ENVIRONMENT.into(), problems });
    }
    match otlp::half_a_client(&loaded) {
        Some((Origin::File { line }, message)) => {
            return Err(fail(vec![Problem { line: Some(line), message }]));
        }
        Some((_, message)) => {
            let problems = vec![Problem { line: None, message }];
            return Err(ConfigErrors { file: ENVIRONMENT.into(), problems });
        }
        None => {}
    }
    if let Some(directory) = file.parent() {
        if let Some(web_config) = &mut loaded.config.http.web_config {
            // An absolute path stays as it is.
            *web_config = directory.join(&web_config);
        }
        for (hook, written) in loaded.config.hooks.iter_mut().zip(&mut loaded.hooks) {
            hooks::relative_to(&mut written.hook, directory);
            hook.clone_from(&written.hook);
        }
    }
    loaded.put_on_top(overrides);
    Ok(loaded)
}

/// Reads the text of a configuration file, for root or another user.
///
/// # Errors
/// Everything found wrong with it, by line; syntax errors alone where there are any.
pub fn parse(text: &str, root: bool) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let (entries, hooks) = raw::entries(text, &mut problems)?;
    let mut config = Config::default();
    let mut origins = vec![Origin::Default; KEYS.len()];
    for entry in &entries {
        match KEYS[entry.key].set(&mut config, &entry.value) {
            Ok(()) => origins[entry.key] = Origin::File { line: entry.line },
            Err(why) => {
                let message = format!("{}: {why}", KEYS[entry.key].path);
                problems.push(Problem { line: Some(entry.line), message });
            }
        }
    }
    config.hooks = hooks.iter().map(|written| written.hook.clone()).collect();
    let mut loaded = Loaded { config, file_exists: true, origins, hooks };
    if problems.is_empty() {
        problems.extend(loaded.contradiction());
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.line);
        return Err(problems);
    }
    if loaded.origin("powermetrics.command") == Origin::Default {
        loaded.config.powermetrics.command = default_command(loaded.config.powermetrics.interval, root);
    }
    Ok(loaded)
}

impl Loaded {
    /// Where the value of a key comes from; [`Origin::Default`] for a key that does not exist.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.origins().find(|(key, _)| key.path == path).map_or(Origin::Default, |(_, origin)| origin)
    }

    /// Puts OpenTelemetry's variables, as `variable` has them, on top of the file's settings; what is wrong with them.
    pub fn put_environment(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Problem> {
        otlp::put_on_top(self, variable)
    }

    fn origins(&self) -> impl Iterator<Item = (&'static keys::Key, Origin)> + '_ {
        KEYS.iter().zip(self.origins.iter().copied())
    }

    /// Values that are fine one by one but not together.
    fn contradiction(&self) -> Option<Problem> {
        let Tiers { elevated, critical, .. } = self.config.tiers;
        if elevated < critical {
            return None;
        }
        let (low, high) = (self.origin("tiers.elevated"), self.origin("tiers.critical"));
        let where_it_is = |origin| match origin {
            Origin::File { line } => format!("line {line}"),
            _ => "the default".to_owned(),
        };
        // Said where something is written: at `elevated`, else at `critical`.
        let (line, message) = match (low, high) {
            (Origin::File { line }, other) => (
                line,
                format!(
                    "tiers.elevated: {elevated} must be below tiers.critical, which is {critical} ({})",
                    where_it_is(other)
                ),
            ),
            (other, Origin::File { line }) => (
                line,
                format!(
                    "tiers.critical: {critical} must be above tiers.elevated, which is {elevated} ({})",
                    where_it_is(other)
                ),
            ),
            // The defaults do not contradict each other.
            _ => return None,
        };
        Some(Problem { line: Some(line), message })
    }

    fn put_on_top(&mut self, overrides: &Overrides) {
        let mut said = |path: &str, option| {
            if let Some(index) = KEYS.iter().position(|key| key.path == path) {
                self.origins[index] = Origin::Option(option);
            }
        };
        if let Some(source) = &overrides.source {
            self.config.source = source.clone();
            said("source.kind", "--source");
        }
        if let Some(level) = overrides.log_level {
            self.config.log.level = level;
            said("log.level", "--log-level");
        }
        if let Some(format) = overrides.log_format {
            self.config.log.format = format;
            said("log.format", "--log-format");
        }
        if !overrides.listen.is_empty() {
            self.config.http.listen.clone_from(&overrides.listen);
            said("http.listen", "--web.listen-address");
        }
        if let Some(file) = &overrides.web_config {
            self.config.http.web_config = Some(file.clone());
            said("http.web_config", "--web.config.file");
        }
    }
}

/// A path for messages and comments: what would break a line or a screen is replaced.
fn printable(path: &Path) -> String {
    crate::sample::printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy;

    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let problems = parse(text, false).unwrap_err();
        ConfigErrors { file: "c.toml".into(), problems }.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let loaded = parse("", false).unwrap();
        assert_eq!(loaded.config, Config::default());
        assert!(loaded.origins().all(|(_, origin)| origin == Origin::Default));
    }

    #[test]
    fn the_default_command_goes_through_sudo_for_all_but_root() {
        let words = "/usr/bin/powermetrics --samplers cpu_power,gpu_power,thermal,tasks,disk -f plist -i 100 -n 36000";
        assert_eq!(parse("", true).unwrap().config.powermetrics.command.join(" "), words);
        let words = format!("/usr/bin/sudo -n {words}");
        assert_eq!(parse("", false).unwrap().config.powermetrics.command.join(" "), words);
    }

    #[test]
    fn the_interval_goes_into_the_default_command_and_not_into_ones_own() {
        let text = "[powermetrics]\ninterval = \"250ms\"\n";
        let command = parse(text, true).unwrap().config.powermetrics.command;
        assert_eq!(command[5..7], ["-i", "250"]);
        let own = format!("{text}command = [\"sampler\", \"-i\", \"100\"]\n");
        assert_eq!(parse(&own, true).unwrap().config.powermetrics.command, ["sampler", "-i", "100"]);
    }

    #[test]
    fn each_value_knows_the_line_it_was_written_on() {
        let loaded = parse("[pause]\n\nmin_duration = \"1s\"\n[tiers]\ncritical = 60\n", false).unwrap();
        assert_eq!(loaded.origin("pause.min_duration"), Origin::File { line: 3 });
        assert_eq!(loaded.origin("tiers.critical"), Origin::File { line: 5 });
        assert_eq!(loaded.origin("tiers.elevated"), Origin::Default);
    }

    #[test]
    fn an_option_beats_the_file() {
        let mut loaded =
            parse("[source]\nkind = \"linux\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n", false).unwrap();
        let source = SourceKind::Simulate(Scenario::Freeze);
        loaded.put_on_top(&Overrides {
            source: Some(source.clone()),
            log_level: Some(LogLevel::Trace),
            ..Overrides::default()
        });
        assert_eq!((&loaded.config.source, loaded.config.log.level), (&source, LogLevel::Trace));
        assert_eq!(loaded.origin("source.kind"), Origin::Option("--source"));
        assert_eq!(loaded.origin("log.level"), Origin::Option("--log-level"));
        assert_eq!(loaded.origin("log.format"), Origin::File { line: 5 });
    }

    #[test]
    fn dotted_keys_and_inline_tables_are_the_same_settings() {
        let sections = parse("[tiers]\nelevated = 10\n[ring]\nseconds = 60\n", false).unwrap().config;
        assert_eq!(parse("tiers.elevated = 10\nring = { seconds = 60 }\n", false).unwrap().config, sections);
    }

    #[test]
    fn a_threshold_that_meets_a_default_is_a_contradiction_that_names_both_keys() {
        assert_eq!(
            messages("[tiers]\nelevated = 50\n"),
            ["c.toml:2: tiers.elevated: 50 must be below tiers.critical, which is 50 (the default)"]
        );
        assert_eq!(
            messages("[tiers]\ncritical = 15\n"),
            ["c.toml:2: tiers.critical: 15 must be above tiers.elevated, which is 15 (the default)"]
        );
    }

    #[test]
    fn a_key_that_goes_on_and_on_is_told_with_its_line() {
        let text = format!("[log]\nlevel = \"info\"\n[{}]\n", vec!["a"; 200].join("."));
        assert_eq!(messages(&text), ["c.toml:3: not TOML: a key has more than 80 parts"]);
    }

    #[test]
    fn a_file_full_of_faults_is_reported_in_part_and_counted_in_full() {
        let text: String = (0..25).map(|n| format!("[s{n}]\n")).collect();
        let messages = messages(&text);
        assert_eq!(messages.len(), 21);
        assert_eq!(messages[20], "c.toml: and 5 more");
    }

    #[test]
    fn what_is_repeated_from_the_file_can_break_neither_line_nor_screen() {
        let messages = messages("\"a\\nb\\u001b[2J\" = 1\n[log]\nlevel = \"x\\ny\"\n");
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(!messages.iter().any(|message| message.chars().any(char::is_control)), "{messages:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_brings_the_reading_down_and_every_problem_is_one_line(
            parts in proptest::collection::vec(proptest::prop_oneof![
                proptest::sample::select(vec![
                    "[pause]", "[[tiers]]", "\n", "\r\n", " = ", "min_duration", "tiers.elevated", "\"5s\"", "60",
                    "{", "}", "[", "]", "#", "'", "\"\"\"", "1e400", "-", "0x", "2026-11-22", "\\u0000", "nan", ".", ",",
                ]).prop_map(str::to_owned),
                ".{0,4}",
            ], 0..30),
        ) {
            if let Err(problems) = parse(&parts.concat(), false) {
                proptest::prop_assert!(!problems.is_empty());
                for problem in problems {
                    proptest::prop_assert!(!problem.message.contains('\n'), "{:?}", problem);
                }
            }
        }
    }
}
