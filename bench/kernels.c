/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Times the engine on the networks trained most, small ones, the U-Nets of diffusion policies, ACT at LeRobot size, pictures:
 * every step with GFLOP/s, GB/s and share of the measured FMA peak, then whole training steps (two shards,
 * optimiser and moving average included) and batch-1 inference, on one and two threads. Usage: bench_kernels
 * [mlp|mlp1024|pusht|cnn|unet64|unet256|unet512|act|resnet18|yolo640|yolo320|peak] [steps|train|infer|generate] [f32|bf16];
 * generate: a diffusion policy's chunk by ten steps of DDIM, of the U-Nets alone. In the environment KERNELS names the kernels to
 * choose from, THREADS the one number of threads to time. */
#include <mynah/model.h>
#include <mynah/policy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_SHARDS 2
#define MAX_STEPS 8192

static void stop_on(mynah_status status) {
  if (status == MYNAH_OK) return;
  fprintf(stderr, "bench_kernels: %s\n", mynah_error());
  exit(1);
}

/* ---- the networks ------------------------------------------------------------------------------------------------ */

typedef struct network {
  const char *name;
  int64_t batch;
  /* Adds inputs, network and, when training, the loss, which it returns; else it returns the action. */
  mynah_node (*build)(mynah_graph *g, int64_t batch, bool is_training);
  const char *unet_widths; /* of a diffusion policy's U-Net; NULL: it is none */
} network;

/* 7 -> width -> width -> 2, ReLU */
static mynah_node build_mlp_of(mynah_graph *g, int64_t batch, bool is_training, int64_t width) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(batch, 7));
  mynah_mlp_config config = {(const int64_t[]){width, width}, 2, "relu", 0};
  mynah_node y = mynah_model_linear(g, "out", mynah_model_mlp(g, "mlp", x, &config), 2);
  if (!is_training) return y;
  return mynah_mse(g, y, mynah_input(g, "target", MYNAH_F32, MYNAH_SHAPE(batch, 2)), MYNAH_NO_NODE);
}

static mynah_node build_mlp(mynah_graph *g, int64_t batch, bool is_training) {
  return build_mlp_of(g, batch, is_training, 256);
}
static mynah_node build_mlp1024(mynah_graph *g, int64_t batch, bool is_training) {
  return build_mlp_of(g, batch, is_training, 1024);
}

/* Residual trunk 256/512, three blocks, mixture of five Gaussians over 16 actions of two numbers */
static mynah_node build_pusht(mynah_graph *g, int64_t batch, bool is_training) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(batch, 12));
  if (is_training) x = mynah_gaussian_noise(g, x, 0.01f);
  mynah_residual_config config = {256, 512, 3, 0, MYNAH_NO_NODE};
  mynah_node y = mynah_model_linear(g, "out", mynah_model_residual(g, "trunk", x, &config), 325);
  if (!is_training) return y;
  mynah_node logits = mynah_slice(g, y, 1, 0, 5);
  mynah_node mean = mynah_reshape(g, mynah_slice(g, y, 1, 5, 160), MYNAH_SHAPE(batch, 5, 32));
  mynah_node spread = mynah_reshape(g, mynah_slice(g, y, 1, 165, 160), MYNAH_SHAPE(batch, 5, 32));
  mynah_node target = mynah_input(g, "target", MYNAH_F32, MYNAH_SHAPE(batch, 32));
  mynah_node nll = mynah_gmm_nll(g, logits, mean, mynah_clamp(g, spread, -4.6f, 2), target, MYNAH_NO_NODE);
  return mynah_affine(g, nll, 1.0f / 32, 0);
}

/* 66x200 RGB, five convolutions, 100, 50, 10, 1 */
static mynah_node build_cnn(mynah_graph *g, int64_t batch, bool is_training) {
  mynah_node picture = mynah_input(g, "x", MYNAH_U8, MYNAH_SHAPE(batch, 66, 200, 3));
  float scale = 1.0f / 127.5f, shift = -1;
  mynah_node x = mynah_from_u8(g, picture, &scale, &shift, 1);
  mynah_cnn_config convs = {(const int64_t[]){24, 36, 48, 64, 64}, (const int64_t[]){5, 5, 5, 3, 3},
                            (const int64_t[]){2, 2, 2, 1, 1}, 5, "relu", false};
  mynah_mlp_config head = {(const int64_t[]){100, 50, 10}, 3, "relu", 0};
  mynah_node y =
      mynah_model_linear(g, "out", mynah_model_mlp(g, "head", mynah_model_cnn(g, "cnn", x, &convs), &head), 1);
  if (!is_training) return y;
  return mynah_mse(g, y, mynah_input(g, "target", MYNAH_F32, MYNAH_SHAPE(batch, 1)), MYNAH_NO_NODE);
}

