#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server under attack: does it answer its client as before, and does its memory stay what it was?

usage: abuse.py MYNAH [rate=100] [calm=8] [seconds=60] [parts=flood,frames] [work=build/abuse] [report=docs/results]

flood:  `mynah run policy=ws://…` holds control at `rate` Hz, calm, then while others connect without a token, with a wrong one, with heads that
        never end, a byte at a time, not at all, and with rubbish, as fast as they can, for `seconds`.
frames: clients with the token send messages with bytes changed, wrong types and shapes, frames that are too long, as fast as they can.
What is in the work folder is not measured again. The report is abuse.md; the same against 10^6 frames in one process, memory counted to the byte,
is `tests/serve/test_server.c` in its long version."""
import base64
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import results

TOKEN = "a-long-token"


def make_policy(program, folder):
    data, run = os.path.join(folder, "p.demos"), os.path.join(folder, "run")
    if not os.path.exists(os.path.join(run, "policy.safetensors")):
        results.mynah(program, "record", "sim=pendulum", "episodes=3", "out=" + data)
        results.mynah(program, "train", "mlp", "data=" + data, "widths=64,64", "chunk=8", "execute.steps=4", "steps=50", "out=" + run)
    return os.path.join(run, "policy.safetensors")


class Server:
    def __init__(self, program, policy):
        self.process = subprocess.Popen([program, "serve", policy, "port=0", "token=" + TOKEN, "slow=2", "message.max=65536", "--json", "--quiet"],
                                        stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def resident_kb(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def end(self):
        self.process.send_signal(signal.SIGINT)
        return json.loads(self.process.communicate()[0])


def drive(program, policy, server, o, seconds):
    return results.mynah(program, "run", "ws://127.0.0.1:%d" % server.port, "robot=sim:pendulum", "rate=%d" % o["rate"], "seconds=%d" % seconds,
                         "token=" + TOKEN, "timeout=1", "execute.steps=4")


# ---- attackers -------------------------------------------------------------------------------------------------------

def head(token):
    key = base64.b64encode(random.randbytes(16)).decode()
    return ("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n" %
            (key, "Authorization: Api-Key %s\r\n" % token if token else "")).encode()


def dial(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=2)
    s.settimeout(2)
    return s


def hear(s):
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass


def no_token(s):
    s.sendall(head(None))
    hear(s)


def wrong_token(s):
    s.sendall(head("not-the-token"))
    hear(s)


def endless_head(s):
    s.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100000)
    hear(s)


def slow_sender(s):
    for byte in head(TOKEN)[:10]:
        s.sendall(bytes([byte]))
        time.sleep(0.1)


def half_open(s):
    time.sleep(0.5)


def rubbish(s):
    s.sendall(random.randbytes(4096))
    hear(s)


ATTACKS = [no_token, wrong_token, endless_head, slow_sender, half_open, rubbish]


def attack(port, call, end, counts):
    while time.monotonic() < end:
        try:
            with dial(port) as s:
                call(s)
        except OSError:
            pass
        counts[call.__name__] = counts.get(call.__name__, 0) + 1


def flood(program, policy, o):
    server, counts, memory = Server(program, policy), {}, []
    calm = drive(program, policy, server, o, o["calm"])
    memory.append(server.resident_kb())
    end = time.monotonic() + o["seconds"] + 1
    threads = [threading.Thread(target=attack, args=(server.port, call, end, counts)) for call in ATTACKS]
    for t in threads:
        t.start()
    watch = threading.Timer(0.2 * o["seconds"], lambda: memory.append(server.resident_kb()))
    watch.start()
    busy = drive(program, policy, server, o, o["seconds"])
    for t in threads:
        t.join()
    memory.append(server.resident_kb())
    return {"calm": calm, "flooded": busy, "attacks": counts, "resident_kb": memory, "server": server.end()}


# ---- frames ----------------------------------------------------------------------------------------------------------

def packed_array(dtype, shape, data):
    def text(x):
        return b"\xc4" + bytes([len(x)]) + x
    dims = bytes([0x90 + len(shape)]) + b"".join(b"\xcd" + struct.pack(">H", n) for n in shape)
    return b"\x84" + text(b"__ndarray__") + b"\xc3" + text(b"data") + text(data) + text(b"dtype") + bytes([0xa0 + len(dtype)]) + dtype + text(b"shape") + dims


def message(rng):
    good = packed_array(b"<f4", [3], struct.pack("<3f", 1, 0, 0.1))
    values = [good, packed_array(b"<f8", [3], struct.pack("<3d", 1, 0, float("nan"))), packed_array(b"|O", [3], b"abc"), b"\xa3abc",
              packed_array(b"<f4", [3, 65535], b"abcd"), packed_array(b"<f4", [2], struct.pack("<2f", 1, 0)), b"\x93\x01\x02\x03"]
    key = b"observation.state"
    return b"\x81" + bytes([0xa0 + len(key)]) + key + (good if rng.random() < 0.7 else rng.choice(values))


def frame(payload, rng):
    n, mask = len(payload), bytes(rng.randrange(256) for _ in range(4))
    size = bytes([0x80 | n]) if n < 126 else b"\xfe" + struct.pack(">H", n)
    return b"\x82" + size + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


def frames(program, policy, o):
    server, rng, memory, n, sessions = Server(program, policy), random.Random(1), [], 0, 0
    stock = [frame(message(rng), rng) for _ in range(2000)] + [b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"abcd"]
    end, s = time.monotonic() + o["seconds"], None
    while time.monotonic() < end:
        try:
            if s is None:
                s = dial(server.port)
                s.sendall(head(TOKEN))
                sessions += 1
            lot = [bytearray(rng.choice(stock)) for _ in range(rng.randrange(1, 6))]
            for f in lot:
                if rng.random() < 0.3:
                    f[rng.randrange(len(f))] = rng.randrange(256)
            s.sendall(b"".join(lot))
            n += len(lot)
            s.setblocking(False)
            while True:
                if not s.recv(65536):
                    raise OSError
        except BlockingIOError:
            s.setblocking(True)
            s.settimeout(2)
        except OSError:
            if s:
                s.close()
            s = None
        if sessions in (200, 400) and len(memory) < sessions // 200:
            memory.append(server.resident_kb())
    if s:
        s.close()
    memory.append(server.resident_kb())
    return {"frames": n, "sessions": sessions, "resident_kb": memory, "server": server.end()}


# ---- the report ------------------------------------------------------------------------------------------------------

def row(name, r):
    p, i, a = r["period_ms"], r["infer_ms"], r["chunk_age_ms"]
    return "| %s | %d | %.3f | %.3f | %.3f | %d | %.3f | %.3f | %.0f | %d | %s |" % (
        name, r["steps"], p["p50"], p["p99"], p["max"], r["misses"], i["p50"], i["p99"], a["p99"], r["held_steps"], r["response"])


def report(o, done):
    lines = ["# A server under attack", "", "Written by `bench/abuse.py`; client, server and attackers share one machine.", ""]
    if "flood" in done:
        r = done["flood"]
        lines += ["`mynah run policy=ws://…` at %d Hz, calm and under a flood of %d s:" % (o["rate"], o["seconds"]), "",
                  "| | steps | period p50, ms | p99 | max | misses | reply p50, ms | p99 | chunk age p99, ms | steps without a chunk | response |",
                  "|---|---|---|---|---|---|---|---|---|---|---|", row("calm", r["calm"]), row("flooded", r["flooded"]), "",
                  "Connections of attackers: %s. The server refused %d. Its resident memory: %s KiB (calm, a fifth through, after)." % (
                      ", ".join("%s %d" % (k.replace("_", " "), v) for k, v in sorted(r["attacks"].items())), r["server"]["refused"],
                      ", ".join(map(str, r["resident_kb"]))), ""]
    if "frames" in done:
        r = done["frames"]
        lines += ["%d frames in %d sessions with the token, bytes changed, types and shapes wrong, lengths of 2^40: %d were answered, %d ended their session with an "
                  "error, %d were refused. Resident memory: %s KiB (in the course, after)." % (
                      r["frames"], r["sessions"], r["server"]["messages"], r["server"]["errors"], r["server"]["refused"], ", ".join(map(str, r["resident_kb"]))), ""]
    with open(os.path.join(o["report"], "abuse.md"), "w") as f:
        f.write("\n".join(lines))


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    o, rest = results.settings(sys.argv[1:], {"rate": 100, "calm": 8, "seconds": 60, "parts": "flood,frames", "work": os.path.join(here, "build", "abuse"),
                                              "report": os.path.join(here, "docs", "results")})
    if len(rest) != 1:
        sys.exit(__doc__)
    os.makedirs(o["work"], exist_ok=True)
    os.makedirs(o["report"], exist_ok=True)
    policy, path = make_policy(rest[0], o["work"]), os.path.join(o["work"], "abuse.json")
    done = results.load(path) or {}
    for part, call in (("flood", flood), ("frames", frames)):
        if part in o["parts"].split(",") and part not in done:
            done[part] = call(rest[0], policy, o)
            results.save(path, done)
            print(part, json.dumps(done[part]), flush=True)
    report(o, done)


main()
