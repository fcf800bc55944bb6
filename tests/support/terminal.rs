//! A real terminal, in tmux.

// clippy.toml allows it in tests only, and takes this for none.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use crate::daemon::until;
use crate::peer::peer;

/// Whether tmux is there; where it has to be and is not, the test fails.
pub(crate) fn has_tmux() -> bool {
    peer(&["tmux"], "tmux").is_some()
}

/// A terminal: a tmux server of its own, with a shell in it, as a user has one.
pub(crate) struct Terminal {
    pub(crate) directory: tempfile::TempDir,
}

impl Terminal {
    pub(crate) fn open(columns: u16, rows: u16) -> Self {
        let terminal = Self { directory: tempfile::tempdir().unwrap() };
        let size = [columns.to_string(), rows.to_string()];
        terminal.tmux(&[
            "new-session",
            "-d",
            "-x",
            &size[0],
            "-y",
            &size[1],
            "env",
            "PS1=ready> ",
            "LC_ALL=C.UTF-8",
            "sh",
        ]);
        terminal.wait_for("ready>");
        terminal
    }

    pub(crate) fn tmux(&self, arguments: &[&str]) -> Output {
        let socket = self.directory.path().join("tmux");
        let output = Command::new("tmux")
            .args(["-f", "/dev/null", "-S"])
            .arg(socket)
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// What is seen.
    pub(crate) fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Types a key or words, by tmux's names.
    pub(crate) fn press(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.tmux(&arguments);
    }

    /// Runs a command in the shell.
    pub(crate) fn run(&self, command: &str) {
        self.tmux(&["send-keys", "-l", command]);
        self.press(&["Enter"]);
    }

    /// Waits until all of that is seen; what is seen then.
    pub(crate) fn wait_for_all(&self, words: &[&str]) -> String {
        let mut seen = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&format!("{words:?} on the screen"), || {
                seen = self.screen();
                words.iter().all(|words| seen.contains(words)).then_some(())
            });
        }));
        assert!(found.is_ok(), "{words:?} are not on the screen:\n{seen}");
        seen
    }

    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.wait_for_all(&[words])
    }

    /// Its modes are those of a shell.
    pub(crate) fn takes_what_is_typed(&self) {
        self.run("stty -a | grep -o ' icanon\\| echo '");
        self.wait_for_all(&["icanon", "echo"]);
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on}#{mouse_any_flag}#{cursor_flag}"]);
        assert_eq!(String::from_utf8_lossy(&flags.stdout).trim(), "001", "alternate screen, mouse, cursor");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.directory.path().join("tmux");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}
