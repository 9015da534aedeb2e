#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An exported policy, loaded by LeRobot itself, predicts what ours does: skipped where LeRobot is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have LeRobot 0.4. A policy file holds observations and
the chunk predicted from them (its golden vector): those are compared, within 1e-4 of the demonstrated range."""
import os

import peer

TRAIN = ["train", "act", "data=d.demos", "inputs=observation.state,observation.environment_state", "out=run", "steps=20", "batch=16", "chunk=8", "dim=32", "heads=4",
         "feed_forward=48", "encoder.layers=2", "vae.layers=1", "vae.latent=4", "mask=true", "valid.by=time"]


def compare(folder):
    import torch
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    j = peer.description(os.path.join(folder, "run", "policy.safetensors"))
    observations, chunk, norm = j["golden"]["observations"], j["golden"]["chunk"], j["action"]["normalizer"]
    exported = os.path.join(folder, "lerobot")
    policy = ACTPolicy.from_pretrained(exported)
    before, after = make_pre_post_processors(policy.config, pretrained_path=exported)
    batch = before({name: torch.tensor(values, dtype=torch.float32) for name, values in observations.items()})
    theirs = after(policy.predict_action_chunk(batch)).flatten().tolist()
    size = len(norm["min"])
    worst = max(abs(a - b) / (norm["max"][i % size] - norm["min"][i % size]) for i, (a, b) in enumerate(zip(chunk, theirs)))
    print("largest difference from LeRobot's own prediction: %.3g of the range" % worst)
    return 0 if len(theirs) == len(chunk) and worst < 1e-4 else 1


def test(folder, again):
    peer.mynah(folder, ["record", "sim=follow", "state=truth", "out=d.demos", "episodes=2", "seed=1", "max_frames=300"], TRAIN,
               ["export-policy", "lerobot", "run/policy.safetensors", "out=lerobot"])
    return again()


peer.run(["lerobot.policies.act.modeling_act"], "LeRobot", compare, test)
