//! Any bytes at all as a web configuration.
//!
//! - It is read or refused in bounded time, also where it is repeated until it is long, and however deep it is nested.
//! - What is wrong is told in whole, short lines of printable text, each of a line of the file; hashes are not told.
//! - What is read is what libyaml reads, key by key, where libyaml reads it: the exporters that share the format
//!   protect themselves by the same words.
//! - Nothing is left out: where a user is written, somebody has to log in; where a certificate is, TLS is spoken.
//! - Texts that are written as JSON, which is YAML, are read as they are.
//!
//! The first byte says how often the text is repeated.

use std::collections::BTreeMap;

use pause_monitor::output::http::web;
use pause_monitor::output::http::web::yaml::{self, Entry, Node};

use super::{fixtures, libyaml};

/// The longest text that is made by repeating, bytes.
const LONG: usize = 64 << 10;

/// Demands it all.
pub fn check(input: &[u8]) {
    let [how, text @ ..] = input else { return };
    // Where the fixtures' certificates are.
    let directory = &fixtures::path("web/good");
    if how & 0x1f == 0x1f && !text.is_empty() {
        let _ = web::parse(&text.repeat(LONG / text.len()), directory);
    }
    let read = web::parse(text, directory);
    let Ok(text) = std::str::from_utf8(text) else {
        assert!(read.is_err(), "taken, though it is no UTF-8");
        return;
    };
    let entries = yaml::read(text);
    // Not asked about what is no YAML: there it may panic.
    if let Ok(entries) = &entries
        && same_in_both_versions(text)
        && !ends_in_a_block(text)
        && let Some(by_libyaml) = libyaml::read(text)
    {
        assert_eq!(without_lines(entries), without_lines(&by_libyaml), "{text:?}");
    }
    match read {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused for nothing");
            let lines = 1 + text.matches(['\n', '\r']).count();
            let hashes = entries.as_deref().map(|entries| hashes(text, entries)).unwrap_or_default();
            for problem in &problems {
                let message = &problem.message;
                // The path of a file is told whole.
                let most = if message.contains("_file: ") { 6_000 } else { 1_000 };
                assert!(!message.is_empty() && message.len() < most, "{message:?}");
                assert_eq!(&pause_monitor::sample::printable(message), message);
                let line = problem.line.expect("a problem of a text stands somewhere");
                assert!((1..=lines).contains(&line), "line {line} of {lines}: {message}");
                assert!(hashes.iter().all(|hash| !message.contains(hash)), "{message}");
            }
            assert!(problems.is_sorted_by_key(|problem| problem.line), "{problems:?}");
        }
        Ok(settings) => {
            let entries = entries.unwrap_or_else(|problem| panic!("taken, though: {problem:?}"));
            let has = |name: &str| entries.iter().any(|entry| entry.key == name && !nothing(&entry.value));
            assert_eq!(settings.has_users(), has("basic_auth_users"));
            assert_eq!(settings.has_tls(), has("tls_server_config") || empty_tls(&entries));
        }
    }
    as_json(text);
}

/// Whether a text is read alike by YAML 1.1, which is libyaml's, and 1.2. In 1.1 some characters break lines that are
/// like others in 1.2, and a question mark begins a key though no space stands behind it.
fn same_in_both_versions(text: &str) -> bool {
    let marks = text.split('?').skip(1).all(|rest| rest.starts_with([' ', '\n', '\r']));
    marks && !text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
}

/// Whether a text may end in a block scalar without a line break behind it: there libyaml-safer 0.3 panics.
fn ends_in_a_block(text: &str) -> bool {
    text.contains(['|', '>']) && !text.ends_with(['\n', '\r'])
}

fn nothing(value: &Node) -> bool {
    *value == Node::Null || *value == Node::Mapping(Vec::new())
}

/// `tls_server_config: {}` is refused: it asks for TLS without saying how.
fn empty_tls(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.key == "tls_server_config" && entry.value == Node::Mapping(Vec::new()))
}

/// libyaml counts lines by other characters too.
fn without_lines(entries: &[Entry]) -> Vec<Entry> {
    let value = |value: &Node| match value {
        Node::Text(text) => Node::Text(text.clone()),
        Node::Null => Node::Null,
        Node::Mapping(entries) => Node::Mapping(without_lines(entries)),
        Node::List => Node::List,
    };
    entries
        .iter()
        .map(|entry| Entry { key: entry.key.clone(), line: 0, value: value(&entry.value) })
        .collect()
}

/// What stands where hashes belong, such that to find one is to find that one, and nothing else.
fn hashes(text: &str, entries: &[Entry]) -> Vec<String> {
    let users = entries.iter().find(|entry| entry.key == "basic_auth_users");
    let Some(Entry { value: Node::Mapping(users), .. }) = users else { return Vec::new() };
    users
        .iter()
        .filter_map(|user| if let Node::Text(hash) = &user.value { Some(hash.clone()) } else { None })
        .filter(|hash| hash.len() >= 6 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .filter(|hash| text.matches(hash.as_str()).count() == 1)
        // What our messages say all the time.
        .filter(|hash| {
            !["bcrypt", "prints", "behind", "basic", "password", "htpasswd"]
                .iter()
                .any(|w| w.contains(hash.as_str()))
        })
        .collect()
}

/// Lines of the text as keys and values, written as JSON.
fn as_json(text: &str) {
    let printable = |c: char| matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{10000}'..);
    let lines: Vec<&str> =
        text.split('\n').filter(|line| line.chars().all(printable) && line.len() < 200).collect();
    let texts: BTreeMap<&str, &str> = lines.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let json = serde_json::json!({ "texts": texts }).to_string();
    let read = yaml::read(&json).unwrap_or_else(|problem| panic!("{problem:?}: {json}"));
    let expected = texts.iter().map(|(key, text)| Entry {
        key: (*key).to_owned(),
        line: 0,
        value: Node::Text((*text).to_owned()),
    });
    let expected = Entry { key: "texts".to_owned(), line: 0, value: Node::Mapping(expected.collect()) };
    assert_eq!(without_lines(&read), [expected], "{json}");
}
