#!/usr/bin/env python3
"""What the dashboard costs: CPU and memory of the real program in a real terminal, screen by screen.

    cargo build --release && benches/tui_cost.py target/release/pause-monitor [seconds a screen, 20]

Needs tmux, and /proc. The daemon (a simulated freeze at 10 Hz) and the terminal are its own, and end with it.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

SIZES = [(60, 16), (120, 40), (160, 50)]
SCREENS = [("1", "overview"), ("2", "processes"), ("3", "events"), ("4", "factor")]


def cpu_seconds(pid):
    """Of all threads, to the nanosecond: schedstat's first field."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def wakeups(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int(line.split()[1]) for task in tasks for line in (task / "status").read_text().splitlines()
               if line.startswith("voluntary_ctxt_switches"))


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as directory:
        environment = {"HOME": directory, "PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        tmux = ["tmux", "-f", "/dev/null", "-S", f"{directory}/tmux"]
        daemon = subprocess.Popen([program, "daemon", "--source", "simulate:freeze"], env=environment,
                                  stderr=subprocess.DEVNULL)
        try:
            while not pathlib.Path(directory, ".local/share/pause-monitor/daemon.sock").exists():
                time.sleep(0.1)
            for columns, rows in SIZES:
                subprocess.run([*tmux, "new-session", "-d", "-s", "cost", "-x", str(columns), "-y", str(rows),
                                program, "tui"], env=environment, check=True)
                pid = int(subprocess.run([*tmux, "display-message", "-p", "-t", "cost", "#{pane_pid}"],
                                         env=environment, check=True, capture_output=True, text=True).stdout)
                for key, screen in SCREENS:
                    subprocess.run([*tmux, "send-keys", "-t", "cost", key], env=environment, check=True)
                    time.sleep(1)
                    cpu, woken, began = cpu_seconds(pid), wakeups(pid), time.monotonic()
                    time.sleep(seconds)
                    passed = time.monotonic() - began
                    print(f"{columns:>3} x {rows}  {screen:<9}  {(cpu_seconds(pid) - cpu) / passed * 100:5.2f} % of a core, "
                          f"{(wakeups(pid) - woken) / passed:3.0f} wake-ups/s, {resident_mib(pid):4.1f} MiB resident",
                          flush=True)
                subprocess.run([*tmux, "kill-session", "-t", "cost"], env=environment, check=True)
        finally:
            subprocess.run([*tmux, "kill-server"], env=environment, check=False, stderr=subprocess.DEVNULL)
            daemon.terminate()
            daemon.wait()


main()
