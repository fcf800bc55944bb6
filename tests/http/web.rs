//! The web configuration: TLS, users, and what happens when it changes.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto, version};

use crate::daemon::Daemon;
use crate::http::{Answer, connect, get, request, send, series};
use crate::program::{Program, Run};

fn fixtures(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/web").join(kind)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn login(name: &str, password: &str) -> String {
    format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

/// A daemon with this web configuration, named in its configuration relative to that.
fn with_web(text: &str) -> (Daemon, PathBuf) {
    let program = Program::new();
    let file = program.home().join("web.yml");
    fs::write(&file, text).unwrap();
    let config = "[http]\nlisten = [\"127.0.0.1:0\"]\nweb_config = \"web.yml\"\n";
    (Daemon::start(program, config, &["--source", "simulate:calm"]), file)
}

fn users(password: &str) -> String {
    format!("basic_auth_users:\n  ann: {}\n", bcrypt::hash(password, 4).unwrap())
}

#[test]
fn every_bad_web_configuration_is_refused_with_exactly_its_messages() {
    let directory = fixtures("bad");
    for file in files(&directory) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let program = Program::new();
        let arguments = ["daemon", "--source", "simulate:calm", "--web.config.file", name];
        let run = Run::of(program.command(&arguments).current_dir(&directory));
        assert_eq!(run.stderr, fs::read_to_string(file.with_extension("err")).unwrap(), "{name}");
        assert_eq!(run.code, 2, "{name}");
    }
}

#[test]
fn every_good_web_configuration_is_taken() {
    for file in files(&fixtures("good")) {
        let daemon = Daemon::start(
            Program::new(),
            "",
            &["--source", "simulate:calm", "--web.config.file", file.to_str().unwrap()],
        );
        daemon.wait_for_log("watching with the source");
    }
}

#[test]
fn with_users_every_path_asks_for_one() {
    let (daemon, _) = with_web(&users("secret"));
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing"] {
        let answer = get(&daemon, path);
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header.contains("\r\nwww-authenticate: basic realm="), "{}", answer.header);
        for (name, password) in [("ann", "wrong"), ("bob", "secret"), ("", ""), ("ann", "")] {
            let answer = send(&daemon, &request("GET", path, &login(name, password)));
            assert_eq!(answer.status, 401, "{name} {path}");
        }
        let answer = send(&daemon, &request("GET", path, &login("ann", "secret")));
        assert_ne!(answer.status, 401, "{path}");
    }
    assert_eq!(send(&daemon, &request("GET", "/metrics", &login("ann", "secret"))).status, 200);
}

#[test]
fn a_changed_web_configuration_counts_from_the_next_connection_and_a_bad_one_does_not() {
    let (daemon, file) = with_web(&users("first"));
    let status = |password| send(&daemon, &request("GET", "/healthz", &login("ann", password))).status;
    assert_eq!(status("first"), 200);

    fs::write(&file, users("second")).unwrap();
    daemon.until("the new password", || (status("second") == 200).then_some(()));
    assert_eq!(status("first"), 401);

    fs::write(&file, "basic_auth_users:\n  ann: oops\n").unwrap();
    daemon.until("the message", || {
        status("second");
        daemon.log().contains("web.yml:2: basic_auth_users.ann: this is no bcrypt hash").then_some(())
    });
    daemon.wait_for_log("the web configuration was not taken; the old one stays in force");
    assert_eq!(status("second"), 200, "the old one is in force");
    let text = send(&daemon, &request("GET", "/metrics", &login("ann", "second"))).text();
    assert_eq!(series(&text)["pause_monitor_config_last_reload_successful"], 0.0);

    fs::write(&file, users("third")).unwrap();
    daemon.until("the third password", || (status("third") == 200).then_some(()));
    let text = send(&daemon, &request("GET", "/metrics", &login("ann", "third"))).text();
    assert_eq!(series(&text)["pause_monitor_config_last_reload_successful"], 1.0);
}

