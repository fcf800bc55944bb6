//! The configuration from outside: fixture files with the exact message of the bad ones, where the file is
//! looked for, and what `config` shows, checks and writes.

// clippy.toml allows it in tests only, and takes the helpers here for none.
#![allow(clippy::unwrap_used)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use program::{Program, Run};
use serde_json::Value;

fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config").join(kind)
}

/// The names of the configuration files in a directory.
fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_bad_file_is_refused_with_exactly_its_messages() {
    let dir = fixtures("bad");
    for name in files(&dir) {
        let run = Run::of(Program::new().command(&["config", "check", &name]).current_dir(&dir));
        let expected = fs::read_to_string(dir.join(&name).with_extension("err")).unwrap_or_default();
        assert_eq!(run.stderr, expected, "{name}");
        assert_eq!((run.stdout.as_str(), run.code), ("", 2), "{name}");
        for line in run.stderr.lines() {
            assert!(line.starts_with(&format!("pause-monitor: {name}:")), "{line}");
        }
    }
}

#[test]
fn every_good_file_is_accepted() {
    let dir = fixtures("good");
    for name in files(&dir) {
        let run = Run::of(Program::new().command(&["config", "check", &name]).current_dir(&dir));
        assert_eq!((run.stdout, run.stderr, run.code), (format!("{name}: ok\n"), String::new(), 0));
    }
}

#[test]
fn where_nothing_is_written_these_are_the_values() {
    let dir = fixtures("good");
    let run = Run::of(
        Program::new()
            .command(&["config", "show", "--config", "empty.toml", "--data-dir", "data"])
            .current_dir(&dir),
    );
    // They differ by system, and by who asks.
    let varies = |line: &&str| !line.starts_with("kind = ") && !line.starts_with("command = ");
    let expected = fs::read_to_string(dir.join("empty.show")).unwrap();
    assert_eq!(
        run.stdout.lines().filter(varies).collect::<Vec<_>>(),
        expected.lines().filter(varies).collect::<Vec<_>>()
    );
    assert!(
        run.stdout
            .lines()
            .skip(2)
            .all(|line| line.is_empty() || line.starts_with('[') || line.ends_with("# default"))
    );
}

