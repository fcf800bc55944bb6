//! A machine of one test's own: this one's files under a layer that takes all that is written, with users, processes and
//! a network of its own. The programs that only a Mac has are stand-ins where the real ones would be; sudo, visudo and
//! the shell are real. Whatever ends the test ends the machine: its first process waits for the test on a pipe, and
//! takes all else with it.
//!
//! It takes root, and the right to mount.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::daemon::until;
use crate::peer::peer;
use crate::program::Run;

/// The user's home directory there, where a Mac has it.
pub(crate) const HOME: &str = "/Users/alice";
/// What stands in the users' PATH.
const PATH: &str = "/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin";
/// Where the stand-in for launchctl keeps what it is told.
pub(crate) const LAUNCHD: &str = "/var/lib/launchctl-stand-in";

/// Makes the machine's root from the directory in $1, and the program in $2; then waits for its end.
const MAKE: &str = r#"set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/layer/upper,workdir=$1/layer/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount --rbind /sys "$1/root/sys"
mkdir -p "$1/root/opt/homebrew/bin" "$1/root/tmp"
touch "$1/root/opt/homebrew/bin/pause-monitor"
# Root's, as where it is installed: the system's service runs nobody else's.
if [ "$(stat -c %u "$2")" = 0 ]; then
  mount --bind "$2" "$1/root/opt/homebrew/bin/pause-monitor"
else
  install -m 755 "$2" "$1/root/opt/homebrew/bin/pause-monitor"
