#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""How fast demonstrations are recorded and trained from, beside LeRobotDataset on the same frames in the same run.

usage: data.py make BUILD FOLDER [lerobot=PYTHON] [gb=20]    what is measured on, in FOLDER: LeRobot's data sets, imported; a large file
       data.py compare BUILD FOLDER [lerobot=PYTHON] [seconds=5]   recording and random windows, side by side
       data.py large BUILD FOLDER [seconds=5]                the first batch of the large file, and memory
       data.py load BUILD FOLDER [seconds=600]               bench/record: four cameras and a fast state
       data.py write FOLDER [report=docs/results]            data.md and record.md from what was measured

BUILD holds mynah and bench/bench_feed, bench/bench_record. lerobot: a Python with LeRobot; without one its side is left out."""
import json
import os
import shutil
import subprocess
import sys

import results

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data_peer.py")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 and not done.stdout.strip():
        raise results.Refused(done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def make(build, folder, o):
    for kind in ("image", "video"):
        root = os.path.join(folder, "lerobot-" + kind)
        shutil.rmtree(root, ignore_errors=True)
        if not o["lerobot"]:
            continue
        run(o["lerobot"], PEER, "record", root, kind)
        out = os.path.join(folder, kind + ".demos")
        if os.path.exists(out):
            os.remove(out)
        results.mynah(os.path.join(build, "mynah"), "import", "lerobot", root, "out=" + out)
    large = os.path.join(folder, "large.demos")
    if o["gb"] > 0 and not os.path.exists(large):
        run(os.path.join(build, "bench/bench_feed"), "make", large, "gb=%g" % o["gb"])


def compare(build, folder, o):
    feed, found = os.path.join(build, "bench/bench_feed"), {}
    for kind, codec in (("image", 1), ("video", 0)):
        root, ours = os.path.join(folder, "recorded-" + kind), os.path.join(folder, "recorded.demos")
        for path in (root, ours):
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
        data = os.path.join(folder, kind + ".demos")
        row = {"record": run(feed, "record", ours, "frames=600", "codec=%d" % codec)}
        if os.path.exists(data):
            row["kept"] = run(feed, "read", data, "seconds=%g" % o["seconds"])
            row["decoded"] = run(feed, "read", data, "seconds=%g" % o["seconds"], "cache=0")
        if o["lerobot"]:
            row["lerobot_record"] = run(o["lerobot"], PEER, "record", root, kind)
            row["lerobot"] = run(o["lerobot"], PEER, "read", os.path.join(folder, "lerobot-" + kind), "%g" % o["seconds"])
        found[kind] = row
        results.save(os.path.join(folder, "compare.json"), found)


def large(build, folder, o):
    feed, path = os.path.join(build, "bench/bench_feed"), os.path.join(folder, "large.demos")
    rows = [run(feed, "read", path, "seconds=%g" % o["seconds"], "cache=%d" % mb) for mb in (0, 256, 1024)]
    results.save(os.path.join(folder, "large.json"), rows)


def load(build, folder, o):
    out = os.path.join(folder, "load.demos")
    if os.path.exists(out):
        os.remove(out)
    found = run(os.path.join(build, "bench/bench_record"), out, "seconds=%g" % o["seconds"], "episode=20")
    os.remove(out)
    results.save(os.path.join(folder, "load-%g.json" % o["seconds"]), found)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def times(a, b):
    return "**%.1f**" % (a / b) if b else "-"


def write_data(folder, report):
    found, big = results.load(os.path.join(folder, "compare.json")) or {}, results.load(os.path.join(folder, "large.json")) or []
    reading, recording = [], []
    names = {"image": "pictures in Parquet (PNG)", "video": "video (AV1); here the decoded pictures"}
    for kind, row in found.items():
        peer, peer_record = row.get("lerobot", {}).get("windows_per_s"), row.get("lerobot_record", {}).get("frames_per_s")
        for key, how in (("kept", "kept in memory"), ("decoded", "cache.mb=0: each picture decoded anew")):
            if key in row:
                v = row[key]["windows_per_s"]
                reading.append([names[kind], how, "%.0f" % v, "%.0f" % peer if peer else "-", times(v, peer)])
        v = row["record"]["frames_per_s"]
        recording.append([{"image": "PNG", "video": "JPEG here, video there"}[kind], "%.0f" % v, "%.0f" % peer_record if peer_record else "-", times(v, peer_record)])
    text = "# Data: how fast frames come in and go out\n\nWritten by `bench/data.py write FOLDER` from `make`, `compare` and `large`; one thread each, "
    text += "ours and theirs side by side in one run; the large file by itself.\n\n## Random windows\n\nTwo observations (96 x 96 pictures, a state) and 16 actions, windows a second; "
    text += "LeRobotDataset 0.4.4 on the same frames.\n\n" + table(["frames", "here", "here /s", "LeRobot /s", "times"], reading)
    text += "\n\n## Recording\n\nOne 96 x 96 camera, encoded while recording, until all is safe; frames a second.\n\n"
    text += table(["codec", "here /s", "LeRobot /s", "times"], recording)
    if big:
        text += "\n\n## A large file\n\n%.1f GB, %d frames; from opening to the first batch of 64 windows (pages of the file dropped from the system's cache first), " % (
            big[0]["megabytes"] * 1e-3, big[0]["frames"])
        text += "then random windows, which hardly ever hit what is kept.\n\n" + table(
            ["cache.mb", "first batch, ms", "windows /s", "peak memory, MB"],
            [["%d" % r["cache_mb"], "%.0f" % r["first_batch_ms"], "%.0f" % r["windows_per_s"], "%.0f" % r["peak_memory_mb"]] for r in big])
    with open(os.path.join(report, "data.md"), "w") as f:
        f.write(text + "\n")


def write_record(folder, report):
    rows = []
    loads = [results.load(os.path.join(folder, name)) for name in os.listdir(folder) if name.startswith("load-")]
    for r in sorted(loads, key=lambda r: r["seconds"]):
        c = r["commit_ms"]
        rows.append(["%g" % r["seconds"], "%d" % r["offered"], "%d" % r["dropped"], "%d" % r["late"], "%d" % r["commits"],
                     "%.1f / %.1f / **%.1f** / %.1f" % (c["p50"], c["p99"], c["p99.9"], c["max"]), "%d" % r["move_ms"]["max"],
                     "%d" % r["seal_ms"]["max"], "%.0f" % r["megabytes"]])
    with open(os.path.join(report, "record.md"), "w") as f:
        f.write("# Recording under load\n\nFour cameras at 60 Hz that give JPEG of 60 kB, and a state of 14 joints at 1 kHz, into one file: frames at 1 kHz, each "
                "picture stored once. Episodes of 20 s. Written by `bench/data.py write` from `load` (`bench/record`).\n\n"
                + table(["s", "frames offered", "dropped", "late", "commits", "commit p50 / p99 / p99.9 / max, ms", "log into the file, max ms", "seal, max ms", "MB"], rows)
                + "\n\nA commit is made twenty times a second. Beside commits the writer moves the log into the file after every 64 MB, which syncs the disk, and an "
                "episode is sealed by the same and a sync; the ring of three seconds takes what comes meanwhile.\n")


def main():
    o = {"lerobot": "", "gb": 20.0, "seconds": 0.0, "report": "docs/results"}
    o, rest = results.settings(sys.argv[1:], o)
    o["seconds"] = o["seconds"] or (600.0 if rest[:1] == ["load"] else 5.0)
    if len(rest) == 3 and rest[0] in ("make", "compare", "large", "load"):
        {"make": make, "compare": compare, "large": large, "load": load}[rest[0]](rest[1], rest[2], o)
    elif len(rest) == 2 and rest[0] == "write":
        write_data(rest[1], o["report"])
        write_record(rest[1], o["report"])
    else:
        sys.exit(__doc__)


main()