/* The conditional U-Net over 16 actions of two numbers, 128 waves of the step, 132 numbers seen. */
static mynah_node build_unet(mynah_graph *g, int64_t batch, bool is_training, const int64_t *widths) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(batch, 16, 2));
  mynah_node step = mynah_input(g, "step", MYNAH_F32, MYNAH_SHAPE(batch, 128));
  mynah_node seen = mynah_input(g, "seen", MYNAH_F32, MYNAH_SHAPE(batch, 132));
  mynah_unet_config config = {widths, 3, 5, 8, true, 0};
  mynah_node y = mynah_model_unet(g, "unet", x, step, seen, &config);
  if (!is_training) return y;
  return mynah_mse(g, y, mynah_input(g, "target", MYNAH_F32, MYNAH_SHAPE(batch, 16, 2)), MYNAH_NO_NODE);
}
static mynah_node build_unet64(mynah_graph *g, int64_t batch, bool is_training) {
  return build_unet(g, batch, is_training, (const int64_t[]){64, 128, 256});
}
static mynah_node build_unet256(mynah_graph *g, int64_t batch, bool is_training) {
  return build_unet(g, batch, is_training, (const int64_t[]){256, 512, 1024});
}

static mynah_node build_unet512(mynah_graph *g, int64_t batch, bool is_training) {
  return build_unet(g, batch, is_training, (const int64_t[]){512, 1024, 2048});
}

enum { ACT_WIDTH = 512, ACT_CHUNK = 100, ACT_SIZE = 14, ACT_LATENT = 32 };

static mynah_node act_encoder(mynah_graph *g, const char *prefix, mynah_node x, mynah_node position, const mynah_transformer_config *layer) {
  for (int i = 0; i < 4; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s.%d", prefix, i);
    x = mynah_model_encoder_layer(g, name, x, position, MYNAH_NO_NODE, layer);
  }
  return x;
}

static mynah_node act_token(mynah_graph *g, const char *name, mynah_node x) {
  return mynah_reshape(g, mynah_model_linear(g, name, x, ACT_WIDTH), MYNAH_SHAPE(mynah_node_shape(g, x).dims[0], 1, ACT_WIDTH));
}

static mynah_node act_table(mynah_graph *g, const char *name, int64_t rows) {
  mynah_node t = mynah_weight(g, name, MYNAH_SHAPE(rows, ACT_WIDTH), (mynah_init){MYNAH_INIT_NORMAL, 1});
  return mynah_reshape(g, t, MYNAH_SHAPE(1, rows, ACT_WIDTH));
}

/* The latent of state and actions; adds the divergence to *kl. */
static mynah_node act_latent(mynah_graph *g, mynah_node state, mynah_node actions, const mynah_transformer_config *layer, mynah_node *kl) {
  int64_t batch = mynah_node_shape(g, state).dims[0];
  mynah_node parts[3] = {mynah_broadcast(g, act_table(g, "cls", 1), MYNAH_SHAPE(batch, 1, ACT_WIDTH)), act_token(g, "vae.state", state),
                         mynah_model_linear(g, "vae.action", actions, ACT_WIDTH)};
  mynah_node x = act_encoder(g, "vae", mynah_concat(g, parts, 3, 1), mynah_model_positions(g, ACT_CHUNK + 2, ACT_WIDTH), layer);
  x = mynah_reshape(g, mynah_slice(g, x, 1, 0, 1), MYNAH_SHAPE(batch, ACT_WIDTH));
  mynah_node both = mynah_model_linear(g, "vae.out", x, 2 * ACT_LATENT);
  mynah_node m = mynah_slice(g, both, -1, 0, ACT_LATENT), v = mynah_slice(g, both, -1, ACT_LATENT, ACT_LATENT);
  mynah_node each = mynah_sub(g, mynah_add(g, mynah_mul(g, m, m), mynah_unary(g, "exp", v)), mynah_affine(g, v, 1, 1));
  *kl = mynah_affine(g, mynah_sum(g, each, NULL, 0, false), 0.5f / (float)batch, 0);
  mynah_node noise = mynah_random_normal(g, MYNAH_SHAPE(batch, ACT_LATENT));
  return mynah_add(g, m, mynah_mul(g, mynah_unary(g, "exp", mynah_affine(g, v, 0.5f, 0)), noise));
}