#[test]
fn what_is_shown_names_the_origin_of_every_value_and_is_a_configuration_itself() {
    let dir = fixtures("good");
    let options = ["config", "show", "--config", "everything.toml", "--data-dir", "data"];
    let run = Run::of(Program::new().command(&options).current_dir(&dir));
    assert_eq!(run.stdout, fs::read_to_string(dir.join("everything.show")).unwrap());

    // Shown once more from what was shown, only the lines differ.
    let program = Program::new();
    let again = program.home().join("shown.toml");
    fs::write(&again, &run.stdout).unwrap();
    let without_origin = |text: &str| {
        text.lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    let shown = program.run(&["config", "show", "--config", again.to_str().unwrap(), "--data-dir", "data"]);
    assert_eq!(without_origin(&shown.stdout), without_origin(&run.stdout));
}

#[test]
fn dotted_keys_inline_tables_and_crlf_are_read() {
    let file = fixtures("good").join("dotted_inline_and_crlf.toml");
    let run = Program::new().run(&["config", "show", "--json", "--config", file.to_str().unwrap()]);
    let shown = json(&run.stdout);
    assert_eq!(shown["values"]["source.kind"]["value"], "replay:-");
    assert_eq!(shown["values"]["ring.seconds"]["value"], 5);
    assert_eq!(shown["values"]["ring.seconds"]["origin"], serde_json::json!({ "kind": "file", "line": 2 }));
    assert_eq!(shown["values"]["tiers.elevated"]["origin"], serde_json::json!({ "kind": "default" }));
}

#[test]
fn options_are_shown_on_top_of_the_file() {
    let file = fixtures("good").join("everything.toml");
    let run = Program::new().run(&[
        "config",
        "show",
        "--json",
        "--config",
        file.to_str().unwrap(),
        "--source=simulate:freeze",
        "--log-level=warn",
    ]);
    let values = &json(&run.stdout)["values"];
    assert_eq!(values["source.kind"]["value"], "simulate:freeze");
    assert_eq!(values["source.kind"]["origin"], serde_json::json!({ "kind": "option", "name": "--source" }));
    assert_eq!(values["log.level"]["value"], "warn");
    assert_eq!(values["log.format"]["origin"]["kind"], "file");
}

#[test]
fn a_missing_file_is_fine_unless_somebody_named_it() {
    let program = Program::new();
    let run = program.run(&["config", "check"]);
    let file = program.home().join(".config/pause-monitor/config.toml");
    assert_eq!(
        run.stdout,
        format!("{}: ok: there is no such file, every value is its default\n", file.display())
    );

    for (run, who) in [
        (program.run(&["config", "show", "--config", "gone.toml"]), "--config"),
        (
            Program::new().env("PAUSE_MONITOR_CONFIG", "gone.toml").run(&["config", "show"]),
            "PAUSE_MONITOR_CONFIG",
        ),
        (program.run(&["config", "check", "gone.toml"]), "the command line"),
        (program.run(&["status", "--config", "gone.toml"]), "--config"),
        (program.run(&["--config", "gone.toml", "events"]), "--config"),
        (Program::new().env("PAUSE_MONITOR_CONFIG", "gone.toml").run(&["stream"]), "PAUSE_MONITOR_CONFIG"),
    ] {
        let expected = format!(
            "pause-monitor: gone.toml: this file, which {who} names, does not exist: correct the name, or write it \
             with `config init`\n"
        );
        assert_eq!((run.stderr, run.code), (expected, 2));
    }
}

#[test]
fn a_file_that_can_be_no_configuration_is_refused_in_one_line() {
    let program = Program::new();
    let large = program.home().join("large.toml");
    fs::write(&large, vec![b'#'; (1 << 20) + 1]).unwrap();
    let below_a_file = large.join("config.toml");
    for (file, why) in [
        (program.home(), "this is a directory: name the file in it"),
        (&*large, "larger than 1 MiB: this is no configuration file"),
        (&*below_a_file, "can't open it: "),
    ] {
        let run = program.run(&["config", "check", file.to_str().unwrap()]);
        let expected = format!("pause-monitor: {}: {why}", file.display());
        assert!(run.stderr.starts_with(&expected) && run.stderr.lines().count() == 1, "{}", run.stderr);
        assert_eq!(run.code, 2);
    }
}

#[test]
fn a_megabyte_of_faults_is_refused_like_any_other_file() {
    let program = Program::new();
    let file = program.home().join("faults.toml");
    // Of syntax errors in so long a file the first is told, of unknown sections twenty and how many more.
    for (text, lines) in [("=\n".repeat(1 << 19), 1), ((0..5_000).map(|n| format!("[s{n}]\n")).collect(), 21)]
    {
        fs::write(&file, text).unwrap();
        let run = program.run(&["config", "check", file.to_str().unwrap()]);
        assert_eq!((run.stderr.lines().count(), run.code), (lines, 2));
    }
}

#[test]
fn the_places_follow_option_environment_xdg_and_home_in_this_order() {
    let path = |program: &Program, options: &[&str]| {
        let run = program.run(&[&["config", "path", "--json"], options].concat());
        let places = json(&run.stdout);
        [&places["config_file"], &places["data_dir"]].map(|place| place.as_str().unwrap().to_owned())
    };
    let program = Program::new();
    let home = program.home().to_str().unwrap().to_owned();
    assert_eq!(
        path(&program, &[]),
        [format!("{home}/.config/pause-monitor/config.toml"), format!("{home}/.local/share/pause-monitor")]
    );
    let program = program.env("XDG_CONFIG_HOME", "/c").env("XDG_DATA_HOME", "/d");
    assert_eq!(path(&program, &[]), ["/c/pause-monitor/config.toml", "/d/pause-monitor"]);
    let program = program.env("PAUSE_MONITOR_CONFIG", "/e.toml").env("PAUSE_MONITOR_DATA_DIR", "/e");
    assert_eq!(path(&program, &[]), ["/e.toml", "/e"]);
    assert_eq!(path(&program, &["--config", "/o.toml", "--data-dir", "/o"]), ["/o.toml", "/o"]);
    let run = program.run(&["config", "path"]);
    assert_eq!(run.stdout, "config  /e.toml\ndata    /e\n");
}

#[test]
fn init_writes_a_private_file_that_changes_nothing() {
    let program = Program::new();
    let before = json(&program.run(&["config", "show", "--json"]).stdout);
    let run = program.run(&["config", "init"]);
    let file = program.home().join(".config/pause-monitor/config.toml");
    assert_eq!((run.stdout, run.code), (format!("wrote {}\n", file.display()), 0));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    let names: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(json(&program.run(&["config", "show", "--json"]).stdout)["values"], before["values"]);
    assert_eq!(program.run(&["config", "check"]).stdout, format!("{}: ok\n", file.display()));
}

#[test]
fn init_does_not_replace_a_file_unless_it_is_told_to() {
    let program = Program::new();
    let file = program.home().join("own.toml");
    let name = file.to_str().unwrap();
    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let run = program.run(&["config", "init", "--config", name]);
    let expected =
        format!("pause-monitor: {name} exists: edit it, or replace it with `config init --force`\n");
    assert_eq!((run.stderr, run.code), (expected, 1));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[log]\nlevel = \"warn\"\n");
    assert_eq!(fs::read_dir(program.home()).unwrap().count(), 1);

    assert_eq!(program.run(&["config", "init", "--force", "--config", name]).code, 0);
    assert!(fs::read_to_string(&file).unwrap().contains("\n#level = \"info\"\n"));
    assert_eq!(fs::read_dir(program.home()).unwrap().count(), 1);
}

