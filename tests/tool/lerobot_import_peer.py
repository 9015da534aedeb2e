#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checkpoints that LeRobot itself saves, of ACT and Diffusion in many configurations, predict here what they predict there, and so do
they exported again and loaded by LeRobot: skipped where LeRobot is not installed.

Run with MYNAH_PROGRAM set; the Python that runs it, or $MYNAH_PEERS_PYTHON, may have LeRobot 0.4. Weights are drawn by lot. The golden
vector of an imported file holds observations and the chunk; pictures and noise are drawn again. Compared within 1e-4 of the largest action."""
import os

import draws
import peer

STATE, ENV, ACTION = 6, 3, 5
SIZE = (3, 96, 120)
ACT = dict(chunk_size=10, n_action_steps=10, dim_model=64, n_heads=4, dim_feedforward=96, n_encoder_layers=2, n_vae_encoder_layers=2, latent_dim=8)
DIFFUSION = dict(down_dims=(16, 32), diffusion_step_embed_dim=16, num_inference_steps=10, noise_scheduler_type="DDIM", spatial_softmax_num_keypoints=8)
# policy, its cameras, what else is set; "norms": how vectors are normalised
CASES = [
    ("act", ["top"], {}),
    ("act", ["top", "wrist"], {"pre_norm": True, "n_decoder_layers": 2, "norms": "MIN_MAX"}),
    ("act", ["top"], {"vision_backbone": "resnet34"}),
    ("act", ["top"], {"vision_backbone": "resnet50"}),
    ("act", [], {"use_vae": False, "feedforward_activation": "gelu", "norms": "QUANTILES"}),
    ("act", [], {"temporal_ensemble_coeff": 0.01, "n_action_steps": 1, "norms": "QUANTILE10"}),
    ("diffusion", [], {}),
    ("diffusion", [], {"n_groups": 4, "use_film_scale_modulation": False}),
    ("diffusion", [], {"noise_scheduler_type": "DDPM", "down_dims": (16, 32, 64), "kernel_size": 3, "beta_schedule": "linear"}),
    ("diffusion", [], {"prediction_type": "sample", "clip_sample_range": 0.5, "norms": "MEAN_STD"}),
    ("diffusion", [], {"n_obs_steps": 3, "horizon": 24, "clip_sample": False}),
    ("diffusion", ["top"], {"crop_shape": (84, 100)}),
    ("diffusion", ["top", "side"], {"use_separate_rgb_encoder_per_camera": True}),
    ("diffusion", ["top", "side"], {"use_group_norm": False}),
    ("diffusion", ["top"], {"vision_backbone": "resnet50"}),
]


def configure(kind, cameras, more):
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    inputs = {"observation.state": PolicyFeature(FeatureType.STATE, (STATE,)), "observation.environment_state": PolicyFeature(FeatureType.ENV, (ENV,))}
    inputs.update({"observation.images." + c: PolicyFeature(FeatureType.VISUAL, SIZE) for c in cameras})
    more = dict(more, device="cpu", input_features=inputs, output_features={"action": PolicyFeature(FeatureType.ACTION, (ACTION,))},
                pretrained_backbone_weights=None)
    norms = more.pop("norms", None)
    if norms:
        vectors = {name: NormalizationMode[norms] for name in ("STATE", "ENV", "ACTION")}
        more["normalization_mapping"] = dict(vectors, VISUAL=NormalizationMode.MEAN_STD)
    return ACTConfig(**{**ACT, **more}) if kind == "act" else DiffusionConfig(**{**DIFFUSION, **more})


def statistics(config):
    """Of vectors: spread, but for one element that never changes; of pictures: one brightness for each colour."""
    import torch
    table = {}
    for name, feature in {**config.input_features, **config.output_features}.items():
        n = feature.shape[0]
        if "images" in name:
            table[name] = {"mean": torch.rand(3, 1, 1), "std": torch.rand(3, 1, 1) / 4 + 0.1}
            continue
        mean, std = torch.randn(n) * 3, torch.rand(n) + 0.5
        std[1] = 0
        table[name] = {"mean": mean, "std": std}
        for low, high, width in (("min", "max", 3), ("q01", "q99", 2), ("q10", "q90", 1)):
            table[name].update({low: mean - width * std, high: mean + width * std})
    return table


def make(kind, config, folder):
    import torch
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    policy = get_policy_class(kind)(config).eval()
    for name, buffer in policy.named_buffers():
        if "running_mean" in name:
            buffer.normal_(0, 0.1)
        if "running_var" in name:
            buffer.uniform_(0.5, 1.5)
    with torch.no_grad():
        policy.save_pretrained(folder)
    for processor in make_pre_post_processors(config, dataset_stats=statistics(config)):
        processor.save_pretrained(folder)


def observations(config, j, n_obs):
    """What the golden vector saw: (n_obs, ...) a feature. Of pictures it saw the part that is left by the crop."""
    import numpy as np
    import torch
    seen = {}
    for i, feature in enumerate(j["inputs"]):
        name = feature["name"]
        if name in j["golden"]["observations"]:
            seen[name] = torch.tensor(j["golden"]["observations"][name], dtype=torch.float32).view(1, n_obs, -1)
            continue
        height, width = getattr(config, "crop_shape", None) or SIZE[1:]
        top, left = round((SIZE[1] - height) / 2), round((SIZE[2] - width) / 2)
        whole = np.zeros((n_obs, SIZE[1], SIZE[2], 3), np.uint8)
        whole[:, top:top + height, left:left + width] = draws.picture(i, (n_obs, height, width, 3))
        seen[name] = torch.tensor(whole).permute(0, 3, 1, 2).float()[None] / 255
    return seen


def predict(kind, folder, j):
    """LeRobot's chunk for the golden observations."""
    import diffusers.schedulers.scheduling_ddpm as ddpm
    import torch
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors
    policy = get_policy_class(kind).from_pretrained(folder)
    config = policy.config
    before, after = make_pre_post_processors(config, pretrained_path=folder)
    seen = before(observations(config, j, config.n_obs_steps))
    with torch.no_grad():
        if kind == "act":
            return after(policy.predict_action_chunk({k: v[:, 0] if hasattr(v, "dim") else v for k, v in seen.items()})).flatten()
        if config.image_features:
            seen["observation.images"] = torch.stack([seen[k] for k in config.image_features], dim=-4)
        size, at = config.horizon * ACTION, [0]

        def noise(shape, **_):
            at[0] += size
            return torch.tensor(draws.normals(draws.NOISE, at[0] - size, size)).view(shape)

        ddpm.randn_tensor = noise
        start = noise((1, config.horizon, ACTION))
        sample = policy.diffusion.conditional_sample(1, global_cond=policy.diffusion._prepare_global_conditioning(seen), noise=start)
        return after(sample)[0, config.n_obs_steps - 1:].flatten()


def compare(folder):
    import torch
    torch.manual_seed(7)
    n_bad = 0
    for i, (kind, cameras, more) in enumerate(CASES):
        made, again = "%d-%s" % (i, kind), "%d-again" % i
        make(kind, configure(kind, cameras, more), made)
        peer.mynah(".", ["import-policy", "lerobot", made, "out=%s.safetensors" % made], ["selfcheck", made + ".safetensors"],
                   ["export-policy", "lerobot", made + ".safetensors", "out=" + again])
        j = peer.description(made + ".safetensors")
        ours = torch.tensor(j["golden"]["chunk"])
        worst = [float((predict(kind, f, j)[:len(ours)] - ours).abs().max() / ours.abs().max()) for f in (made, again)]
        print("%s, cameras %s, %s: largest difference %.3g, exported again %.3g" % (kind, cameras, more, *worst), flush=True)
        n_bad += not max(worst) < 1e-4
    return 1 if n_bad else 0


peer.run(["lerobot.policies.act.modeling_act"], "LeRobot", compare)