/* ACT as LeRobot has it: one 480x640 camera, state and action of 14, chunk 100, width 512, no dropout. */
static mynah_node build_act(mynah_graph *g, int64_t batch, bool is_training) {
  mynah_transformer_config layer = {8, 3200, "relu", 0, false};
  mynah_node picture = mynah_input(g, "x", MYNAH_U8, MYNAH_SHAPE(batch, 480, 640, 3));
  mynah_node state = mynah_input(g, "state", MYNAH_F32, MYNAH_SHAPE(batch, ACT_SIZE)), actions = MYNAH_NO_NODE, kl = MYNAH_NO_NODE;
  mynah_node latent = mynah_fill(g, MYNAH_SHAPE(batch, ACT_LATENT), 0);
  if (is_training) {
    actions = mynah_input(g, "action", MYNAH_F32, MYNAH_SHAPE(batch, ACT_CHUNK, ACT_SIZE));
    latent = act_latent(g, state, actions, &layer, &kl);
  }
  float scale = 1.0f / 127.5f, shift = -1;
  mynah_node map = mynah_model_resnet(g, "backbone", mynah_from_u8(g, picture, &scale, &shift, 1), &(mynah_resnet_config){.layers = 18});
  map = mynah_model_conv(g, "map", map, &(mynah_model_conv_config){ACT_WIDTH, 1, 1, false});
  mynah_node tokens[3] = {act_token(g, "latent", latent), act_token(g, "state", state), mynah_reshape(g, map, MYNAH_SHAPE(batch, 300, ACT_WIDTH))};
  mynah_node places[2] = {act_table(g, "places", 2), mynah_model_positions_2d(g, 15, 20, ACT_WIDTH)};
  mynah_node position = mynah_concat(g, places, 2, 1);
  mynah_node seen = act_encoder(g, "encoder", mynah_concat(g, tokens, 3, 1), position, &layer);
  mynah_decoder_memory memory = {seen, position, act_table(g, "queries", ACT_CHUNK)};
  mynah_node y = mynah_model_decoder_layer(g, "decoder", mynah_fill(g, MYNAH_SHAPE(batch, ACT_CHUNK, ACT_WIDTH), 0), &memory, &layer);
  y = mynah_model_linear(g, "head", mynah_model_layer_norm(g, "norm", y), ACT_SIZE);
  return is_training ? mynah_add(g, mynah_l1(g, y, actions, MYNAH_NO_NODE), mynah_affine(g, kl, 10, 0)) : y;
}

static mynah_node picture_input(mynah_graph *g, int64_t batch, int64_t size, float scale, float shift) {
  mynah_node picture = mynah_input(g, "x", MYNAH_U8, MYNAH_SHAPE(batch, size, size, 3));
  return mynah_from_u8(g, picture, &scale, &shift, 1);
}

/* ResNet-18 on 224x224 RGB, and the 1000 classes it was made for */
static mynah_node build_resnet18(mynah_graph *g, int64_t batch, bool is_training) {
  mynah_node x = picture_input(g, batch, 224, 1.0f / 127.5f, -1);
  x = mynah_model_resnet(g, "resnet", x, &(mynah_resnet_config){.layers = 18});
  x = mynah_reshape(g, mynah_adaptive_avg_pool(g, x, 1, 1), MYNAH_SHAPE(batch, 512));
  mynah_node y = mynah_model_linear(g, "fc", x, 1000);
  if (!is_training) return y;
  return mynah_mse(g, y, mynah_input(g, "target", MYNAH_F32, MYNAH_SHAPE(batch, 1000)), MYNAH_NO_NODE);
}

