//! The real Prometheus and Alertmanager, each on a directory and a port of its own, ended with the fixture.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::daemon::{Daemon, PATIENCE, until};
use crate::files;
use crate::peer::peer;
use crate::web::{escaped, request};

/// Where a daemon serves its metrics.
pub(crate) fn address(daemon: &Daemon) -> SocketAddr {
    crate::http::address(daemon).parse().unwrap()
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    directory: tempfile::TempDir,
    address: SocketAddr,
    /// Header lines of each request.
    headers: String,
}

impl Server {
    /// A Prometheus with this configuration, further arguments, and further files beside it. Its rules are those of the
    /// repository, unless they are among the files.
    pub(crate) fn prometheus(config: &str, arguments: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let program = peer(&["prometheus"], "prometheus")?;
        let directory = tempfile::tempdir().unwrap();
        let rules = files::text("deploy/prometheus/pause-monitor.rules.yml");
        for (name, text) in [("pause-monitor.rules.yml", &*rules)].iter().chain(files) {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let mut command = Command::new(program);
        command.args(arguments).arg("--web.listen-address=127.0.0.1:0");
        Some(Self::start(command, directory, "prometheus.yml", config))
    }

    /// An Alertmanager.
    pub(crate) fn alertmanager(config: &str) -> Option<Self> {
        let program = peer(&["prometheus-alertmanager", "alertmanager"], "prometheus-alertmanager")?;
        let mut command = Command::new(program);
        command.args([
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
            "--storage.path=data",
        ]);
        Some(Self::start(command, tempfile::tempdir().unwrap(), "alertmanager.yml", config))
    }

    fn start(mut command: Command, directory: tempfile::TempDir, file: &str, config: &str) -> Self {
        fs::write(directory.path().join(file), config).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let mut child = command
            .arg(format!("--config.file={file}"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let read = || fs::read_to_string(directory.path().join("log")).unwrap();
        let address = until("the server's port", || {
            assert!(child.try_wait().unwrap().is_none(), "the server has ended:\n{}", read());
            // Both say so as `msg="Listening on" address=127.0.0.1:40123`.
            let log = read();
            let line = log.lines().find(|line| line.contains("\"Listening on\""))?;
            line.split_once("address=")?.1.split(' ').next()?.parse().ok()
        });
        let server = Self { child, directory, address, headers: String::new() };
        server.until("a server that is ready", || {
            request(address, "/-/ready", "", None).filter(|(status, _)| [200, 401].contains(status))
        });
        server
    }

    /// The same, asked with these header lines.
    pub(crate) fn with_headers(mut self, headers: &str) -> Self {
        headers.clone_into(&mut self.headers);
        self
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Waits as [`until`]; a failure shows the log.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE * 9 / 10;
        until(what, || {
            let found = look();
            assert!(found.is_some() || Instant::now() < deadline, "there was not: {what}\n{}", self.log());
            found
        })
    }

    /// What an address of its API answers with: `data`, or why it refused.
    pub(crate) fn api(&self, path: &str, form: Option<&str>) -> Result<Value, String> {
        let (_, body) = request(self.address, path, &self.headers, form).unwrap();
        let mut answer: Value = serde_json::from_str(&body).map_err(|_| body)?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["data"].take()),
        }
    }

    /// The series of an expression now.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let form = format!("query={}", escaped(expression));
        self.api("/api/v1/query", Some(&form)).map(|data| match data["resultType"].as_str() {
            Some("vector") => data["result"].as_array().unwrap().clone(),
            _ => vec![data["result"].clone()],
        })
    }

    /// The series of an expression over the last two minutes, a point every two seconds.
    pub(crate) fn query_range(&self, expression: &str) -> Result<Vec<Value>, String> {
        let now = self.query("time()")?[0][0].as_f64().unwrap();
        let form = format!("query={}&start={}&end={now}&step=2", escaped(expression), now - 120.0);
        self.api("/api/v1/query_range", Some(&form)).map(|data| data["result"].as_array().unwrap().clone())
    }

    /// The one value of an expression; `None` while there is none.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let series = self.query(expression).unwrap();
        assert!(series.len() <= 1, "{expression} has {} series", series.len());
        series.first()?["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
