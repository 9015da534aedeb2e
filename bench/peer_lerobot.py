# SPDX-License-Identifier: MIT OR Apache-2.0
"""LeRobot's ACT at the size of bench_kernels' act, for bench/peers.py: says its version, then times a round for each line read.

usage: peer_lerobot.py train|infer THREADS SECONDS      (needs lerobot)
"""
import importlib.metadata
import json
import sys

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy

from peers import timed


def make(is_training):
    config = ACTConfig(
        input_features={"observation.images.top": PolicyFeature(FeatureType.VISUAL, (3, 480, 640)),
                        "observation.state": PolicyFeature(FeatureType.STATE, (14,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (14,))},
        device="cpu", pretrained_backbone_weights=None, dropout=0.0)
    policy = ACTPolicy(config).train(is_training)
    n = 8 if is_training else 1
    batch = {"observation.images.top": torch.rand(n, 3, 480, 640), "observation.state": torch.randn(n, 14)}
    if not is_training:
        def infer():
            with torch.inference_mode():
                policy.predict_action_chunk(batch)
        return infer
    batch["action"], batch["action_is_pad"] = torch.randn(n, 100, 14), torch.zeros(n, 100, dtype=torch.bool)
    optimiser = torch.optim.AdamW(policy.parameters(), 1e-5)

    def train():
        optimiser.zero_grad(set_to_none=True)
        policy.forward(batch)[0].backward()
        optimiser.step()
    return train


def main():
    what, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(threads)
    run = make(what == "train")
    run()
    print(importlib.metadata.version("lerobot"), flush=True)
    one_round = timed(run, seconds)
    for _ in sys.stdin:
        print(json.dumps(one_round()["ms"]), flush=True)


main()
