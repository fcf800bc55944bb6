//! The web configuration: TLS and users, in the format of Prometheus' exporters (exporter-toolkit,
//! docs/web-configuration.md). What of it is not supported is refused by name: a server that leaves a protection out
//! without a word is worse than one that does not start.

mod tls;
mod users;
mod watch;
pub mod yaml;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_rustls::TlsAcceptor;

pub(super) use users::{Users, credentials};
pub(super) use watch::Web;

use crate::config::{ConfigErrors, Problem, clipped};
use yaml::{Entry, Node};

/// The largest web configuration, or file it names, bytes.
const MOST: u64 = 1 << 20;

/// What is in force.
#[derive(Clone, Default)]
pub struct Settings {
    /// Present where TLS is spoken.
    pub(super) tls: Option<TlsAcceptor>,
    /// Present where somebody has to log in.
    pub(super) users: Option<Users>,
    /// The files that were read, and what they were like just before.
    files: Vec<(PathBuf, Option<Stat>)>,
}

/// What tells that a file changed: when it was last changed, its size and its place on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat(SystemTime, u64, u64);

impl Settings {
    /// Whether TLS is spoken.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether somebody has to log in.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.users.is_some()
    }
}

impl Stat {
    fn of(path: &Path) -> Option<Self> {
        let data = std::fs::metadata(path).ok()?;
        Some(Self(data.modified().ok()?, data.len(), data.ino()))
    }
}

/// Reads a web configuration and the files it names.
///
/// # Errors
/// Everything found wrong with it.
pub(super) fn load(file: &Path) -> Result<Settings, ConfigErrors> {
    let fail = |problems| ConfigErrors { file: file.to_owned(), problems };
    let before = Stat::of(file);
    let text = read(file).map_err(|message| fail(vec![Problem { line: None, message }]))?;
    let mut settings = parse(&text, file.parent().unwrap_or(Path::new(""))).map_err(fail)?;
    settings.files.push((file.to_owned(), before));
    Ok(settings)
}

/// Reads the text of a web configuration that stands in `directory`, and the files it names.
///
/// # Errors
/// Everything found wrong with it, by line; a syntax error alone where there is one.
pub fn parse(text: &[u8], directory: &Path) -> Result<Settings, Vec<Problem>> {
    let mut reading = Reading { directory, problems: Vec::new(), settings: Settings::default() };
    match std::str::from_utf8(text) {
        Ok(text) => match yaml::read(text) {
            Ok(entries) => reading.sections(&entries),
            Err(problem) => reading.problems.push(problem),
        },
        Err(_) => reading.tell(None, "not UTF-8 text: save the file as UTF-8".to_owned()),
    }
    let Reading { mut problems, settings, .. } = reading;
    if problems.is_empty() {
        return Ok(settings);
    }
    problems.sort_by_key(|problem| problem.line);
    Err(problems)
}

/// A file's bytes, up to 1 MiB.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match File::open(file).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes)) {
        Ok(_) if bytes.len() as u64 > MOST => Err("larger than 1 MiB: this is no such file".to_owned()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("can't read it: {error}")),
    }
}

/// One reading of a file.
struct Reading<'a> {
    /// What relative paths are relative to.
    directory: &'a Path,
    problems: Vec<Problem>,
    settings: Settings,
}

impl Reading<'_> {
    fn tell(&mut self, line: Option<usize>, message: String) {
        self.problems.push(Problem { line, message });
    }

    fn sections(&mut self, sections: &[Entry]) {
        for section in sections {
            let line = Some(section.line);
            match (section.key.as_str(), &section.value) {
                ("tls_server_config" | "basic_auth_users" | "http_server_config", Node::Null) => {}
                ("tls_server_config", Node::Mapping(keys)) => self.tls(section.line, keys),
                ("basic_auth_users", Node::Mapping(users)) => self.users(users),
                ("http_server_config", Node::Mapping(keys)) => self.http(keys),
                ("tls_server_config" | "basic_auth_users" | "http_server_config", _) => {
                    self.tell(line, format!("{}: write its keys below it, indented", section.key));
                }
                ("rate_limit", _) => {
                    self.tell(line, "rate_limit is not supported here: take it out".to_owned())
                }
                (other, _) => {
                    let other = clipped(other);
                    self.tell(
                        line,
                        format!("unknown section `{other}`; there are tls_server_config, http_server_config and basic_auth_users"),
                    );
                }
            }
        }
    }

    fn http(&mut self, keys: &[Entry]) {
        for entry in keys {
            let line = Some(entry.line);
            match (entry.key.as_str(), &entry.value) {
                ("http2", Node::Text(text)) if text == "false" => {}
                ("http2", _) => self.tell(
                    line,
                    "http_server_config.http2: only HTTP/1.1 is spoken here: write false, or take it out"
                        .to_owned(),
                ),
                ("headers", Node::Null) => {}
                ("headers", _) => {
                    self.tell(
                        line,
                        "http_server_config.headers is not supported here: take it out".to_owned(),
                    );
                }
                (other, _) => {
                    let other = clipped(other);
                    self.tell(line, format!("unknown key `http_server_config.{other}`"));
                }
            }
        }
    }

    fn users(&mut self, entries: &[Entry]) {
        let mut users = Vec::new();
        for entry in entries {
            let name = clipped(&entry.key);
            match &entry.value {
                Node::Text(hash) => match users::Hash::read(hash) {
                    Ok(hash) => users.push((entry.key.clone(), hash)),
                    Err(why) => self.tell(Some(entry.line), format!("basic_auth_users.{name}: {why}")),
                },
                _ => self.tell(
                    Some(entry.line),
                    format!("basic_auth_users.{name}: write the bcrypt hash of a password"),
                ),
            }
        }
        self.settings.users = Users::new(users);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_from_the_file_is_cut_to_a_line_that_can_be_read() {
        let long = "x".repeat(100_000);
        for text in [
            format!("{long}:\n"),
            format!("basic_auth_users:\n  {long}: no hash\n"),
            format!("tls_server_config:\n  cert_file: {long}\n  key_file: {long}\n"),
            format!("tls_server_config:\n  min_version: {long}\n"),
            format!("\"{long}\":\n\"{long}\":\n"),
        ] {
            let Err(problems) = parse(text.as_bytes(), Path::new("/")) else { panic!("it was taken") };
            for Problem { message, .. } in problems {
                assert!(message.len() < 500, "{message}");
            }
        }
    }
}
