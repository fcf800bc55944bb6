//! A desktop of its own: a D-Bus session, an X server, and dunst, which shows notifications and prints them.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::daemon::{signal, until};
use crate::peer::peer;
use crate::program::Program;

/// What is started, ended in the reverse order.
pub(crate) struct Desktop {
    directory: tempfile::TempDir,
    children: Vec<Child>,
    bus: String,
    display: String,
}

/// A notification as dunst prints it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) summary: String,
    /// What stands on the screen, with dunst's own markup.
    pub(crate) formatted: String,
}

impl Desktop {
    /// A session without anybody who shows notifications; `None` where a peer is missing.
    pub(crate) fn bare() -> Option<Self> {
        let bus_daemon = peer(&["dbus-daemon"], "dbus-daemon")?;
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let bus = format!("unix:path={}", socket.display());
        // Without folders of services: the bus itself would start some notification service or other.
        let config = directory.path().join("bus.conf");
        let policy =
            "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>";
        let text = format!(
            "<busconfig><type>session</type><listen>{bus}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\">{policy}</policy></busconfig>"
        );
        fs::write(&config, text).unwrap();
        let child = Command::new(bus_daemon)
            .args(["--nofork", "--nopidfile", "--config-file"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let desktop = Self { directory, children: vec![child], bus, display: String::new() };
        until("the D-Bus session", || socket.exists().then_some(()));
        Some(desktop)
    }

    /// A whole one.
    pub(crate) fn new() -> Option<Self> {
        let (xvfb, dunst) = (peer(&["Xvfb"], "xvfb")?, peer(&["dunst"], "dunst")?);
        let mut desktop = Self::bare()?;
        let mut x = Command::new(xvfb)
            .args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(x.stdout.take().unwrap()).read_line(&mut number).unwrap();
        desktop.children.push(x);
        desktop.display = format!(":{}", number.trim());
        let log = File::create(desktop.log()).unwrap();
        let config = desktop.directory.path().join("dunstrc");
        fs::write(&config, "[global]\nmarkup = full\nformat = \"%s|%b\"\n").unwrap();
        let child = Command::new(dunst)
            .arg("-print")
            .arg("-config")
            .arg(&config)
            .env("DBUS_SESSION_BUS_ADDRESS", &desktop.bus)
            .env("DISPLAY", &desktop.display)
            .env("HOME", desktop.directory.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        desktop.children.push(child);
        // It is there when a notification comes through.
        let program = desktop.program();
        until("dunst", || (program.run(&["notify-test"]).code == 0).then_some(()));
        until("the first notification", || (!desktop.shown().is_empty()).then_some(()));
        Some(desktop)
    }

    /// The program as a user of this desktop starts it.
    pub(crate) fn program(&self) -> Program {
        Program::new().env("DBUS_SESSION_BUS_ADDRESS", &self.bus).env("DISPLAY", &self.display)
    }

    /// Stops dunst where it stands: it takes nothing more, and answers nobody.
    pub(crate) fn hang(&self) {
        let dunst = self.children.last().unwrap().id().cast_signed();
        assert!(signal(dunst, libc::SIGSTOP));
    }

    /// Listens to all that goes over the session's bus, until it is dropped; `None` where the peer is missing.
    pub(crate) fn listen(&self) -> Option<Listener> {
        let monitor = peer(&["dbus-monitor"], "dbus-bin")?;
        let heard = self.directory.path().join("heard");
        let child = Command::new(monitor)
            .args(["--address", &self.bus])
            .stdin(Stdio::null())
            .stdout(File::create(&heard).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listener = Listener { child, heard };
        // It has heard something as soon as it listens: its own coming.
        until("somebody who listens", || (!listener.heard().is_empty()).then_some(()));
        Some(listener)
    }

    /// What was shown so far.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let text = fs::read_to_string(self.log()).unwrap();
        let field = |block: &str, name: &str| {
            let start = block.find(&format!("\t{name}: '")).unwrap() + name.len() + 4;
            block[start..].split("'\n").next().unwrap().to_owned()
        };
        text.split("\n}\n")
            .filter(|block| block.contains("\tformatted: '"))
            .map(|block| Shown { summary: field(block, "summary"), formatted: field(block, "formatted") })
            .collect()
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory.path().join("dunst.log")
    }
}

/// Whoever hears what goes over the bus.
pub(crate) struct Listener {
    child: Child,
    heard: std::path::PathBuf,
}

impl Listener {
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.heard).unwrap()).into_owned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
