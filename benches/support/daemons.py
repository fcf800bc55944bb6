"""Daemons of one's own to measure: the built program on a temporary directory, and what /proc says of it. Linux only."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

PATIENCE_S = 60


def lines(path):
    """The lines of a file of /proc; none where its process or thread has just gone."""
    try:
        return pathlib.Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


class Daemon:
    """A daemon with these arguments, and this configuration; ended and cleared away at the end of its block."""

    def __init__(self, program, arguments=(), config="", stdin=subprocess.DEVNULL):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="pause-monitor-cost."))
        (self.home / "config.toml").write_text(config)
        self.options = ["--config", self.home / "config.toml", "--data-dir", self.home / "data"]
        self.program, self.environment = program, {"HOME": str(self.home), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
        with open(self.home / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([program, "daemon", *self.options, "--web.listen-address", "127.0.0.1:0", *arguments],
                                            env=self.environment, stdin=stdin, stdout=log, stderr=log)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home)

    def log(self):
        return (self.home / "log").read_text()

    def wait_for(self, words):
        """Waits until the log matches; the match."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if found := re.search(words, self.log()):
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"the daemon does not say {words!r}; its log:\n{self.log()}")

    def wait_until_it_watches(self):
        self.wait_for("watching with the source")

    def scrape(self):
        """The text of /metrics."""
        url = self.wait_for(r"(http://127[^ ]*/metrics)").group(1)
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def value(self, series):
        """The value of a series, named as on the page; 0 where it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.scrape(), re.M)
        return float(found.group(1)) if found else 0.0

    def stream(self, **options):
        """A client: `stream`, from now on."""
        return subprocess.Popen([self.program, "stream", *self.options], env=self.environment, **options)

    def socket(self):
        return str(self.home / "data" / "daemon.sock")

    def resident_kib(self, kind="VmRSS"):
        """Resident memory: all of it (VmRSS), or what is the program's own and not a file's (RssAnon)."""
        return next((int(line.split()[1]) for line in lines(f"/proc/{self.pid}/status") if line.startswith(kind)), 0)

    def threads(self):
        """Each thread's name, CPU time in ns, and how often it waited and was woken, by its id."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            name, cpu = lines(task / "comm"), lines(task / "schedstat")
            switches = [int(line.split()[1]) for line in lines(task / "status") if line.startswith("voluntary_ctxt_switches")]
            if name and cpu and switches:
                found[int(task.name)] = (name[0], int(cpu[0].split()[0]), switches[0])
        return found


def spent(before, after):
    """What each thread used between two looks, by name: CPU time in s, times woken. Of one that ended in between what it
    used since the first look is lost."""
    used = {}
    for thread, (name, cpu, switches) in after.items():
        _, cpu_before, switches_before = before.get(thread, (name, 0, 0))
        cpu_s, woken = used.get(name, (0.0, 0))
        used[name] = (cpu_s + (cpu - cpu_before) / 1e9, woken + switches - switches_before)
    return used


def processes():
    return sum(name.isdigit() for name in os.listdir("/proc"))


def stand_in(program, *arguments):
    """A configuration whose powermetrics is the program's own simulation: documents of 260 KB at 10 Hz."""
    command = ", ".join(f'"{word}"' for word in [program, "simulate", "--scenario", "calm", *arguments])
    return f'[source]\nkind = "powermetrics"\n[powermetrics]\ncommand = [{command}]\n'
