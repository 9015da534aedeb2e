/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* LeRobot's configuration keys (0.4) and ours. */
#include "lerobot.h"

#define COPY(theirs, ours) {theirs, MYNAH__LEROBOT_COPY, ours, NULL, NULL}
#define CHOICE(theirs, ours, names) {theirs, MYNAH__LEROBOT_COPY, ours, NULL, names}
#define MUST(theirs, text) {theirs, MYNAH__LEROBOT_MUST, NULL, text, NULL}
#define IGNORE(theirs, text) {theirs, MYNAH__LEROBOT_IGNORE, NULL, text, NULL}
#define SPECIAL(theirs) {theirs, MYNAH__LEROBOT_SPECIAL, NULL, NULL, NULL}
#define END {NULL, MYNAH__LEROBOT_IGNORE, NULL, NULL, NULL}

const mynah__lerobot_key mynah__lerobot_common[] = {
    SPECIAL("type"),
    SPECIAL("input_features"),
    SPECIAL("output_features"),
    SPECIAL("normalization_mapping"),
    IGNORE("device", "\"cpu\""),
    IGNORE("use_amp", "false"),
    IGNORE("use_peft", "false"),
    IGNORE("push_to_hub", "false"),
    IGNORE("repo_id", "null"),
    IGNORE("private", "null"),
    IGNORE("tags", "null"),
    IGNORE("license", "null"),
    IGNORE("pretrained_path", "null"),
    CHOICE("vision_backbone", "resnet.layers", "resnet18=18,resnet34=34,resnet50=50"),
    IGNORE("pretrained_backbone_weights", "null"),
    COPY("n_obs_steps", "n_obs"),
    COPY("n_action_steps", "execute.steps"),
    END,
};

static const mynah__lerobot_key act_keys[] = {
    COPY("chunk_size", "chunk"),
    MUST("replace_final_stride_with_dilation", "false"),
    COPY("pre_norm", "pre_norm"),
    COPY("dim_model", "dim"),
    COPY("n_heads", "heads"),
    COPY("dim_feedforward", "feed_forward"),
    COPY("feedforward_activation", "feed_forward.activation"),
    COPY("n_encoder_layers", "encoder.layers"),
    COPY("n_decoder_layers", "decoder.layers"),
    COPY("use_vae", "vae"),
    COPY("latent_dim", "vae.latent"),
    COPY("n_vae_encoder_layers", "vae.layers"),
    SPECIAL("temporal_ensemble_coeff"),
    COPY("dropout", "dropout"),
    COPY("kl_weight", "vae.kl"),
    IGNORE("optimizer_lr", "1e-05"),
    IGNORE("optimizer_weight_decay", "0.0001"),
    IGNORE("optimizer_lr_backbone", "1e-05"),
    END,
};

static const mynah__lerobot_key diffusion_keys[] = {
    SPECIAL("horizon"),
    IGNORE("drop_n_last_frames", "7"),
    MUST("resize_shape", "null"),
    MUST("crop_ratio", "1.0"),
    SPECIAL("crop_shape"),
    IGNORE("crop_is_random", "true"),
    COPY("use_group_norm", "resnet.group_norm"),
    COPY("spatial_softmax_num_keypoints", "resnet.key_points"),
    COPY("use_separate_rgb_encoder_per_camera", "resnet.separate"),
    COPY("down_dims", "unet.widths"),
    COPY("kernel_size", "unet.kernel"),
    COPY("n_groups", "unet.groups"),
    COPY("diffusion_step_embed_dim", "diffusion.step.width"),
    COPY("use_film_scale_modulation", "unet.scaled"),
    CHOICE("noise_scheduler_type", "diffusion.sampler", "DDPM=ddpm,DDIM=ddim"),
    COPY("num_train_timesteps", "diffusion.steps"),
    CHOICE("beta_schedule", "diffusion.schedule", "squaredcos_cap_v2=squaredcos,linear=linear"),
    COPY("beta_start", "diffusion.beta.start"),
    COPY("beta_end", "diffusion.beta.end"),
    COPY("prediction_type", "diffusion.target"),
    SPECIAL("clip_sample"),
    SPECIAL("clip_sample_range"),
    SPECIAL("num_inference_steps"),
    IGNORE("compile_model", "false"),
    IGNORE("compile_mode", "\"reduce-overhead\""),
    COPY("do_mask_loss_for_padding", "mask"),
    IGNORE("optimizer_lr", "0.0001"),
    IGNORE("optimizer_betas", "[0.95, 0.999]"),
    IGNORE("optimizer_eps", "1e-08"),
    IGNORE("optimizer_weight_decay", "1e-06"),
    IGNORE("scheduler_name", "\"cosine\""),
    IGNORE("scheduler_warmup_steps", "500"),
    END,
};

const mynah__lerobot_kind mynah__lerobot_kinds[2] = {
    {"act", "act", "model.", act_keys, "vae_encoder_pos_enc"},
    {"diffusion", "diffusion", "diffusion.", diffusion_keys, "pool.pos_grid"},
};
