#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""openpi's own Python client, unchanged, is answered by `mynah serve`: skipped where openpi-client is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have openpi-client. A policy file holds observations
and the chunk predicted from them (its golden vector): the client must be told the same."""
import json
import os
import signal
import subprocess

import peer

TOKEN = "a-long-token"


def ask(folder, port):
    import numpy as np
    from openpi_client.websocket_client_policy import WebsocketClientPolicy
    golden, port = peer.description(os.path.join(folder, "run", "policy.safetensors"))["golden"], int(port)
    observations, chunk = golden["observations"], golden["chunk"]
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


def test(folder, again):
    peer.mynah(folder, ["record", "sim=pendulum", "out=d.demos", "episodes=2"],
               ["train", "mlp", "data=d.demos", "out=run", "steps=20", "widths=32", "chunk=4"])
    server = subprocess.Popen([os.environ["MYNAH_PROGRAM"], "serve", "run/policy.safetensors", "port=0", "token=" + TOKEN,
                               "keys=observation.state:state", "--json", "--quiet"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        return again(str(json.loads(server.stdout.readline())["port"]))
    finally:
        server.send_signal(signal.SIGINT)
        print(server.communicate()[0].strip())


peer.run(["openpi_client.websocket_client_policy"], "openpi-client", ask, test)
