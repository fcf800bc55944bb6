//! Any text at all as a configuration file, and as OpenTelemetry's variables on top of it.
//!
//! - It is read or refused in bounded time, also where it is repeated until it is long.
//! - What is wrong is told in whole lines of printable text, by line, each a line of the file; no TOML is called what
//!   the `toml` crate can read, and nothing that it can't read is taken.
//! - What is taken is what the `toml` crate reads: each key that is written is known and comes from its line, every
//!   other from nowhere; numbers, switches, texts, lists are in force as written.
//! - `config show` of it is printable TOML, and is read as the same settings and shown the same again; secrets aside,
//!   and those it does not show, nor do the JSON, what is printed for debugging, or any message.
//! - Variables leave settings or problems alike, and no secret of theirs is told.
//!
//! The first byte says how often the text is repeated, and for whom it is read. The variables stand behind a NUL, a
//! line each, in the order of [`VARIABLES`].

use std::collections::BTreeSet;
use std::ffi::OsString;

use pause_monitor::config::{self, Config, ConfigErrors, Loaded, Origin, Paths, Problem, SourceKind, show};
use toml::{Table, Value};

/// The longest text that is made by repeating, bytes.
const LONG: usize = 64 << 10;

const VARIABLES: [&str; 8] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SERVICE_NAME",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];

