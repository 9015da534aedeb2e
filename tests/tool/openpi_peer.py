#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""openpi's own Python client, unchanged, is answered by `mynah serve`: skipped where openpi-client is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have openpi-client. A policy file holds observations
and the chunk predicted from them (its golden vector): the client must be told the same."""
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
TOKEN = "a-long-token"


def golden(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    j = json.loads(header["__metadata__"]["mynah"])
    return j["golden"]["observations"], j["golden"]["chunk"]


def ask(folder, port):
    import numpy as np
    from openpi_client.websocket_client_policy import WebsocketClientPolicy
    observations, chunk = golden(os.path.join(folder, "run", "policy.safetensors"))
    client = WebsocketClientPolicy("127.0.0.1", port, TOKEN)
    metadata = client.get_server_metadata()
    message = {"state": np.array(observations["observation.state"], np.float64), "prompt": "swing up"}
    first = np.asarray(client.infer(message)["actions"])
    again = client.infer(message)
    worst = float(np.abs(first.flatten() - np.array(chunk)).max())
    print("metadata %s; off the golden chunk by %.3g; timing %s" % (metadata, worst, again["server_timing"]))
    assert first.shape == (metadata["action_horizon"], metadata["action_dim"]) and worst < 1e-4
    assert again["server_timing"]["prev_total_ms"] > 0
    try:
        client.infer({"state": np.zeros(5)})
        raise SystemExit("a wrong shape was taken")
    except RuntimeError as e:
        assert "Traceback" not in str(e) and "elements" in str(e), e
    for token in (None, "another-token"):
        try:
            WebsocketClientPolicy("127.0.0.1", port, token)
            raise SystemExit("a stranger was let in")
        except Exception as e:  # the library's own kinds of exception differ between versions
            assert "401" in str(e), e


def main():
    if len(sys.argv) > 2:
        ask(sys.argv[1], int(sys.argv[2]))
        return
    python = os.environ.get("MYNAH_PEERS_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import openpi_client.websocket_client_policy"], capture_output=True).returncode != 0:
        print("skipped: openpi-client is not installed")
        sys.exit(SKIPPED)
    program = os.environ["MYNAH_PROGRAM"]
    with tempfile.TemporaryDirectory() as folder:
        for command in (["record", "sim=pendulum", "out=d.demos", "episodes=2"],
                        ["train", "mlp", "data=d.demos", "out=run", "steps=20", "widths=32", "chunk=4"]):
            subprocess.run([program, *command, "--quiet"], cwd=folder, check=True)
        server = subprocess.Popen([program, "serve", "run/policy.safetensors", "port=0", "token=" + TOKEN, "keys=observation.state:state", "--json", "--quiet"],
                                  cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            port = json.loads(server.stdout.readline())["port"]
            status = subprocess.run([python, os.path.abspath(__file__), folder, str(port)]).returncode
        finally:
            server.send_signal(signal.SIGINT)
            print(server.communicate()[0].strip())
        sys.exit(status)


main()
