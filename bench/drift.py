#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drift repaired and measured over several seeds: runs mynah, keeps each answer as JSON, writes docs/results/drift.md.

usage: drift.py [--mynah build/mynah] [--work DIR] [--seeds 5] [--jobs 1] [--shared ../shared] [--out docs/results/drift.md]
                [--methods dagger,dart,hg-dagger,safe] [--report]

Answers already in the work folder are used again, so a run that was stopped goes on; --report runs nothing and writes
down what is there. Every command runs on one thread.
"""
import argparse
import concurrent.futures
import json
import math
import pathlib
import platform
import shutil
import subprocess

COMMON = "sim=track rounds=9 frames=1000 steps=2500 eval.episodes=50 eval.seed=100000"  # steps as preset=track-small
METHODS = [  # name, settings of its own
    ("dagger", "method=dagger round.episodes=4"),
    ("dart", "method=dart round.episodes=8 dart.scale=4"),
    ("hg-dagger", "method=hg-dagger round.episodes=4 plain=no"),
    ("safe", "method=safe round.episodes=4 plain=no"),
]
RECORDED = [  # other remedies on as many frames, without rounds: name, how it is recorded, how it is trained
    ("noise", "noise=0.3", ""),
    ("side cameras", "cameras=3", "side.share=0.5 side.correction=0.264"),
    ("view shift", "", "augment.shift=0.1"),
    ("state noise", "", "obs_noise=0.1"),
]
RECORD = "record sim=track episodes=40 limit=12.5"  # 40 x 250 frames = 10,000, as many as ten rounds label


def wilson(k, n):
    if n == 0:
        return math.nan, math.nan
    z, p = 1.959963984540054, k / n
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half if k else 0.0, centre + half if k < n else 1.0


class Bench:
    def __init__(self, args):
        self.mynah, self.work, self.args = str(pathlib.Path(args.mynah).resolve()), pathlib.Path(args.work), args
        self.work.mkdir(parents=True, exist_ok=True)
        self.commands = []

    def run(self, name, command, folder=None):
        """The JSON of a command, from the work folder if it was run before; a folder it half filled is removed first."""
        answer = self.work / (name + ".json")
        if not answer.exists() and self.args.report:
            return None
        if not answer.exists():
            if folder:
                shutil.rmtree(self.work / folder, ignore_errors=True)
            done = subprocess.run([self.mynah] + command.split() + ["--json", "--quiet"], cwd=self.work, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit("mynah %s: %s" % (command, done.stderr.strip()))
            answer.write_text(done.stdout, encoding="utf-8")
        return json.loads(answer.read_text(encoding="utf-8"))

    def dagger(self, method, settings, seed):
        name = "%s-%d" % (method, seed)
        return self.run(name, "dagger out=%s seed=%d threads=1 %s %s" % (name, seed, COMMON, settings), name)

    def recorded(self, remedy, recording, training, seed):
        name = "%s-%d" % (remedy.replace(" ", "-"), seed)
        if not (self.work / (name + "-record.json")).exists():
            (self.work / (name + ".demos")).unlink(missing_ok=True)
        made = self.run(name + "-record", "%s out=%s.demos seed=%d %s" % (RECORD, name, 1000003 * seed, recording))
        self.run(name + "-train", "train mlp preset=track-small data=%s.demos out=%s seed=%d threads=1 %s" % (name, name, seed, training), name)
        result = self.run(name, "eval %s/policy.safetensors sim=track episodes=50 seed=100000 threads=1" % name)
        return result and {"frames": made["frames"], "finished": result["finished"]}

    def drift(self, name, policies, data, episodes):
        return self.run(name, "drift %s sim=track data=%s out=%s episodes=%d threads=1" % (policies, data, name, episodes), name)

    def alarm(self, seed, episodes):
        """A clone of slightly disturbed demonstrations, which fails about as often as it succeeds."""
        name = "alarm-%d" % seed
        if not (self.work / (name + "-record.json")).exists():
            (self.work / (name + ".demos")).unlink(missing_ok=True)
        self.run(name + "-record", "record sim=track out=%s.demos episodes=24 limit=12.5 noise=0.04 seed=%d" % (name, 1000 * seed))
        self.run(name + "-train", "train mlp preset=track-small data=%s.demos out=%s seed=%d threads=1" % (name, name + "-run", seed), name + "-run")
        return self.drift(name, name + "-run/policy.safetensors", name + ".demos", episodes)

    def classic(self, sim, npz, rate, settings, seed):
        name = "%s-%d" % (sim, seed)
        if not (self.work / (sim + ".demos")).exists():
            self.run(sim + "-import", "import rollouts %s out=%s.demos rate_hz=%g" % (npz, sim, rate))
        self.run(name + "-train", "train mlp data=%s.demos out=%s seed=%d threads=1 normalize=meanstd %s" % (sim, name, seed, settings), name)
        return self.run(name, "eval %s/policy.safetensors sim=%s episodes=200 threads=1" % (name, sim))


def rate(k, n):
    return "%d of %d = %.1f %% [%.1f, %.1f]" % (k, n, 100 * k / n, *(100 * x for x in wilson(k, n)))


def interval(v, key="value", digits=3):
    return "%.*f [%.*f, %.*f]" % (digits, v[key], digits, v["ci"][0], digits, v["ci"][1])


def recorded_rows(remedies, seeds):
    lines = []
    for name, recording, training in RECORDED:
        done = {s: r for (n, s), r in remedies.items() if n == name and r}
        if done:
            k, n = sum(r["finished"]["k"] for r in done.values()), sum(r["finished"]["n"] for r in done.values())
            cells = ["%d" % done[s]["finished"]["k"] if s in done else "–" for s in seeds]
            lines.append("| %s (`%s`) | %d | %s | %s |" % (name, (recording + " " + training).strip(), max(r["frames"] for r in done.values()),
                         " | ".join(cells), rate(k, n)))
    return lines


def repair_tables(results, remedies, seeds):
    lines = ["## Repair", "", "Laps finished of 50 unseen roads a seed, after the last round; pooled, with Wilson's 95 % interval. Plain: the same",
             "network trained as long on as many frames of the undisturbed expert, on the same roads.", "",
             "| method | labelled frames | " + " | ".join("seed %d" % s for s in seeds) + " | all seeds |", "|---|---|" + "---|" * (len(seeds) + 1)]
    for method, _ in METHODS:
        rows = [r for r in (results.get((method, s)) for s in seeds) if r]
        for kind in ("last round", "plain") if rows and "plain" in rows[0] else ("last round",):
            runs = [r["rounds"][-1] if kind == "last round" else r["plain"] for r in rows]
            done = {s: results[(method, s)] for s in seeds if results.get((method, s))}
            cells = ["%d" % (done[s]["rounds"][-1] if kind == "last round" else done[s]["plain"])["finished"]["k"] if s in done else "–" for s in seeds]
            k, n = sum(r["finished"]["k"] for r in runs), sum(r["finished"]["n"] for r in runs)
            if not n:
                continue
            frames = sorted({r["frames"] for r in runs})
            lines.append("| %s%s | %s | %s | %s |" % (method if kind == "last round" else "plain beside ", "" if kind == "last round" else method,
                         "%d" % frames[0] if len(frames) == 1 else "%d to %d" % (frames[0], frames[-1]),
                         " | ".join(cells), rate(k, n)))
    lines += recorded_rows(remedies, seeds)
    lines += ["", "Finished laps by round, all seeds together:", "", "| method | " + " | ".join("%d" % i for i in range(10)) + " |", "|---|" + "---|" * 10]
    for method, _ in METHODS:
        rows = [r for r in (results.get((method, s)) for s in seeds) if r]
        if rows:
            cells = []
            for i in range(10):
                k, n = sum(r["rounds"][i]["finished"]["k"] for r in rows), sum(r["rounds"][i]["finished"]["n"] for r in rows)
                cells.append("%.0f %%" % (100 * k / n))
            lines.append("| %s | %s |" % (method, " | ".join(cells)))
    return lines


def drift_table(pages):
    lines = ["", "## Growth before and after", "", "`mynah drift` of the plain clone and of the last round's, 100 episodes each; the order is p of t^p fitted to the",
             "accumulated error of the first 5 s.", "",
             "| pair | | laps finished | error, expert's states | error, own states | own / expert's | order p | best law | pushes recovered |", "|---|---|---|---|---|---|---|---|---|"]
    for name, page in pages:
        for side in ("before", "after"):
            v = page[side]
            lines.append("| %s | %s | %d of %d | %s | %s | %s | %s | %s | %s |" % (
                name, side, v["finished"]["k"], v["finished"]["n"], interval(v["expert_states"], "error"), interval(v["own_states"], "error"),
                interval(v["ratio"], digits=2), interval(v["growth"]["order"], digits=2), v["growth"]["best"],
                interval(v["recovery"]["clone"], "rate", 2)))
    return lines


def alarm_table(alarms):
    lines = ["", "## Alarm", "", "A clone of demonstrations disturbed a little (noise=0.04), 200 episodes; the threshold is set for 5 % on every second success,",
             "false alarms are counted on the other successes.", "",
             "| seed | successes it is set on | false alarms | failures foreseen | balanced accuracy | median lead, s |", "|---|---|---|---|---|---|"]
    total = [0] * 4
    for seed, page in alarms:
        a = page["alarm"]
        f, d = a["false_alarms"], a["detected"]
        total = [x + y for x, y in zip(total, (f["k"], f["n"], d["k"], d["n"]))]
        lines.append("| %d | %d | %s | %s | %s | %s |" % (seed, a["calibrated_on"], rate(f["k"], f["n"]) if f["n"] else "–",
                     rate(d["k"], d["n"]) if d["n"] else "–", "%.3f" % a["balanced_accuracy"] if a["balanced_accuracy"] is not None else "–",
                     "%.2f" % a["lead_s"] if a["lead_s"] is not None else "–"))
    if total[1] and total[3]:
        lines.append("| all | | %s | %s | %.3f | |" % (rate(total[0], total[1]), rate(total[2], total[3]), (1 - total[0] / total[1] + total[2] / total[3]) / 2))
    return lines


def classic_table(classics):
    lines = ["", "## Cloned rollouts", "", "Clones of the `imitation` library's rollouts in our ports of CartPole-v1 and Pendulum-v1, 200 episodes a seed; mean return.",
             "The recorded expert's returns: 473.1 (CartPole, a sampling policy) and -189.4 (Pendulum).", "", "| task | seed | mean return |", "|---|---|---|"]
    for sim, seed, result in classics:
        lines.append("| %s | %d | %s |" % (sim, seed, interval(result["return"], "mean", 1)))
    return lines


def main():
    p = argparse.ArgumentParser()
    for name, default in (("mynah", "build/mynah"), ("work", "build/drift"), ("shared", "../shared"), ("out", "docs/results/drift.md")):
        p.add_argument("--" + name, default=default)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--report", action="store_true")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--methods", default=",".join(m for m, _ in METHODS))
    args = p.parse_args()
    bench, seeds, chosen = Bench(args), range(1, args.seeds + 1), args.methods.split(",")
    results, pages, alarms, classics = {}, [], [], []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {(m, s): pool.submit(bench.dagger, m, settings, s) for s in seeds for m, settings in METHODS if m in chosen}
        results = {key: job.result() for key, job in jobs.items()}
        remedies = {(r[0], s): pool.submit(bench.recorded, *r, s) for s in seeds for r in RECORDED}
        remedies = {key: job.result() for key, job in remedies.items()}
        pairs = [(m, pool.submit(bench.drift, "page-" + m, "%s-1/plain/policy.safetensors %s-1/round-9/policy.safetensors" % (m, m),
                                 m + "-1/plain.demos", 100)) for m in ("dagger", "dart") if m in chosen]
        watches = [(s, pool.submit(bench.alarm, s, 200)) for s in seeds]
        pages = [(m, j.result()) for m, j in pairs if j.result()]
        alarms = [(s, j.result()) for s, j in watches if j.result()]
    rollouts = pathlib.Path(args.shared).resolve() / "data/imitation_rollouts"
    if rollouts.exists():
        for s in seeds:
            classics.append(("cartpole", s, bench.classic("cartpole", rollouts / "cartpole_0_rollouts_final.npz", 50, "head=categorical act=best widths=64,64 epochs=10", s)))
            classics.append(("pendulum", s, bench.classic("pendulum", rollouts / "pendulum_0_rollouts_final.npz", 20, "normalize.action=meanstd widths=128,128 epochs=40", s)))
    classics = [c for c in classics if c[2]]
    lines = ["# Drift, measured and repaired", "", "Written by `bench/drift.py`; %d seeds, one thread a command, %s. The common settings of the repairs:" % (args.seeds, platform.machine()),
             "`mynah dagger %s`; of each method:" % COMMON, ""]
    lines += ["- %s: `%s`" % m for m in METHODS if m[0] in chosen] + [""]
    lines += repair_tables(results, remedies, seeds) + (drift_table(pages) if pages else []) + (alarm_table(alarms) if alarms else [])
    lines += classic_table(classics) if classics else []
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("wrote %s" % out)


main()