/// Demands it all.
pub fn check(input: &[u8]) {
    let [how, text @ ..] = input else { return };
    let root = how % 2 == 1;
    let (text, variables) = match text.iter().position(|&byte| byte == 0) {
        Some(end) => (&text[..end], Some(&text[end + 1..])),
        None => (text, None),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    // One text in many is repeated: what takes longer with its square shows in it.
    if how & 0x1e == 0x1e && !text.is_empty() {
        let _ = config::parse(&text.repeat(LONG / text.len()), root);
    }
    // What is broken in many places can take the crate more stack than there is.
    let table = || text.parse::<Table>();
    match config::parse(text, root) {
        Err(problems) if text.matches(['[', '{']).count() > 100 => refused(text, None, problems),
        Err(problems) => refused(text, table().ok().as_ref(), problems),
        Ok(mut loaded) => {
            let table = table().unwrap_or_else(|error| panic!("taken, though: {error}"));
            as_written(text, &table, &loaded);
            shown_again(text, &table, &loaded, root);
            let _ = pause_monitor::daemon::settings(&loaded.config);
            if let Some(variables) = variables {
                with_variables(&mut loaded, variables, root);
            }
        }
    }
}

fn printable(line: &str) -> bool {
    pause_monitor::sample::printable(line) == line
}

fn refused(text: &str, table: Option<&Table>, problems: Vec<Problem>) {
    assert!(!problems.is_empty(), "refused for nothing");
    // A lone CR breaks no line here, and a text has as many lines as there are ends, and one more.
    let lines = 1 + text.matches('\n').count();
    let secrets = table.map(|table| secrets(text, table)).unwrap_or_default();
    for Problem { line, message } in &problems {
        assert!(!message.trim().is_empty() && message.len() < 1_000 && printable(message), "{message:?}");
        let line = line.expect("a problem of a text stands somewhere");
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {message}");
        assert!(secrets.iter().all(|secret| !message.contains(secret)), "{message}");
        assert!(table.is_none() || !message.starts_with("not TOML"), "{message}");
    }
    assert!(problems.is_sorted_by_key(|problem| problem.line), "{problems:?}");
    let told = ConfigErrors { file: "c.toml".into(), problems }.to_string();
    assert!(told.lines().count() <= 21 && told.lines().all(|line| line.starts_with("c.toml:")), "{told}");
}

/// The settings against what the `toml` crate reads.
fn as_written(text: &str, table: &Table, loaded: &Loaded) {
    let lines = 1 + text.matches('\n').count();
    let json = show::json(loaded, &Paths::default());
    let values = json["values"].as_object().expect("values are an object");
    let mut written = BTreeSet::new();
    for (section, keys) in table {
        if section == "hooks" {
            assert_eq!(keys.as_array().expect("hooks are a list").len(), loaded.config.hooks.len());
            continue;
        }
        for (key, value) in keys.as_table().unwrap_or_else(|| panic!("{section} was taken")) {
            let path = format!("{section}.{key}");
            let Origin::File { line } = loaded.origin(&path) else { panic!("{path} was taken") };
            assert!((1..=lines).contains(&line), "{path}: line {line} of {lines}");
            in_force(&path, value, &values[&path]["value"]);
            written.insert(path);
        }
    }
    for path in values.keys().filter(|path| !written.contains(*path)) {
        assert_eq!(loaded.origin(path), Origin::Default, "{path} is not written");
    }
}

/// Whether a value is in force as written. Texts may have another form: durations, addresses, URLs.
fn in_force(path: &str, written: &Value, force: &serde_json::Value) {
    match written {
        Value::Integer(number) => assert_eq!(force.as_f64(), Some(*number as f64), "{path}"),
        Value::Float(number) => assert_eq!(force.as_f64(), Some(*number), "{path}"),
        Value::Boolean(on) => assert_eq!(force.as_bool(), Some(*on), "{path}"),
        Value::String(text) => {
            let other_forms = ["interval", "duration", "seconds", "timeout", "endpoint", "cooldown"];
            let is_time = text.parse::<jiff::SignedDuration>().is_ok();
            if !is_time && !other_forms.iter().any(|form| path.ends_with(form)) {
                assert_eq!(force.as_str(), Some(text.as_str()), "{path}");
            }
        }
        Value::Array(items) => {
            let force = force.as_array().expect("a list is a list");
            assert_eq!(items.len(), force.len(), "{path}");
            if path == "powermetrics.command" {
                assert!(
                    items.iter().zip(force).all(|(item, force)| item.as_str() == force.as_str()),
                    "{path}"
                );
            }
        }
        Value::Table(entries) => {
            let force = force.as_object().expect("a table is a table");
            let names: BTreeSet<_> = entries.keys().map(|name| name.to_lowercase()).collect();
            assert!(names.iter().eq(force.keys()), "{path}: {names:?}");
        }
        Value::Datetime(_) => panic!("{path}: nothing here is a date"),
    }
}

/// `config show`, read again.
fn shown_again(text: &str, table: &Table, loaded: &Loaded, root: bool) {
    let paths = Paths::default();
    let shown = show::text(loaded, &paths);
    assert!(shown.lines().all(printable), "{shown}");
    let secrets = secrets(text, table);
    for told in [&shown, &show::json(loaded, &paths).to_string(), &format!("{loaded:?}")] {
        assert!(secrets.iter().all(|secret| !told.contains(secret)), "{secrets:?} in {told}");
    }
    let again = config::parse(&shown, root).unwrap_or_else(|problems| panic!("{problems:?} in {shown}"));
    let (mut before, mut after) = (loaded.config.clone(), again.config.clone());
    without_secrets(&mut before);
    without_secrets(&mut after);
    assert_eq!(before, after, "{shown}");
    let values = |text: &str| {
        text.lines().map(|line| line.split("  # ").next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(values(&show::text(&again, &paths))[2..], values(&shown)[2..], "{shown}");
}

/// What is not shown can't be read again.
fn without_secrets(config: &mut Config) {
    config.otlp.headers.clear();
    for hook in &mut config.hooks {
        hook.headers.clear();
        if hook.webhook.take().is_some() {
            hook.command = vec!["webhook".to_owned()];
        }
    }
}

/// The values of headers, where they are such that to find one is to find that one, and nothing else.
fn secrets(text: &str, table: &Table) -> Vec<String> {
    let of_hooks = table.get("hooks").and_then(Value::as_array).into_iter().flatten();
    let places = table.get("otlp").into_iter().chain(of_hooks);
    let headers = places.filter_map(|place| place.get("headers")?.as_table()).flatten();
    let ours = show::template(false);
    headers
        .filter_map(|(_, value)| value.as_str())
        .filter(|value| value.len() >= 6 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .filter(|value| text.matches(value).count() == 1 && !ours.contains(value))
        .map(str::to_owned)
        .collect()
}

fn with_variables(loaded: &mut Loaded, variables: &[u8], root: bool) {
    let Ok(variables) = std::str::from_utf8(variables) else { return };
    let values: Vec<&str> = variables.split('\n').collect();
    let variable = |name: &str| {
        let at = VARIABLES.iter().position(|known| *known == name)?;
        values.get(at).map(OsString::from)
    };
    let problems = loaded.put_environment(&variable);
    for Problem { line, message } in &problems {
        assert!(line.is_none() && message.len() < 1_000 && printable(message), "{message:?}");
    }
    if !problems.is_empty() {
        return;
    }
    for (name, value) in &loaded.config.otlp.resource_attributes {
        assert!(!name.is_empty(), "of {value}");
    }
    let shown = show::text(loaded, &Paths::default());
    assert!(shown.lines().all(printable), "{shown}");
    let again = config::parse(&shown, root).unwrap_or_else(|problems| panic!("{problems:?} in {shown}"));
    assert_eq!(again.config.otlp.timeout, loaded.config.otlp.timeout);
    assert_eq!(again.config.otlp.headers.len(), loaded.config.otlp.headers.len());
    if let Some(endpoint) = &loaded.config.otlp.endpoint {
        for protocol in ["http/protobuf", "grpc"] {
            let protocol = protocol.parse().expect("a protocol");
            assert!(endpoint.url(protocol).is_ok(), "{endpoint}");
        }
    }
    if let SourceKind::Replay(path) = &loaded.config.source {
        assert!(!path.as_os_str().is_empty());
    }
}