fi
mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"
ip link set lo up
cp "$3"/*-stand-in "$1/root/opt"
exec chroot "$1/root" /bin/sh -c "$4"
"#;

/// What is done inside first. sudo's rules are as on a Mac: administrators may do everything with their password, which
/// alice has; bob is none. What sudo runs is on record.
const SET_UP: &str = r#"set -eu
groupadd admin
useradd -m -d /Users/alice -s /bin/sh -G admin alice
useradd -m -d /Users/bob -s /bin/sh bob
echo alice:secret | chpasswd
rm -f /etc/sudoers.d/*
cat >/etc/sudoers <<'RULES'
Defaults env_reset
Defaults logfile=/var/log/sudo.log
root ALL=(ALL) ALL
%admin ALL=(ALL) ALL
@includedir /etc/sudoers.d
RULES
ln -s /opt/launchctl-stand-in /usr/bin/launchctl
ln -s /opt/tailspin-stand-in /usr/bin/tailspin
mkdir /var/lib/launchctl-stand-in /var/lib/sampler
chmod 1777 /var/lib/launchctl-stand-in /var/lib/sampler
for file in calls again local.pause-monitor.runs; do : >/var/lib/launchctl-stand-in/$file; done
chmod 666 /var/lib/launchctl-stand-in/*
touch /var/lib/sampler/gate
cat >/usr/bin/powermetrics <<'SAMPLER'
#!/bin/sh
# As an ordinary user the real one refuses, after a look at the samplers' names.
faults=none starts=/var/lib/sampler/starts
[ "$(id -u)" = 0 ] || { faults=no-root starts=/dev/null; }
export STAND_IN_PROGRAM=/opt/homebrew/bin/pause-monitor STAND_IN_STARTS=$starts
export STAND_IN_GATE=/var/lib/sampler/gate STAND_IN_FAULTS=$faults HOME=/root
exec /opt/powermetrics-stand-in "$@"
SAMPLER
chmod 755 /usr/bin/powermetrics
touch /ready
exec cat
"#;

/// A machine.
pub(crate) struct Machine {
    holder: Child,
    /// The machine's first process, as it is numbered outside.
    first: i32,
    _directory: tempfile::TempDir,
}

impl Machine {
    /// Makes one. `None` where that is not possible here, which is told; with PAUSE_MONITOR_REQUIRE_PEERS=1 root fails.
    #[allow(clippy::print_stdout)]
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            println!("passed over: a machine of its own takes root");
            return None;
        }
        for (name, package) in [
            ("sudo", "sudo"),
            ("visudo", "sudo"),
            ("unshare", "util-linux"),
            ("nsenter", "util-linux"),
            ("ip", "iproute2"),
            ("useradd", "passwd"),
            ("python3", "python3"),
        ] {
            peer(&[name], package)?;
        }
        let directory = tempfile::tempdir().unwrap();
        for name in ["layer", "root"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        // Its root is entered by others than us.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--net",
                "--uts",
                "--fork",
                "--kill-child",
                "/bin/sh",
                "-c",
                MAKE,
                "machine",
            ])
            .arg(directory.path())
            .arg(env!("CARGO_BIN_EXE_pause-monitor"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bin"))
            .arg(SET_UP)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.path().join("made")).unwrap())
            .spawn()
            .unwrap();
        let pid = holder.id();
        let first = until("a machine", || {
            if holder.try_wait().unwrap().is_some() {
                return Some(None);
            }
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            let first: i32 = children.split_ascii_whitespace().next()?.parse().ok()?;
            Path::new(&format!("/proc/{first}/root/ready")).exists().then_some(Some(first))
        });
        let Some(first) = first else {
            let why = std::fs::read_to_string(directory.path().join("made")).unwrap();
            let required = std::env::var_os("PAUSE_MONITOR_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!required, "no machine can be made here: {why}");
            println!("passed over: no machine can be made here: {why}");
            return None;
        };
        Some(Self { holder, first, _directory: directory })
    }

    /// A file there, as it is found from here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.first))
    }

    /// The text of a file there; empty where there is none.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Writes a file there, for its user where it lies in a home directory.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let outside = self.path(path);
        let user = path.strip_prefix("/Users/").map(|rest| rest.split('/').next().unwrap());
        let directory = Path::new(path).parent().unwrap().to_str().unwrap();
        match user {
            Some(user) => assert_eq!(self.shell(user, &format!("mkdir -p '{directory}'")).code, 0),
            None => std::fs::create_dir_all(self.path(directory)).unwrap(),
        }
        std::fs::write(outside, text).unwrap();
        if let Some(user) = user {
            assert_eq!(self.shell("root", &format!("chown {user} '{path}'")).code, 0);
        }
    }

    /// Whether there is something at a path there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// A command there as a user, with an ordinary environment.
    pub(crate) fn command(&self, user: &str, command: &[&str]) -> Command {
        let home = if user == "root" { "/root".to_owned() } else { format!("/Users/{user}") };
        let mut enter = Command::new("nsenter");
        enter
            .arg(format!("--target={}", self.first))
            .args(["--mount", "--pid", "--net", "--uts", "--root", "--wdns=/"])
            .args(["runuser", "-u", user, "--", "env", "-i"])
            .args([format!("HOME={home}"), format!("USER={user}"), format!("PATH={PATH}")])
            .args(command)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null());
        enter
    }

    /// Runs the program there as a user.
    pub(crate) fn run(&self, user: &str, arguments: &[&str]) -> Run {
        let command: Vec<&str> = std::iter::once("pause-monitor").chain(arguments.iter().copied()).collect();
        Run::of(&mut self.command(user, &command))
    }

    /// Runs a line of shell there as a user.
    pub(crate) fn shell(&self, user: &str, line: &str) -> Run {
        Run::of(&mut self.command(user, &["/bin/sh", "-c", line]))
    }

    /// Lets alice do as root, without a password, what `install` and `uninstall` ask sudo for, and nothing else: nobody
    /// is there to type.
    pub(crate) fn let_install(&self) {
        let rules = "alice ALL=(root) NOPASSWD: /bin/sh\n";
        self.write("/etc/sudoers.d/let-install", rules);
        assert_eq!(self.shell("root", "chmod 440 /etc/sudoers.d/let-install").code, 0);
    }

    /// How often sudo ran a shell so far: once for each time that a user would have been asked.
    pub(crate) fn asked(&self) -> usize {
        let log = self.read("/var/log/sudo.log").replace("\n    ", " ");
        log.lines().filter(|line| line.contains("COMMAND=/bin/sh")).count()
    }

    /// The programs that run there, as their command lines.
    pub(crate) fn processes(&self) -> Vec<String> {
        let all = self.shell("root", "ps -A -o args=");
        all.stdout.lines().map(str::to_owned).collect()
    }

    /// Types into a program that asks on its terminal: what it says, and its exit code. `answers` are pairs of what is
    /// waited for and what is typed then.
    pub(crate) fn typed(&self, user: &str, arguments: &[&str], answers: &[(&str, &str)]) -> (String, i32) {
        let line = format!("pause-monitor {}", arguments.join(" "));
        let mut command = self.command(user, &["script", "-qefc", &line, "/tmp/typescript"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut typing = child.stdin.take().unwrap();
        for (question, answer) in answers {
            until(&format!("{question:?} on the terminal"), || {
                self.read("/tmp/typescript").contains(question).then_some(())
            });
            writeln!(typing, "{answer}").unwrap();
        }
        let status = until("the program's end", || child.try_wait().unwrap());
        (self.read("/tmp/typescript"), status.code().unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process reads to the end of this.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