#[test]
fn sighup_has_the_web_configuration_read_without_a_connection() {
    let (daemon, file) = with_web("");
    daemon.wait_for_log("watching with the source");
    fs::write(&file, "tls_server_config:\n  cert_file: x\n").unwrap();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for_log("tls_server_config: cert_file and key_file are both needed");
    assert_eq!(get(&daemon, "/healthz").status, 200, "the old one is in force");
}

/// Gets a path over TLS, trusting the fixtures' certificate.
fn get_over_tls(daemon: &Daemon, path: &str) -> (Answer, Vec<CertificateDer<'static>>) {
    over_tls(daemon, path, &[&CertificateDer::from_pem_file(fixtures("tls").join("cert.pem")).unwrap()])
}

/// The same, trusting these.
fn over_tls(
    daemon: &Daemon,
    path: &str,
    trusted: &[&CertificateDer<'static>],
) -> (Answer, Vec<CertificateDer<'static>>) {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, connect(daemon));
    stream.write_all(request("GET", path, "").as_bytes()).unwrap();
    let answer = Answer::read(&mut stream);
    let chain = stream.conn.peer_certificates().unwrap().iter().map(|one| one.clone().into_owned()).collect();
    (answer, chain)
}

#[test]
fn over_tls_the_same_is_served_and_without_it_nothing_is() {
    let tls = fixtures("tls");
    let text =
        format!("tls_server_config:\n  cert_file: {0}/cert.pem\n  key_file: {0}/key.pem\n", tls.display());
    let (daemon, _) = with_web(&text);
    let (answer, chain) = get_over_tls(&daemon, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("pause_monitor_build_info{"));
    assert_eq!(chain.len(), 1);
    assert!(daemon.log().contains("metrics are served at https://127.0.0.1:"), "{}", daemon.log());
    let mut plain = connect(&daemon);
    plain.write_all(request("GET", "/metrics", "").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes);
    assert!(!String::from_utf8_lossy(&bytes).contains("pause_monitor"));
}

#[test]
fn a_certificate_that_is_replaced_is_shown_from_the_next_connection_on() {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let program = Program::new();
    let (cert, key) = (program.home().join("cert.pem"), program.home().join("key.pem"));
    let place = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::write(&cert, made.cert.pem()).unwrap();
    };
    let (first, second) = (made("localhost"), made("localhost"));
    place(&first);
    let web = program.home().join("web.yml");
    fs::write(&web, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n").unwrap();
    let config = "[http]\nlisten = [\"127.0.0.1:0\"]\nweb_config = \"web.yml\"\n";
    let daemon = Daemon::start(program, config, &["--source", "simulate:calm"]);
    let shown = || over_tls(&daemon, "/healthz", &[first.cert.der(), second.cert.der()]).1;
    assert_eq!(shown()[0], *first.cert.der());
    place(&second);
    // It is looked at twice a second at most.
    daemon.until("the other certificate", || (shown()[0] == *second.cert.der()).then_some(()));
    // Half of a pair is reported, and the whole one stays.
    fs::write(&key, first.signing_key.serialize_pem()).unwrap();
    daemon.until("a complaint", || {
        let complains = series(&over_tls(&daemon, "/metrics", &[second.cert.der()]).0.text())
            ["pause_monitor_config_last_reload_successful"]
            == 0.0;
        complains.then_some(())
    });
    assert_eq!(shown()[0], *second.cert.der());
}

#[test]
fn handshakes_that_are_never_finished_keep_nobody_out() {
    let tls = fixtures("tls");
    let text =
        format!("tls_server_config:\n  cert_file: {0}/cert.pem\n  key_file: {0}/key.pem\n", tls.display());
    let (daemon, _) = with_web(&text);
    let mut waiting = Vec::new();
    for number in 0..150 {
        let mut stream = connect(&daemon);
        // Nothing, the beginning of a ClientHello, or what is none.
        let _ = stream.write_all([&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3], &[0; 32]][number % 3]);
        waiting.push(stream);
        if number % 50 == 49 {
            let (answer, _) = get_over_tls(&daemon, "/metrics");
            assert_eq!(answer.status, 200);
            assert!(series(&answer.text())["process_open_fds"] < 100.0);
        }
    }
}
