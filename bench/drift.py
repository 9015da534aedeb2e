#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Drift repaired and measured over several seeds: runs mynah, keeps each answer as JSON, writes docs/results/drift.md.

usage: drift.py [--mynah build/mynah] [--work DIR] [--seeds 5] [--jobs 1] [--shared ../shared] [--out docs/results/drift.md]
                [--parts rounds,remedies,pusht,alarm,pages,classic] [--report]

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
import statistics
import subprocess

PARTS = ["rounds", "remedies", "pusht", "alarm", "pages", "classic"]
ROADS = 200  # unseen ones, of every evaluation on the track
ROUNDS = 9
COMMON = "sim=track rounds=%d frames=1000 round.episodes=8 eval.every=0 eval.episodes=40 eval.seed=100000" % ROUNDS
METHODS = [  # name, settings of its own; rounds run over the same roads, so one plain clone stands beside all of them
    ("dagger", "method=dagger"),
    ("dart", "method=dart dart.scale=4 plain=no"),
    ("hg-dagger", "method=hg-dagger plain=no"),
    ("safe", "method=safe plain=no"),
]
RECORDED = [  # other remedies on as many frames, without rounds: name, how it is recorded, how it is trained
    ("noise", "noise=0.3", ""),
    ("side cameras", "cameras=3", "side.share=0.5 side.correction=0.264"),
    ("view shift", "", "augment.shift=0.1"),
    ("state noise", "", "obs_noise=0.1"),
]
PUSHT = ("sim=pusht rounds=3 frames=1000 round.episodes=5 eval.every=0 eval.episodes=100 eval.seed=100000 "
         "preset=pusht-gmm chunk=4 execute.steps=2 steps=1500")
PUSHT_METHODS = [  # chunks of four actions: what is labelled comes in stretches
    ("dagger", "method=dagger"),
    ("dart", "method=dart dart.scale=1 plain=no"),
    ("hg-dagger", "method=hg-dagger hold.steps=8 plain=no"),
    ("safe", "method=safe plain=no"),
]
PAGE = "episodes=16 stress.episodes=2"  # of `mynah drift`, before and after
SHOWN = 1  # the seed that it shows
ALARM_EPISODES = 80
WEAK = "steps=1500 augment.brightness=0.2 augment.contrast=0.2 augment.saturation=0 augment.hue=0 augment.shadow=0"  # clones that fail now and then
CLASSIC = [  # simulator, recording, its rate, how it is cloned
    ("cartpole", "cartpole_0_rollouts_final.npz", 50, "head=categorical act=best widths=64,64 epochs=10"),
    ("pendulum", "pendulum_0_rollouts_final.npz", 20, "normalize.action=meanstd widths=128,128 epochs=40"),
]
STUDENT = (12.706, 4.303, 3.182, 2.776)  # t of 97.5 % for 1 to 4 degrees of freedom
RECORD = "record sim=track episodes=80 limit=6.25"  # 80 x 125 frames = 10,000, as many as ten rounds label, on as many roads


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

    def measure(self, name, policy):
        return self.run(name, "eval %s/policy.safetensors sim=track episodes=%d seed=100000 threads=1" % (policy, ROADS))

    def dagger(self, method, settings, seed):
        """The command's answer, its last round and the plain clone measured on as many roads as all others."""
        name = "%s-%d" % (method, seed)
        answer = self.run(name, "dagger out=%s seed=%d threads=1 %s %s" % (name, seed, COMMON, settings), name)
        for kind, policy, at in (("last", "round-%d" % ROUNDS, lambda a: a["rounds"][-1]), ("plain", "plain", lambda a: a["plain"])):
            if answer and "plain" in answer or answer and kind == "last":
                measured = self.measure("%s-%s" % (name, kind), "%s/%s" % (name, policy))
                if not measured:
                    return None
                at(answer)["finished"] = measured["finished"]
        return answer

    def pusht(self, method, settings, seed):
        name = "pusht-%s-%d" % (method, seed)
        return self.run(name, "dagger out=%s seed=%d threads=1 %s %s" % (name, seed, PUSHT, settings), name)

    def recorded(self, remedy, recording, training, seed):
        name = "%s-%d" % (remedy.replace(" ", "-"), seed)
        if not (self.work / (name + "-record.json")).exists():
            (self.work / (name + ".demos")).unlink(missing_ok=True)
        made = self.run(name + "-record", "%s out=%s.demos seed=%d %s" % (RECORD, name, 1000003 * seed, recording))
        self.run(name + "-train", "train mlp preset=track-small data=%s.demos out=%s seed=%d threads=1 %s" % (name, name, seed, training), name)
        result = self.measure(name, name)
        return result and {"frames": made["frames"], "finished": result["finished"]}

    def drift(self, name, policies, data, settings):
        return self.run(name, "drift %s sim=track data=%s out=%s %s" % (policies, data, name, settings), name)

    def alarm(self, seed, episodes):
        """A clone of slightly disturbed demonstrations, which fails about as often as it succeeds."""
        name = "alarm-%d" % seed
        if not (self.work / (name + "-record.json")).exists():
            (self.work / (name + ".demos")).unlink(missing_ok=True)
        self.run(name + "-record", "record sim=track out=%s.demos episodes=24 limit=12.5 noise=0.04 seed=%d" % (name, 1000 * seed))
        self.run(name + "-train", "train mlp preset=track-small data=%s.demos out=%s seed=%d threads=1 %s" % (name, name + "-run", seed, WEAK), name + "-run")
        return self.drift(name, name + "-run/policy.safetensors", name + ".demos", "episodes=%d push=0 stress.episodes=0" % episodes)

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


