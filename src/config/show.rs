//! The settings in force as text and JSON, and the commented file that `config init` writes.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::hooks::{self, Written};
use super::keys::Key;
use super::table::KEYS;
use super::{Config, Hook, Loaded, Origin, Paths, default_command, printable};

/// Comments stand in one column unless a value is longer than this.
const COLUMN: usize = 40;

/// The settings in force as TOML, with where each comes from as a comment.
#[must_use]
pub fn text(loaded: &Loaded, paths: &Paths) -> String {
    let file = printable(&paths.config_file);
    let missing = if loaded.file_exists { "" } else { ", does not exist" };
    let mut out = format!(
        "# configuration file: {file} ({}{missing})\n# data directory: {} ({})\n",
        describe(paths.config_origin, ""),
        printable(&paths.data_dir),
        describe(paths.data_origin, ""),
    );
    let name = paths.config_file.file_name().map_or_else(|| file.clone(), |name| printable(name.as_ref()));
    let lines: Vec<_> = loaded
        .origins()
        .map(|(key, origin)| (key, format!("{} = {}", key.name, written(&key.get(&loaded.config))), origin))
        .collect();
    let widths = lines.iter().map(|(_, line, _)| line.chars().count());
    let width = widths.filter(|&width| width <= COLUMN).max().unwrap_or(0);
    let mut section = "";
    for (key, line, origin) in lines {
        if key.section != section {
            section = key.section;
            // Writing to a String cannot fail.
            let _ = writeln!(out, "\n[{section}]");
        }
        let _ = writeln!(out, "{line:width$}  # {}", describe(origin, &name));
        if key.path == "otlp.client_key" {
            for note in loaded.config.otlp.notes() {
                let _ = writeln!(out, "# {note}");
            }
        }
    }
    for written in &loaded.hooks {
        let _ = writeln!(out, "\n[[{}]]", hooks::SECTION);
        for (key, origin) in written.keys() {
            let line = hook_line(key, &written.hook);
            let _ = writeln!(out, "{line:width$}  # {}", describe(origin, &name));
        }
    }
    out
}

fn hook_line(key: &Key<Hook>, hook: &Hook) -> String {
    format!("{} = {}", key.name, written(&key.get(hook)))
}

/// The same as JSON: `{"config_file", "data_dir", "values": {KEY: {"value", "origin"}}, "hooks": [{KEY: …}], "notes"}`.
#[must_use]
pub fn json(loaded: &Loaded, paths: &Paths) -> Value {
    let values: Map<_, _> = loaded
        .origins()
        .map(|(key, origin)| {
            let value = json!({ "value": key.get(&loaded.config), "origin": origin_json(origin) });
            (key.path.to_owned(), value)
        })
        .collect();
    json!({
        "config_file": {
            "path": paths.config_file.to_string_lossy(),
            "exists": loaded.file_exists,
            "origin": origin_json(paths.config_origin),
        },
        "data_dir": {
            "path": paths.data_dir.to_string_lossy(),
            "exists": paths.data_dir.is_dir(),
            "origin": origin_json(paths.data_origin),
        },
        "values": values,
        "hooks": loaded.hooks.iter().map(hook_json).collect::<Vec<_>>(),
        "notes": loaded.config.otlp.notes(),
    })
}

fn hook_json(written: &Written) -> Map<String, Value> {
    let value =
        |key: &Key<Hook>, origin| json!({ "value": key.get(&written.hook), "origin": origin_json(origin) });
    written.keys().map(|(key, origin)| (key.name.to_owned(), value(key, origin))).collect()
}