/* YOLO26n with its one-to-one head, 80 classes, up to boxes and scores of every cell */
static mynah_node build_yolo(mynah_graph *g, int64_t batch, int64_t size) {
  mynah_yolo26_config config = {'n', 80, MYNAH_YOLO26_FUSED};
  mynah_yolo26_features features;
  mynah_yolo26_head head = {0};
  mynah_node x = picture_input(g, batch, size, 1.0f / 255, 0);
  if (mynah_model_yolo26(g, x, &config, &features)) mynah_model_yolo26_head(g, &features, &config, true, &head);
  mynah_node parts[2] = {mynah_model_yolo26_boxes(g, head.distances, size, size), mynah_sigmoid(g, head.logits)};
  return mynah_concat(g, parts, 2, 2);
}
static mynah_node build_yolo640(mynah_graph *g, int64_t batch, bool is_training) {
  (void)is_training;
  return build_yolo(g, batch, 640);
}
static mynah_node build_yolo320(mynah_graph *g, int64_t batch, bool is_training) {
  (void)is_training;
  return build_yolo(g, batch, 320);
}

/* batch 0: timed in inference alone. */
static const network networks[] = {{"mlp", 256, build_mlp, NULL},
                                   {"mlp1024", 256, build_mlp1024, NULL},
                                   {"pusht", 512, build_pusht, NULL},
                                   {"cnn", 64, build_cnn, NULL},
                                   {"unet64", 256, build_unet64, "64,128,256"},
                                   {"unet256", 256, build_unet256, "256,512,1024"},
                                   {"unet512", 0, build_unet512, "512,1024,2048"},
                                   {"act", 8, build_act, NULL},
                                   {"resnet18", 8, build_resnet18, NULL},
                                   {"yolo640", 0, build_yolo640, NULL},
                                   {"yolo320", 0, build_yolo320, NULL}};
static const char *const precisions[] = {"f32", "bf16"};

/* ---- one network, ready to run ----------------------------------------------------------------------------------- */

typedef struct bench {
  mynah_program *program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state[N_SHARDS];
  int n_states;
  int64_t n; /* trained floats */
  float *m, *v, *sum, *average;
} bench;

static void fill_inputs(mynah_program *p, mynah_state *s, uint64_t seed) {
  mynah_rng rng = mynah_rng_make(seed, 0);
  for (int i = 0; i < mynah_program_n_inputs(p); i++) {
    mynah_dtype dtype;
    mynah_shape shape;
    const char *name = mynah_program_input(p, i, &dtype, &shape);
    void *data = mynah_state_input(s, name);
    for (int64_t k = 0; k < mynah_shape_size(shape); k++) {
      if (dtype == MYNAH_U8) ((uint8_t *)data)[k] = (uint8_t)mynah_rng_u32(&rng);
      else ((float *)data)[k] = (float)mynah_rng_range(&rng, -1, 1);
    }
  }
}

static bench bench_begin(const network *net, int64_t batch, bool is_training, bool is_half, int n_threads) {
  const char *kernels = getenv("KERNELS");
  bench b = {0};
  mynah_graph *g = NULL;
  stop_on(mynah_graph_create(&g));
  mynah_node y = net->build(g, batch, is_training);
  mynah_output(g, "y", y);
  if (is_training) stop_on(mynah_differentiate(g, y));
  mynah_compile_config config = mynah_compile_default();
  if (kernels) config.kernels = kernels;
  config.is_frozen = !is_training;
  config.n_threads = n_threads;
  config.precision = is_half ? MYNAH_BF16 : MYNAH_F32;
  stop_on(mynah_compile(g, &config, &b.program));
  stop_on(mynah_weights_create(g, 1, &b.weights));
  mynah_graph_destroy(g);
  stop_on(mynah_binding_create(b.program, b.weights, &b.binding));
  b.n_states = is_training ? N_SHARDS : 1;
  for (int i = 0; i < b.n_states; i++) {
    stop_on(mynah_state_create(b.binding, &b.state[i]));
    fill_inputs(b.program, b.state[i], 7 + (uint64_t)i);
  }
  b.n = mynah_weights_n_trained(b.weights);
  float **arrays[] = {&b.m, &b.v, &b.sum, &b.average};
  for (int i = 0; is_training && i < 4; i++)
    if (!(*arrays[i] = mynah_calloc((size_t)b.n, sizeof(float)))) stop_on(MYNAH_NO_MEMORY);
  return b;
}