/// Only root can become somebody else, and only where there is somebody to become.
#[test]
#[cfg(target_os = "linux")]
fn under_sudo_what_is_written_belongs_to_the_invoking_user() {
    use std::os::unix::fs::MetadataExt;
    let program = Program::new().env("SUDO_UID", "4321").env("SUDO_GID", "4322");
    let us = program.home().metadata().unwrap();
    // An ordinary user's SUDO_UID means nothing.
    let owner = if us.uid() == 0 { (4321, 4322) } else { (us.uid(), us.gid()) };
    std::os::unix::fs::chown(program.home(), Some(owner.0), Some(owner.1)).unwrap();
    let file = program.home().join("made/config.toml");
    let places = ["--config", file.to_str().unwrap(), "--data-dir", "/nowhere"];
    let run = program.run(&[&["config", "init"], &places[..]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    for path in [&*file, file.parent().unwrap()] {
        let made = path.metadata().unwrap();
        assert_eq!((made.uid(), made.gid()), owner, "{}", path.display());
    }
    assert!(fs::read_to_string(&file).unwrap().contains("#command = [\"/usr/bin/sudo\", \"-n\","));
}

#[test]
fn a_check_reads_the_web_configuration_too_and_says_what_is_wrong_with_it() {
    let program = Program::new();
    let config = program.home().join("c.toml");
    fs::write(&config, "[http]\nweb_config = \"web.yml\"\n").unwrap();
    let check = || program.run(&["config", "check", config.to_str().unwrap()]);
    let missing = check();
    assert_eq!((missing.code, missing.stderr.lines().count()), (2, 1), "{missing:?}");
    assert!(missing.stderr.contains("web.yml: "), "{missing:?}");
    let web = program.home().join("web.yml");
    fs::write(&web, "basic_auth_users:\n  ann: secret\n").unwrap();
    let wrong = check();
    assert!(wrong.stderr.contains("web.yml:2: "), "{wrong:?}");
    assert_eq!(wrong.code, 2);
    fs::write(&web, "").unwrap();
    assert_eq!(check().code, 0);
}

#[test]
fn a_check_looks_at_the_keys_of_hooks_too() {
    let program = Program::new();
    let config = program.home().join("c.toml");
    let text = "[[hooks]]\nname = \"signed\"\non = [\"pause\"]\nwebhook = \"http://127.0.0.1:8080/\"\nsecret_file = \"key\"\n";
    fs::write(&config, text).unwrap();
    let check = || program.run(&["config", "check", config.to_str().unwrap()]);
    let missing = check();
    assert_eq!((missing.code, missing.stderr.lines().count()), (2, 1), "{missing:?}");
    assert!(missing.stderr.contains("hook signed: hooks.secret_file: "), "{missing:?}");
    let key = program.home().join("key");
    fs::write(&key, "whsec_***").unwrap();
    assert!(check().stderr.contains("what follows whsec_ is not base64"));
    fs::write(&key, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    assert_eq!(check().code, 0);
}