/// A value as TOML on one line, with nothing in it that could break a screen.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => {
            let mut out = String::from("\"");
            for c in text.chars() {
                match c {
                    '"' | '\\' => out.extend(['\\', c]),
                    c if hidden(c) => out.push_str(&format!("\\U{:08X}", u32::from(c))),
                    c => out.push(c),
                }
            }
            out + "\""
        }
        toml::Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        toml::Value::Table(table) if table.is_empty() => "{}".to_owned(),
        toml::Value::Table(table) => {
            let entry = |(key, value)| format!("{} = {}", written(&toml::Value::String(key)), written(value));
            let entries: Vec<_> = table.iter().map(|(key, value)| entry((key.clone(), value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether tables and screens show the character replaced.
fn hidden(c: char) -> bool {
    crate::sample::printable(c.encode_utf8(&mut [0; 4])) != c.to_string()
}

fn describe(origin: Origin, file: &str) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File { line } => format!("{file}:{line}"),
        Origin::Environment(name) => format!("environment {name}"),
        Origin::Option(name) => format!("option {name}"),
    }
}

fn origin_json(origin: Origin) -> Value {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { line } => json!({ "kind": "file", "line": line }),
        Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
        Origin::Option(name) => json!({ "kind": "option", "name": name }),
    }
}

/// A configuration file with every key commented out at its default, for root or another user. `#key` is a
/// key, `# text` explains it.
#[must_use]
pub fn template(root: bool) -> String {
    let mut config = Config::default();
    config.powermetrics.command = default_command(config.powermetrics.interval, root);
    let mut out = String::from(
        "# The configuration of pause-monitor, in TOML. Every key is shown with its default: remove the # in front\n\
         # of one to change it. Durations are text with units: \"250ms\", \"5s\", \"1m30s\", \"1h\".\n\
         # `pause-monitor config check` reads this file, `pause-monitor config show` prints what is in force.\n",
    );
    let mut section = "";
    for key in KEYS {
        // Writing to a String cannot fail.
        if key.section != section {
            section = key.section;
            let _ = writeln!(out, "\n[{section}]");
        } else {
            out.push('\n');
        }
        let value = written(&key.get(&config));
        let _ = writeln!(out, "# {}\n# {}.\n#{} = {value}", key.meaning, key.range(), key.name);
    }
    out.push_str(
        "\n# Hooks are told of events: as many as 32, each with a [[hooks]] of its own, and either a command or a webhook\n\
         # with the keys below it. `pause-monitor hooks test NAME` runs one. Remove the # of [[hooks]] as well.\n\n\
         #[[hooks]]\n",
    );
    for (index, key) in hooks::KEYS.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let _ =
            writeln!(out, "# {}\n# {}.\n#{}", key.meaning, key.range(), hook_line(key, &hooks::example()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{SourceKind, parse};
    use super::*;

    fn uncommented(template: &str) -> String {
        template
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn the_template_changes_nothing_and_uncommented_says_exactly_the_defaults() {
        for root in [false, true] {
            let template = template(root);
            let (template, _) = template.split_once("#[[hooks]]").unwrap();
            let defaults = parse("", root).unwrap();
            assert_eq!(parse(template, root).unwrap(), defaults);
            let written = parse(&uncommented(template), root).unwrap();
            assert_eq!(written.config, defaults.config);
            assert!(written.origins().all(|(_, origin)| matches!(origin, Origin::File { .. })));
        }
    }

    #[test]
    fn the_templates_example_is_a_hook_of_either_kind() {
        let template = template(false);
        let (_, example) = template.split_once("#[[hooks]]").unwrap();
        let keys = uncommented(example);
        let hook = |leave: &[&str]| {
            let left = |line: &&str| !leave.iter().any(|key| line.starts_with(&format!("{key} = ")));
            let text: Vec<_> = keys.lines().filter(left).collect();
            parse(&format!("[[hooks]]\n{}", text.join("\n")), false).unwrap().config.hooks.remove(0)
        };
        let command = hook(&["webhook", "format", "headers", "secret_file", "retries"]);
        assert_eq!(command, Hook { webhook: None, ..hooks::example() });
        let webhook = hook(&["command"]);
        assert_eq!((webhook.command.len(), webhook.retries), (0, 3));
    }

    #[test]
    fn what_is_shown_is_toml_that_says_the_same() {
        let mut loaded = parse("[pause]\nmin_duration = \"1500ms\"\nthreshold_ratio = 3\n", false).unwrap();
        loaded.config.source = SourceKind::Replay("odd \"name\"\n.jsonl".into());
        let paths = Paths {
            config_file: "/c/bad\nname.toml".into(),
            config_origin: Origin::Option("--config"),
            data_dir: "/d".into(),
            ..Paths::default()
        };
        let text = text(&loaded, &paths);
        assert_eq!(parse(&text, false).unwrap().config, loaded.config, "{text}");
        let line = text.lines().find(|line| line.starts_with("min_duration = \"1s500ms\" ")).unwrap();
        assert!(line.ends_with("  # bad\u{fffd}name.toml:2"), "{line}");
        assert!(text.contains(r#"kind = "replay:odd \"name\"\U0000000A.jsonl""#), "{text}");
        assert!(text.contains("threshold_ratio = 3.0"), "{text}");
        assert!(text.contains("(option --config)"), "{text}");
    }
}