def student(values):
    """Mean and 95 % interval of a few independent values."""
    n, mean = len(values), statistics.mean(values)
    if n < 2 or n > len(STUDENT) + 1:
        return "%.3f" % mean
    half = STUDENT[n - 2] * statistics.stdev(values) / math.sqrt(n)
    return "%.3f [%.3f, %.3f]" % (mean, mean - half, mean + half)


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
    lines = ["## Repair", "", "Laps finished of %d unseen roads a seed, after the last round; pooled, with Wilson's 95 %% interval. Plain: the same" % ROADS,
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
    shares = {}
    for method in ("dagger", "dart"):
        runs = [r["rounds"][-1]["finished"] for r in (results.get((method, s)) for s in seeds) if r]
        if runs:
            shares[method] = sum(r["k"] for r in runs) / sum(r["n"] for r in runs)
    aims = ["%s %s (%.1f %%)" % (m, "reaches it" if share >= 0.95 else "misses it", 100 * share) for m, share in shares.items()]
    missing = "–: not run. " if any("–" in line for line in lines) else ""
    return lines + ["", missing + "The aim for dagger and dart is 95 %% of the laps: %s." % ", ".join(aims)]


def pusht_table(done, seeds):
    lines = ["", "## Push-T", "", "`mynah dagger %s`, the planner labels; mean max reward of 100 unseen starts a seed;" % PUSHT,
             "over all seeds with Student's 95 % interval of the seeds' means.", "",
             "| method | labelled frames | " + " | ".join("seed %d" % s for s in seeds) + " | all seeds |", "|---|---|" + "---|" * (len(seeds) + 1)]
    for method, settings in PUSHT_METHODS:
        rows = {s: done[(method, s)] for s in seeds if (method, s) in done}
        for name, kind in ((method + " (`%s`)" % settings, "rounds"), ("plain beside " + method, "plain")):
            runs = {s: r[kind][-1] if kind == "rounds" else r[kind] for s, r in rows.items() if kind in r}
            if runs:
                cells = [interval(runs[s]["mean_max_reward"], "mean") if s in runs else "–" for s in seeds]
                cells.append(student([r["mean_max_reward"]["mean"] for r in runs.values()]))
                lines.append("| %s | %d | %s |" % (name, max(r["frames"] for r in runs.values()), " | ".join(cells)))
    return lines


def drift_table(pages):
    lines = ["", "## Growth before and after", "", "`mynah drift BEFORE AFTER %s` of the plain clone and of the last round's, seed %d; the order is p of t^p fitted to the" % (PAGE, SHOWN),
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


def exchanged(alarm):
    """False alarms and failures foreseen, each of how many, with either half of the successes setting the threshold for the other."""
    success, failure = alarm["scores"]["success"], alarm["scores"]["failure"]
    counts = [0] * 4
    for setting, others in ((success[::2], success[1::2]), (success[1::2], success[::2])):
        k = math.ceil((len(setting) + 1) * 0.95 - 1e-9)
        threshold = sorted(setting)[k - 1] if k <= len(setting) else math.inf
        more = (sum(x > threshold for x in others), len(others), sum(x > threshold for x in failure), len(failure))
        counts = [a + b for a, b in zip(counts, more)]
    return counts


def alarm_table(alarms):
    lines = ["", "## Alarm", "", "A clone of demonstrations disturbed a little (noise=0.04), trained so that it fails now and then (`%s`)," % WEAK,
             "%d episodes; the threshold is set for 5 %% on every second success," % ALARM_EPISODES,
             "false alarms are counted on the other successes.", "",
             "| seed | successes it is set on | false alarms | failures foreseen | balanced accuracy | median lead, s |", "|---|---|---|---|---|---|"]
    total, both = [0] * 4, [0] * 4
    for seed, page in alarms:
        both = [x + y for x, y in zip(both, exchanged(page["alarm"]))]
        a = page["alarm"]
        f, d = a["false_alarms"], a["detected"]
        total = [x + y for x, y in zip(total, (f["k"], f["n"], d["k"], d["n"]))]
        lines.append("| %d | %d | %s | %s | %s | %s |" % (seed, a["calibrated_on"], rate(f["k"], f["n"]) if f["n"] else "–",
                     rate(d["k"], d["n"]) if d["n"] else "–", "%.3f" % a["balanced_accuracy"] if a["balanced_accuracy"] is not None else "–",
                     "%.2f" % a["lead_s"] if a["lead_s"] is not None else "–"))
    if total[1] and total[3]:
        lines.append("| all | | %s | %s | %.3f | |" % (rate(total[0], total[1]), rate(total[2], total[3]), (1 - total[0] / total[1] + total[2] / total[3]) / 2))
        lines += ["", "With the halves exchanged as well, so that every success is checked by a threshold it had no part in: %d of %d false alarms" % (both[0], both[1]),
                  "= %.1f %% and %d of %d failures foreseen, balanced accuracy %.3f." % (100 * both[0] / both[1], both[2], both[3],
                                                                                        (1 - both[0] / both[1] + both[2] / both[3]) / 2)]
    return lines


def classic_table(classics):
    lines = ["", "## Cloned rollouts", "", "Clones of the `imitation` library's rollouts in our ports of CartPole-v1 and Pendulum-v1, 200 episodes a seed; mean return.",
             "The recorded expert's returns: 473.1 (CartPole, a sampling policy) and -189.4 (Pendulum).", "", "| task | seed | mean return |", "|---|---|---|"]
    for (sim, seed), result in classics:
        lines.append("| %s | %d | %s |" % (sim, seed, interval(result["return"], "mean", 1)))
    return lines


def main():
    p = argparse.ArgumentParser()
    for name, default in (("mynah", "build/mynah"), ("work", "build/drift"), ("shared", "../shared"), ("out", "docs/results/drift.md")):
        p.add_argument("--" + name, default=default)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--report", action="store_true")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--parts", default=",".join(PARTS))
    args = p.parse_args()
    bench, seeds, parts = Bench(args), range(1, args.seeds + 1), args.parts.split(",")
    rollouts = pathlib.Path(args.shared).resolve() / "data/imitation_rollouts"
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        def submit(part, key, call, *arguments):
            return (key, pool.submit(call, *arguments)) if part in parts or args.report else None

        def results(jobs):
            """In order, without those that were not asked for or, with --report, are not there."""
            return [(key, r) for key, r in ((j[0], j[1].result()) for j in jobs if j) if r]

        rounds = [submit("rounds", (m, s), bench.dagger, m, settings, s) for m, settings in METHODS for s in seeds]
        remedies = [submit("remedies", (r[0], s), bench.recorded, *r, s) for s in seeds for r in RECORDED]
        pushts = [submit("pusht", (m, s), bench.pusht, m, settings, s) for s in seeds for m, settings in PUSHT_METHODS]
        alarms = [submit("alarm", s, bench.alarm, s, ALARM_EPISODES) for s in seeds]
        classics = [submit("classic", (sim, s), bench.classic, sim, rollouts / npz, rate_hz, settings, s)
                    for s in seeds for sim, npz, rate_hz, settings in CLASSIC] if rollouts.exists() else []
        rounds, remedies = dict(results(rounds)), dict(results(remedies))
        pages = [submit("pages", m, bench.drift, "page-" + m, "dagger-%d/plain/policy.safetensors %s-%d/round-%d/policy.safetensors" % (SHOWN, m, SHOWN, ROUNDS),
                        "dagger-%d/plain.demos" % SHOWN, PAGE) for m in ("dagger", "dart")]
        pages, pushts, alarms, classics = results(pages), dict(results(pushts)), results(alarms), results(classics)
    lines = ["# Drift, measured and repaired", "", "Written by `bench/drift.py`; one thread a training, %s; seeds 1 to %d where they were run. The common settings of the repairs:" % (platform.machine(), args.seeds),
             "`mynah dagger %s`; of each method:" % COMMON, ""]
    lines += ["- %s: `%s`" % m for m in METHODS] + [""]
    lines += repair_tables(rounds, remedies, seeds) if rounds else []
    lines += pusht_table(pushts, seeds) if pushts else []
    lines += (drift_table(pages) if pages else []) + (alarm_table(alarms) if alarms else []) + (classic_table(classics) if classics else [])
    out = pathlib.Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("wrote %s" % out)


main()
