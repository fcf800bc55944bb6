#!/usr/bin/env python3
"""Whether resident memory stays flat: over a day's samples at full speed, or over a while live.

    cargo build --release
    benches/memory.py target/release/pause-monitor                  a day's samples (864,000), as fast as they go
    benches/memory.py target/release/pause-monitor --live 60        an hour live, at 10 Hz

The day is a stream of `simulate --no-wait` (--scenario, mixed unless told otherwise) that the daemon replays from its
standard input with `--speed max`. Live, two daemons run side by side, one on a stream of 260 KB a sample, one on this
machine, each with a client and scraped every second. Resident memory is looked at all along; printed are its value after
a quarter and at the end, the highest, and the rise of a straight line through the last three quarters (least squares), of
all that is resident and of what is not the pages of a file (the program's own code, as it comes to be used).
With --json as JSON. Exit code 1 where it grew by more than --limit KiB (1,024) from the first quarter to the end, by
either line, or rose above 20 MiB on the stream, 24 MiB on this machine, 40 MiB at full speed.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

from support.daemons import Daemon, stand_in

# At 10 Hz the budget; of this machine there is none, and in CRITICAL the store takes some more; at full speed every queue
# may be full, and the store writes as fast as it can.
CEILING_KIB = {"stream": 20 * 1024, "machine": 24 * 1024, "replay": 40 * 1024}


def straight_line(points):
    """The slope of the line through (x, y), by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def judge(name, points, unit, limit, ceiling):
    """What a run came to, of (how far, KiB resident, KiB of it that are not a file's)."""
    whole = points[-1][0]
    later = [point for point in points if point[0] >= whole / 4]

    def flat(column):
        # A look more or less must not decide: the middle of the first and of the last few.
        middle = lambda some: sorted(point[column] for point in some)[len(some) // 2]
        slope = straight_line([(point[0], point[column]) for point in later])
        return {"quarter_kib": middle(later[:9]), "end_kib": middle(later[-9:]), "highest_kib": max(point[column] for point in points),
                "slope_kib": slope, "grown_kib": slope * (whole - later[0][0])}

    resident, own = flat(1), flat(2)
    return {"what": name, "over": whole, "unit": unit, "looks": len(points), "resident": resident, "own": own, "limit_kib": limit, "ceiling_kib": ceiling,
            "met": max(resident["grown_kib"], own["grown_kib"]) <= limit and resident["highest_kib"] <= ceiling}


def look(daemon, far):
    return (far, daemon.resident_kib(), daemon.resident_kib("RssAnon"))


def replayed(program, scenario, count, limit):
    """A day's samples at full speed."""
    simulation = subprocess.Popen([program, "simulate", "--scenario", scenario, "--no-wait", "--count", str(count)],
                                  stdout=subprocess.PIPE)
    points = []
    with Daemon(program, ["--source", "replay:-", "--speed", "max"], stdin=simulation.stdout) as daemon:
        simulation.stdout.close()
        daemon.wait_until_it_watches()
        began = time.monotonic()
        while daemon.process.poll() is None:
            resident = look(daemon, 0)
            try:
                page = daemon.scrape()
            except OSError:
                break
            taken = next(float(line.split()[1]) for line in page.splitlines()
                         if line.startswith('pause_monitor_samples_total{state="complete"}'))
            if resident[1]:
                points.append((taken, *resident[1:]))
            time.sleep(0.25)
        if daemon.process.wait() != 0:
            raise SystemExit(f"the daemon ended with {daemon.process.returncode}; its log:\n{daemon.log()}")
        took = time.monotonic() - began
    if simulation.wait() != 0 or len(points) < 20:
        raise SystemExit(f"the simulation ended with {simulation.returncode}, and memory was looked at {len(points)} times")
    # The looks end a little before the stream does.
    points.append((float(count), *points[-1][1:]))
    return judge(f"replay of {scenario}, {count / took:,.0f} samples/s", points, "samples", limit, CEILING_KIB["replay"])


def live(program, minutes, limit):
    """A stream and this machine, side by side."""
    kinds = {"stream": Daemon(program, config=stand_in(program)), "machine": Daemon(program, ["--source", "linux"])}
    points = {name: [] for name in kinds}
    clients = []
    try:
        for daemon in kinds.values():
            daemon.wait_until_it_watches()
            clients.append(daemon.stream(stdout=subprocess.DEVNULL))
        began = time.monotonic()
        while (passed := time.monotonic() - began) < minutes * 60:
            for name, daemon in kinds.items():
                daemon.scrape()
                points[name].append(look(daemon, passed / 60))
            time.sleep(1)
    finally:
        for client in clients:
            client.terminate()
            client.wait()
        for daemon in kinds.values():
            daemon.__exit__()
    return [judge(f"{name}, live", found, "minutes", limit, CEILING_KIB[name]) for name, found in points.items()]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("program", type=pathlib.Path)
    options.add_argument("--live", type=float, metavar="MINUTES")
    options.add_argument("--scenario", default="mixed")
    options.add_argument("--count", type=int, default=864_000)
    options.add_argument("--limit", type=float, default=1024, metavar="KIB")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    program = asked.program.resolve()
    if asked.live:
        runs = live(program, asked.live, asked.limit)
    else:
        runs = [replayed(program, asked.scenario, asked.count, asked.limit)]
    if asked.json:
        print(json.dumps(runs, indent=2))
    else:
        for run in runs:
            print(f"{run['what']}: {run['over']:,.0f} {run['unit']}, {run['looks']} looks")
            for what, of in (("resident", run["resident"]), ("of it not a file's", run["own"])):
                print(f"  {what:<19} after a quarter {of['quarter_kib'] / 1024:5.2f} MiB, at the end {of['end_kib'] / 1024:5.2f} MiB, "
                      f"highest {of['highest_kib'] / 1024:5.2f} MiB, straight line {of['grown_kib']:+.0f} KiB")
            print(f"  at most {run['limit_kib']:+.0f} KiB by the line, {run['ceiling_kib'] / 1024:.0f} MiB: {'met' if run['met'] else 'NOT MET'}")
    sys.exit(0 if all(run["met"] for run in runs) else 1)


main()