static void bench_end(bench *b) {
  for (int i = 0; i < b->n_states; i++) mynah_state_destroy(b->state[i]);
  mynah_binding_destroy(b->binding);
  mynah_weights_destroy(b->weights);
  mynah_program_destroy(b->program);
  mynah_free(b->m);
  mynah_free(b->v);
  mynah_free(b->sum);
  mynah_free(b->average);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Runs of the first state that take about `ns`, 1 … most. */
static int calls_in(bench *b, double ns, int most) {
  mynah_state_run(b->state[0]);
  int64_t begin = mynah_now_ns();
  mynah_state_run(b->state[0]);
  double n = ns / (double)(mynah_now_ns() - begin);
  return n < 1 ? 1 : n > most ? most : (int)n;
}

static void print_steps(const network *net, int64_t batch, bool is_training, bool is_half, double peak) {
  bench b = bench_begin(net, batch, is_training, is_half, 1);
  int n = mynah_program_n_steps(b.program), n_runs = calls_in(&b, 2e9, 30);
  static int64_t best[MAX_STEPS];
  int64_t total = 0;
  if (n > MAX_STEPS) n = MAX_STEPS;
  for (int i = 0; i < n; i++) best[i] = INT64_MAX;
  for (int r = 0; r < n_runs; r++) {
    static int64_t ns[MAX_STEPS];
    memset(ns, 0, sizeof ns);
    mynah_state_run_timed(b.state[0], ns);
    for (int i = 0; i < n; i++)
      if (ns[i] < best[i]) best[i] = ns[i];
  }
  printf("%s, batch %lld, %s in %s: step, kernel, us, GFLOP/s, share of peak, GB/s\n", net->name, (long long)batch,
         is_training ? "training" : "inference", precisions[is_half]);
  for (int i = 0; i < n; i++) {
    const char *op, *kernel;
    double flops, bytes, ns = (double)best[i];
    mynah_program_step(b.program, i, &op, &kernel, &flops, &bytes);
    total += best[i];
    printf("  %3d %-24s %-24s %9.2f %7.1f %5.1f%% %7.1f\n", i, op, kernel, ns * 1e-3, flops / ns,
           peak > 0 ? 100 * flops / ns / peak : 0, bytes / ns);
  }
  double flops = mynah_program_flops(b.program);
  printf("  sum of the fastest %.1f us, %.1f MFLOP, %.1f GFLOP/s\n", (double)total * 1e-3, flops * 1e-6,
         flops / (double)total);
  bench_end(&b);
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

#define SWEEP_BLOCK 16384
#define MAX_CALLS 20000 /* of batch-1 inference */
#define N_SAMPLES 31 /* of quick networks; slow ones get as many as fit into some seconds */

static void run_shard(void *context, int task, int worker) {
  (void)worker;
  mynah_state_run(((bench *)context)->state[task]);
}

static void sweep_block(void *context, int task, int worker) {
  (void)worker;
  bench *b = context;
  int64_t begin = (int64_t)task * SWEEP_BLOCK, n = b->n - begin < SWEEP_BLOCK ? b->n - begin : SWEEP_BLOCK;
  const float *in[N_SHARDS];
  for (int i = 0; i < N_SHARDS; i++) in[i] = mynah_state_gradients(b->state[i]) + begin;
  mynah_adam adam = {1e-3f, 0.9f, 0.999f, 1e-8f, 1e-4f, 0.1f, 0.001f, 1, true};
  mynah_sweep_tree_sum(N_SHARDS, in, 1.0f / N_SHARDS, n, b->sum + begin);
  mynah_sweep_sum_squares(n, b->sum + begin);
  mynah_sweep_adam(&adam, n, mynah_weights_data(b->weights) + begin, b->m + begin, b->v + begin, b->sum + begin);
  mynah_sweep_ema(0.999f, n, b->average + begin, mynah_weights_data(b->weights) + begin);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}


/* Median milliseconds of a training step, and of its parts: shards, sweeps, packing. */
static void time_training(const network *net, bool is_half, int n_threads) {
  bench b = bench_begin(net, net->batch / N_SHARDS, true, is_half, 1);
  mynah_pool *pool = NULL;
  stop_on(mynah_pool_create(n_threads, &pool));
  int n_blocks = (int)((b.n + SWEEP_BLOCK - 1) / SWEEP_BLOCK), n_inner = calls_in(&b, 6e7, 20);
  int n_samples = calls_in(&b, 2e9, N_SAMPLES);
  if (n_samples < 3) n_samples = 3;
  double part[4][N_SAMPLES];
  for (int s = 0; s < n_samples; s++) {
    int64_t ns[4] = {0};
    for (int i = 0; i < n_inner; i++) {
      int64_t t0 = mynah_now_ns();
      mynah_pool_run(pool, N_SHARDS, run_shard, &b);
      int64_t t1 = mynah_now_ns();
      mynah_pool_run(pool, n_blocks, sweep_block, &b);
      int64_t t2 = mynah_now_ns();
      mynah_binding_refresh(b.binding, pool);
      int64_t t3 = mynah_now_ns();
      ns[0] += t3 - t0, ns[1] += t1 - t0, ns[2] += t2 - t1, ns[3] += t3 - t2;
    }
    for (int k = 0; k < 4; k++) part[k][s] = (double)ns[k] / n_inner * 1e-6;
  }
  for (int k = 0; k < 4; k++) qsort(part[k], (size_t)n_samples, sizeof(double), by_value);
  double ms = part[0][n_samples / 2], p99 = part[0][(n_samples * 99) / 100];
  printf("train %s %s threads %d: %.3f ms a step (shards %.3f, sweeps %.3f, packing %.3f), %.0f samples/s, %.3f (p99), %.1f GFLOP/s\n", net->name,
         precisions[is_half], n_threads, ms, part[1][n_samples / 2], part[2][n_samples / 2], part[3][n_samples / 2],
         (double)net->batch / ms * 1e3, p99, mynah_program_flops(b.program) * N_SHARDS / ms * 1e-6);
  mynah_pool_destroy(pool);
  bench_end(&b);
}

/* ---- a whole generation ---------------------------------------------------------------------------------------------- */

#define DDIM_STEPS 10
enum { SEEN = 66, ACTION = 2 };

/* A diffusion policy of the shapes of build_unet, untrained: two frames of 66 numbers, 16 actions of two. */

static mynah_norm norm_of(int64_t size, float *numbers) {
  for (int64_t i = 0; i < size; i++) numbers[i] = -1, numbers[size + i] = 1, numbers[2 * size + i] = 0;
  return (mynah_norm){size, numbers, numbers + size, numbers + 2 * size, numbers + size};
}

static void save_generator(const network *net, bool is_half, const char *path) {
  static float numbers[2][3 * SEEN];
  mynah_policy policy = {0}, *p = &policy;
  mynah_weights *w;
  stop_on(mynah_policy_find("diffusion", &p->type));
  p->config = mynah_calloc(1, p->type->config->bytes);
  if (!p->config) stop_on(MYNAH_NO_MEMORY);
  mynah_config_default(&mynah_policy_table, &p->common);
  mynah_config_default(p->type->config, p->config);
  const char *const settings[][2] = {{"n_obs", "2"}, {"chunk", "15"}, {"denoiser", "unet"}, {"unet.widths", net->unet_widths},
                                     {"precision", precisions[is_half]}, {"diffusion.sampler", "ddim"}, {"diffusion.sampler.steps", "10"}};
  mynah_config_bind binds[2] = {{&mynah_policy_table, &p->common}, {p->type->config, p->config}};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) stop_on(mynah_config_set(binds, 2, settings[i][0], settings[i][1]));
  p->inputs[0] = mynah_feature_vector("observation.state", SEEN, "", "");
  p->n_inputs = 1;
  p->action = mynah_feature_vector("action", ACTION, "", "");
  p->input_norms[0] = norm_of(SEEN, numbers[0]);
  p->action_norm = norm_of(ACTION, numbers[1]);
  stop_on(p->type->check(p));
  mynah_graph *g;
  mynah_node loss;
  stop_on(mynah_graph_create(&g));
  stop_on(p->type->build_train(p, g, 1, &loss));
  stop_on(mynah_weights_create(g, 1, &w));
  mynah_graph_destroy(g);
  stop_on(mynah_policy_save(p, w, path));
  mynah_weights_destroy(w);
  mynah_free(p->config);
}

static void print_calls(const char *what, const network *net, bool is_half, int n_threads, double *us, int n, double flops) {
  qsort(us, (size_t)n, sizeof(double), by_value);
  printf("%s %s %s threads %d batch 1: %.2f us (median), %.2f (p99), %.2f (best), %.1f GFLOP/s\n", what, net->name, precisions[is_half], n_threads, us[n / 2],
         us[n * 99 / 100], us[0], flops / us[n / 2] * 1e-3);
}

/* From an observation to a chunk, as an actor predicts. */
static void time_generation(const network *net, bool is_half, int n_threads) {
  char path[] = "/tmp/mynah-bench-XXXXXX";
  static double us[MAX_CALLS];
  float seen[SEEN] = {0}, chunk[16 * ACTION];
  mynah_clone *clone;
  mynah_actor *actor;
  int fd = mkstemp(path);
  if (fd < 0) stop_on(mynah_fail_errno(path, "cannot make"));
  close(fd);
  save_generator(net, is_half, path);
  stop_on(mynah_clone_load_with(path, &(mynah_clone_config){.n_threads = n_threads}, &clone));
  unlink(path);
  stop_on(mynah_actor_create(clone, &actor));
  mynah_value value = {.data = seen, .bytes = sizeof seen};
  mynah_actor_reset(actor, 1);
  mynah_actor_observe(actor, &value);
  int64_t begin = mynah_now_ns(), end = begin + 1500000000;
  int n = 0;
  for (int i = 0; i < 2; i++) mynah_actor_predict(actor, NULL, 0, chunk);
  while (n < 5 || (n < MAX_CALLS && begin < end)) {
    mynah_actor_predict(actor, NULL, 0, chunk);
    us[n++] = (double)mynah_actor_infer_ns(actor) * 1e-3;
    begin = mynah_now_ns();
  }
  print_calls("generate", net, is_half, n_threads, us, n, mynah_program_flops(mynah_clone_program(clone, 1)) * DDIM_STEPS);
  mynah_actor_destroy(actor);
  mynah_clone_destroy(clone);
}

static void time_inference(const network *net, bool is_half, int n_threads) {
  bench b = bench_begin(net, 1, false, is_half, n_threads);
  static double us[MAX_CALLS];
  int n = calls_in(&b, 1.5e9, MAX_CALLS);
  if (n < 5) n = 5;
  for (int i = 0; i < n; i++) {
    int64_t begin = mynah_now_ns();
    mynah_state_run(b.state[0]);
    us[i] = (double)(mynah_now_ns() - begin) * 1e-3;
  }
  print_calls("infer", net, is_half, n_threads, us, n, mynah_program_flops(b.program));
  bench_end(&b);
}

/* p99 over median of a loop in registers, of some 0.1 ms as a small prediction takes: what the machine does to whoever runs on it. */
static double machine_tail(void) {
  enum { CALLS = 3000, STEPS = 60000 };
  static double us[CALLS];
  volatile float kept = 0;
  for (int i = 0; i < CALLS; i++) {
    float x = 1;
    int64_t begin = mynah_now_ns();
    for (int k = 0; k < STEPS; k++) x = x * 0.9999f + 0.1f;
    kept = kept + x;
    us[i] = (double)(mynah_now_ns() - begin) * 1e-3;
  }
  qsort(us, CALLS, sizeof(double), by_value);
  return us[CALLS * 99 / 100] / us[CALLS / 2];
}

/* All numbers of threads, or the one in the environment. */
static bool is_wanted(int threads) { return !getenv("THREADS") || atoi(getenv("THREADS")) == threads; }

/* what: NULL, or one of steps, train, infer, generate. */
static void time_network(const network *net, const char *what, bool is_half, double peak) {
  if (!what || !strcmp(what, "steps")) {
    if (net->batch) print_steps(net, net->batch / N_SHARDS, true, is_half, peak);
    print_steps(net, 1, false, is_half, peak);
  }
  for (int threads = 1; net->batch && (!what || !strcmp(what, "train")) && threads <= 2; threads++)
    if (is_wanted(threads)) time_training(net, is_half, threads);
  for (int threads = 1; (!what || !strcmp(what, "infer")) && threads <= 2; threads++)
    if (is_wanted(threads)) time_inference(net, is_half, threads);
  for (int threads = 1; net->unet_widths && (!what || !strcmp(what, "generate")) && threads <= 2; threads++)
    if (is_wanted(threads)) time_generation(net, is_half, threads);
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL, *what = argc > 2 ? argv[2] : NULL,
             *precision = argc > 3 ? argv[3] : NULL;
  double peak = mynah_machine_measure().gflops;
  printf("peak of multiply-adds, one core: %.1f GFLOP/s; p99 / median of a loop in registers: %.2f\n", peak, machine_tail());
  for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
    const network *net = &networks[i];
    if (only && strcmp(only, net->name)) continue;
    for (int k = 0; k < 2; k++)
      if (!precision || !strcmp(precision, precisions[k])) time_network(net, what, k, peak);
  }
  return 0;
}
