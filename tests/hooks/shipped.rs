//! What is shipped in `deploy/hooks`, run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::executable::install;
use crate::peer::peer;
use crate::program::Program;
use crate::server::{Reply, Server};
use crate::tried::{Bench, outcome};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/hooks").join(name)
}

/// A copy that is ours: the repository may be somebody else's.
fn copied(bench: &Bench, name: &str) -> String {
    let copy = bench.path(name);
    install(&shipped(name), &copy);
    copy.to_str().unwrap().to_owned()
}

#[test]
fn the_shipped_hooks_are_a_configuration() {
    // With the key that one of them is signed with.
    let program = Program::new();
    let (config, key) = (program.home().join("hooks.toml"), program.home().join("webhook.key"));
    fs::copy(shipped("hooks.toml"), &config).unwrap();
    fs::write(&key, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let run = program.run(&["config", "check", config.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let run = Program::new().run(&["hooks", "--config", shipped("hooks.toml").to_str().unwrap()]);
    for name in ["note", "say", "shortcut", "phone", "chat", "home", "pager", "signed"] {
        assert!(run.stdout.lines().any(|line| line.starts_with(name)), "{name}: {}", run.stdout);
    }
}

#[test]
fn a_note_is_made_of_each_event() {
    if peer(&["jq"], "jq").is_none() {
        return;
    }
    let bench = Bench::new("");
    let script = copied(&bench, "note.sh");
    bench.configure(&format!("command = [{script:?}, \"pauses.md\"]"));
    for event in ["pause", "outage"] {
        let value = bench.json(&["--event", event]);
        assert_eq!(value["outcome"], "ok", "{value}");
    }
    let notes = fs::read_to_string(bench.path("pauses.md")).unwrap();
    let lines: Vec<&str> = notes.lines().collect();
    assert_eq!(lines.len(), 2, "{notes}");
    assert!(lines[0].ends_with(" | pause | 1.52 s | mds_stores 61 % | event 8 |"), "{notes}");
    assert!(lines[1].ends_with(" | outage | ? | nobody stands out | event 8 |"), "{notes}");
}

#[test]
fn an_incident_is_opened_and_closed_under_one_key() {
    if peer(&["jq"], "jq").is_none() || peer(&["curl"], "curl").is_none() {
        return;
    }
    let server = Server::new(&[Reply::Status(202, "", "{\"status\":\"success\"}")]);
    let bench = Bench::new("");
    let script = copied(&bench, "pagerduty.sh");
    let key = bench.path("key");
    fs::write(&key, "the-key\n").unwrap();
    bench.configure(&format!("command = [{script:?}, {:?}, {:?}]", key.to_str().unwrap(), server.url("/v2")));
    for arguments in [&["--event", "critical"][..], &["--event", "critical", "--resolved"]] {
        let value = bench.json(arguments);
        assert_eq!(outcome(&value), ("ok", "exit code 0"), "{value}");
    }
    let sent: Vec<Value> =
        server.received().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert_eq!((&sent[0]["event_action"], &sent[1]["event_action"]), (&json!("trigger"), &json!("resolve")));
    assert_eq!(sent[0]["dedup_key"], sent[1]["dedup_key"]);
    assert_eq!(sent[0]["routing_key"], "the-key");
    let payload = &sent[0]["payload"];
    assert_eq!((&payload["severity"], &payload["class"]), (&json!("critical"), &json!("critical")));
    assert!(payload["summary"].as_str().unwrap().contains("critical"), "{payload}");
}

#[test]
fn the_receivers_side_in_python_and_in_shell_takes_our_signature_and_no_other() {
    let interpreters = [("verify.py", "python3"), ("verify.sh", "openssl")];
    if interpreters.iter().any(|(_, program)| peer(&[program], program).is_none()) {
        return;
    }
    for secret in ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n", "some text of one's own\n"] {
        let server = Server::new(&[Reply::Status(204, "", "")]);
        let bench = Bench::new(&format!("webhook = {:?}\nsecret_file = \"secret\"", server.url("/")));
        let file = bench.path("secret");
        fs::write(&file, secret).unwrap();
        assert_eq!(bench.json(&[])["outcome"], "ok");
        let request = &server.received()[0];
        for (script, _) in interpreters {
            let verify = |signature: &str, body: &[u8]| {
                let input = bench.path("body");
                fs::write(&input, body).unwrap();
                let mut command = Command::new(shipped(script));
                command.arg(&file).args(["webhook-id", "webhook-timestamp"].map(|name| request.header(name)));
                command.arg(signature).stdin(fs::File::open(input).unwrap()).stderr(Stdio::null());
                command.output().unwrap().status.success()
            };
            let signature = request.header("webhook-signature");
            assert!(verify(signature, &request.body), "{script} {secret}");
            assert!(verify(&format!("v1,AAAA {signature}"), &request.body), "{script}: two of them");
            assert!(!verify(signature, b"{}") && !verify("v1,AAAA", &request.body), "{script}");
        }
    }
}
