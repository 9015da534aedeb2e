/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Policies: observation in, action out. A policy describes its graphs; a clone is a policy with trained weights, ready to
 * run; an actor is one clone at work in one episode.
 *
 * Owns:    a clone owns its policy, weights, program and binding; actors borrow the clone.
 * Threads: policy and clone are const once made and shared by threads; an actor belongs to one thread.
 * Normalisation is part of the graphs, so training and acting cannot disagree. A new policy is one new file (config +
 * graphs + decoding) and one row of the table in policy.c. */
#ifndef MYNAH_POLICY_H
#define MYNAH_POLICY_H

#include <mynah/dataset.h>
#include <mynah/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How predicted chunks become actions. An action belongs to an absolute step of the episode: element i of a chunk that was
 * predicted from the observation of step s is meant for step s + i. A prediction that takes delay_steps = d steps arrives
 * at step s + d and has lost its first d actions; what was planned before is executed meanwhile. An episode waits for its
 * first chunk. One prediction is under way at a time, so a new one begins every max(steps, d) steps.
 *   receding  the new chunk replaces the plan
 *   ensemble  all chunks that reach a step are averaged, weights exp(-k i), i = 0 for the oldest (Zhao et al. 2023,
 *             "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", sec. IV-A)
 *   blend     where plan and new chunk overlap, the one fades linearly into the other
 *   rtc       the policy is told the d actions that will have been executed when its chunk arrives and begins with them
 *             (Black et al. 2025, "Real-Time Execution of Action Chunking Flow Policies"); policies that cannot: as blend */
#define MYNAH_EXECUTE_KEYS(K)                                                                      \
  K(CHOICE, mode, "execute.mode", "receding", 0, 0, "receding|ensemble|blend|rtc", "how a new chunk follows the last") \
  K(INT, steps, "execute.steps", 0, 0, 512, "actions", "actions executed before the next chunk takes over; 0: by mode: receding all there are, ensemble 1, blend and rtc half") \
  K(INT, delay_steps, "execute.delay_steps", 0, 0, 64, "steps", "steps that a prediction takes")  \
  K(FLOAT, ensemble_k, "execute.ensemble.k", 0.01, -10, 10, "", "execute.mode=ensemble: weights exp(-k i), i = 0 the oldest") \
  K(FLOAT, seam, "execute.seam", 0, 0, 1, "", "largest jump of an action where a new chunk takes over, as a share of the demonstrated range, worn off over execute.steps; 0: no limit")

typedef struct mynah_execute_config {
#define MYNAH_EXECUTE_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_EXECUTE_KEYS(MYNAH_EXECUTE_FIELD)
#undef MYNAH_EXECUTE_FIELD
} mynah_execute_config;
MYNAH_API extern const mynah_config_table mynah_execute_table;
enum { MYNAH_EXECUTE_RECEDING, MYNAH_EXECUTE_ENSEMBLE, MYNAH_EXECUTE_BLEND, MYNAH_EXECUTE_RTC };

/* Together with MYNAH_EXECUTE_KEYS these are the keys of every policy. */
#define MYNAH_POLICY_KEYS(K)                                                                       \
  K(STRING, inputs, "inputs", "", 0, 0, "", "observation features, comma-separated; empty: all of the dataset but side cameras") \
  K(INT, n_obs, "n_obs", 1, 1, 64, "frames", "frames of observation, the present one last")        \
  K(INT, chunk, "chunk", 1, 1, 512, "actions", "actions predicted at once")                        \
  K(CHOICE, normalize, "normalize", "minmax", 0, 0, "minmax|meanstd|none", "how observations are normalised") \
  K(CHOICE, normalize_action, "normalize.action", "minmax", 0, 0, "minmax|meanstd|none", "how actions are normalised") \
  K(FLOAT, obs_noise, "obs_noise", 0, 0, 10, "", "standard deviation of noise on normalised observations while training") \
  K(INT, image_width, "image.width", 160, 8, 4096, "px", "pictures are brought to this width")     \
  K(INT, image_height, "image.height", 120, 8, 4096, "px", "and this height")                      \
  K(FLOAT, crop_top, "image.crop.top", 0, 0, 0.9, "", "share of a picture cut away at the top, before resizing") \
  K(FLOAT, crop_bottom, "image.crop.bottom", 0, 0, 0.9, "", "at the bottom")                       \
  K(FLOAT, crop_left, "image.crop.left", 0, 0, 0.9, "", "at the left")                             \
  K(FLOAT, crop_right, "image.crop.right", 0, 0, 0.9, "", "at the right")                          \
  K(BOOL, is_masked, "mask", false, 0, 1, "", "actions beyond an episode's end do not count in the loss") \
  K(CHOICE, precision, "precision", "f32", 0, 0, "f32|bf16", "of the operands of matrix products and convolutions, in training and acting; sums, weights and all else are f32")

typedef struct mynah_policy_config {
#define MYNAH_POLICY_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_POLICY_KEYS(MYNAH_POLICY_FIELD)
#undef MYNAH_POLICY_FIELD
  mynah_execute_config execute;
} mynah_policy_config;
MYNAH_API extern const mynah_config_table mynah_policy_table;
/* precision, as mynah_compile takes it: MYNAH_F32 or MYNAH_BF16. */
MYNAH_API mynah_dtype mynah_policy_precision(const mynah_policy_config *c);
enum { MYNAH_NORMALIZE_MINMAX, MYNAH_NORMALIZE_MEANSTD, MYNAH_NORMALIZE_NONE };

#define MYNAH_POLICY_INPUTS_MAX 12

/* Statistics of one feature over the training episodes. Shape: each (size of the feature) */
typedef struct mynah_norm {
  int64_t size;
  float *min, *max, *mean, *std;
} mynah_norm;

/* What a prediction works with: the states of the policy's acting graphs, observations already in the inputs of the
 * first. Shape: prefix (n_prefix, action size): actions already committed, which the chunk has to begin with, in their
 * own units (n_prefix 0: none); chunk (config.chunk, action size): the result, in the actions' own units */
typedef struct mynah_prediction {
  mynah_state *const *states;
  mynah_rng *rng;
  const float *prefix;
  int64_t n_prefix;
  float *chunk;
} mynah_prediction;

#define MYNAH_POLICY_GRAPHS_MAX 4

typedef struct mynah_policy mynah_policy;
typedef struct mynah_policy_type {
  const char *name;                 /* "mlp" */
  const char *summary;              /* one line for help */
  const mynah_config_table *config; /* its own keys, beside MYNAH_POLICY_KEYS */
  /* Config against features: all that can be wrong is said here. */
  mynah_status (*check)(const mynah_policy *p);
  /* The loss for a batch; inputs are named as mynah_policy_windows says. */
  mynah_status (*build_train)(const mynah_policy *p, mynah_graph *g, int64_t batch, mynah_node *loss);
  /* Changes a window of training from what n_obs and chunk make of it. NULL: nothing to change. */
  void (*fit_window)(const mynah_policy *p, mynah_window *window);
  /* Acting graph `which` of n_act_graphs, for one observation; the first takes the observations. Their weights are
   * among those of the training graph. */
  int n_act_graphs;
  mynah_status (*build_act)(const mynah_policy *p, int which, mynah_graph *g);
  /* Runs the acting graphs and makes a chunk. Cannot fail and allocates nothing. */
  void (*predict)(const mynah_policy *p, const mynah_prediction *prediction);
  /* What predict does with prediction->prefix: true, the chunk begins with it; false, nothing. */
  bool takes_prefix;
  /* For policies that carry a state from step to step in their acting graphs: predict runs at every step, also when its
   * chunk is not wanted, and reset begins an episode. NULL: none. */
  void (*reset)(const mynah_policy *p, mynah_state *const *states);
} mynah_policy_type;

struct mynah_policy {
  const mynah_policy_type *type;
  mynah_policy_config common;
  void *config; /* of type->config */
  mynah_feature inputs[MYNAH_POLICY_INPUTS_MAX];
  int n_inputs;
  mynah_feature action;
  mynah_norm input_norms[MYNAH_POLICY_INPUTS_MAX]; /* of pictures: size 0, or 3 channels of [0,1] with mean and std */
  mynah_norm action_norm;
  double rate_hz;
  char dataset_hash[65];
  mynah_json *training; /* how it was trained: settings, split, seed; NULL when unknown */
  mynah_json *network;  /* of a policy whose graph comes from a file: that, see mynah_policy_import_onnx; NULL: none */
  mynah_json *eyes;     /* how a state among its inputs is seen, see mynah_sight_describe; NULL: none is, or it is not known */
  mynah_json *golden;   /* of a policy from a file: what mynah_clone_selfcheck compares with; NULL: none */
};

MYNAH_API const mynah_policy_type *const *mynah_policy_types(void); /* NULL-terminated */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_find(const char *name, const mynah_policy_type **out);

/* Chooses inputs from the dataset's features, takes statistics over the given episodes (NULL: all), checks the config.
 * Fails: NOT_FOUND (an input the dataset lacks), INVALID, MISMATCH, what statistics fail with. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_create(const mynah_policy_type *type,
                                                         const mynah_policy_config *common, const void *config,
                                                         mynah_dataset *d, const int64_t *episodes, int64_t n_episodes,
                                                         mynah_policy **out);
MYNAH_API void mynah_policy_destroy(mynah_policy *p);
/* The windows of training: observations, "action", and "action.mask" when the loss is masked. Returns how many. */
MYNAH_API int mynah_policy_windows(const mynah_policy *p, mynah_window *out, int max);
/* Writes one safetensors file: weights + config, features, normaliser, dataset hash and p->training as metadata. The
 * same policy and weights give the same bytes. With them goes a golden vector: observations drawn inside the
 * normaliser's ranges, the chunk predicted from them, and a hash of the weights. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_save(const mynah_policy *p, const mynah_weights *w, const char *path);

/* ---- LeRobot's checkpoints ------------------------------------------------------------------------------------------ */

/* Reads an ACT or Diffusion policy of LeRobot from its `pretrained_model` folder: statistics from the processors' state files
 * (0.4), or from model.safetensors (before). Actions are the same as there, to rounding.
 * Fails: NOT_FOUND (a file, tensor or statistic that is missing), MISMATCH (a shape), UNSUPPORTED (an unknown key, processor
 * step, feature type, or setting), CORRUPT: the message names what. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_import_lerobot(const char *folder, mynah_policy **out, mynah_weights **weights);
/* Writes such a folder (created; files in it are replaced). Fails: UNSUPPORTED (what LeRobot cannot express), IO. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_export_lerobot(const mynah_policy *p, const mynah_weights *weights,
                                                                 const char *folder);

/* ---- networks exported to ONNX --------------------------------------------------------------------------------------- */

#define MYNAH_ONNX_POLICY_KEYS(K)                                                                                       \
  K(STRING, map, "map", "", 0, 0, "INPUT:FEATURE,…", "which feature each of the network's inputs is; those not named are features of their own name") \
  K(STRING, output, "output", "", 0, 0, "", "the network's output that is the action; empty: 'action', or the only one")  \
  K(STRING, carry, "carry", "", 0, 0, "INPUT:OUTPUT,…", "what is carried from step to step, as the state of an LSTM; zeros at first")
typedef struct mynah_onnx_policy_config {
  MYNAH_ONNX_POLICY_KEYS(MYNAH_FIELD_ROW)
} mynah_onnx_policy_config;
MYNAH_API extern const mynah_config_table mynah_onnx_policy_table;

/* What an import says beyond the file. */
#define MYNAH_ONNX_IMPORT_KEYS(K)                                                                                        \
  MYNAH_ONNX_POLICY_KEYS(K)                                                                                              \
  K(CHOICE, normalize, "normalize", "none", 0, 0, "minmax|meanstd|none", "done to observations before the network; none: it does so itself") \
  K(CHOICE, normalize_action, "normalize.action", "none", 0, 0, "minmax|meanstd|none", "undone to actions behind it")    \
  K(STRING, image_mean, "image.mean", "0,0,0", 0, 0, "", "pictures reach the network as (x / image.max - mean) / std of red, green, blue") \
  K(STRING, image_std, "image.std", "1,1,1", 0, 0, "", "")                                                              \
  K(FLOAT, image_max, "image.max", 255, 1, 255, "", "255: pictures in 0 … 1; 1: in 0 … 255")                              \
  K(STRING, camera, "image.camera", "", 0, 0, "px", "WIDTHxHEIGHT of the pictures that are shown, which are brought to the network's size; empty: data's, or that size") \
  K(FLOAT, rate_hz, "rate_hz", 0, 0, 1e6, "Hz", "of control; 0: the dataset's, or not said")
typedef struct mynah_onnx_import_config {
  MYNAH_ONNX_IMPORT_KEYS(MYNAH_FIELD_ROW)
} mynah_onnx_import_config;
MYNAH_API extern const mynah_config_table mynah_onnx_import_table;

/* A policy of a network in ONNX, its batch being 1. Inputs are vectors (1,D) or (1,n_obs,D), pictures (1,3,H,W), (1,H,W,3) or
 * (1,n_obs,3,H,W); the action is (1,A) or (1,chunk,A). data (NULL: none) gives features their names and units, and statistics;
 * statistics (NULL: none), {"FEATURE": {"mean": […], "std": […], "min": […], "max": […]}}, stand before it.
 * Fails: NOT_FOUND (an input that is no feature, statistics), UNSUPPORTED (operations, shapes), MISMATCH, CORRUPT, LIMIT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_import_onnx(const char *path, const mynah_onnx_import_config *config, mynah_dataset *data,
                                                              const mynah_json *statistics, mynah_policy **out, mynah_weights **weights);

/* ---- acting ------------------------------------------------------------------------------------------------------- */

typedef struct mynah_clone mynah_clone;
/* Fails: NOT_FOUND, CORRUPT, UNSUPPORTED (a policy this program does not know), MISMATCH (also: see selfcheck). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_load(const char *path, mynah_clone **out);
/* The same, acting in another precision (MYNAH_F32, MYNAH_BF16) than the policy's own; the check is made in its own. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_load_at(const char *path, mynah_dtype precision, mynah_clone **out);
/* From a policy and weights that stay the caller's (and must not change while it acts). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_create(const mynah_policy *p, mynah_weights *w, mynah_clone **out);
/* Before any actor is made: each prediction is shared out over so many threads (at first: one) with the same result. Such a
 * clone is not for a real-time thread, for it waits for others. Fails: NO_MEMORY, and then the clone must be destroyed. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_use_threads(mynah_clone *c, int n_threads);
/* Before any actor is made: a clone whose policy was trained on a detector's slots looks itself. Its input of that state becomes
 * the pictures of the camera (mynah_policy_match asks for them), actors are shown them, and each works out the state: pictures of
 * the same time as before, or none (data NULL), leave it as it is. Detector and settings must be those of the training.
 * Fails: MISMATCH (another detector), UNSUPPORTED (the policy's file says nothing of eyes), as mynah_detector_load. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_open_eyes(mynah_clone *c, const char *detector, int n_threads);
/* Which input is what the eyes look at; -1: it has none. */
MYNAH_API int mynah_clone_eyes(const mynah_clone *c);
MYNAH_API void mynah_clone_destroy(mynah_clone *c);
/* A prediction from the file's golden observations against the golden chunk. Loading does this too, so that a normaliser
 * or weights that were changed, or a program that computes otherwise, are noticed before a robot moves. On the machine
 * that saved it the error is 0; other kernels and instruction sets round otherwise, by about 1e-5: MYNAH_SELFCHECK_MAX
 * is allowed; where bfloat16 plays a part, an operand may be rounded to its other neighbour: MYNAH_SELFCHECK_MAX_BF16. Classes
 * must be the same.
 * Fails: NOT_FOUND (a file without a golden vector), MISMATCH (says where and by how much), CORRUPT, NO_MEMORY. */
#define MYNAH_SELFCHECK_MAX 1e-3
#define MYNAH_SELFCHECK_MAX_BF16 2e-2
typedef struct mynah_selfcheck {
  int64_t n_actions; /* elements compared */
  double error;      /* the largest difference, as a share of the element's demonstrated range */
} mynah_selfcheck;
MYNAH_API MYNAH_CHECKED mynah_status mynah_clone_selfcheck(const mynah_clone *c, mynah_selfcheck *out);
MYNAH_API const mynah_policy *mynah_clone_policy(const mynah_clone *c);
MYNAH_API const mynah_weights *mynah_clone_weights(const mynah_clone *c);
MYNAH_API mynah_dtype mynah_clone_precision(const mynah_clone *c); /* that it acts in */
/* Of acting graph `which`, 0 … type->n_act_graphs - 1. */
MYNAH_API const mynah_program *mynah_clone_program(const mynah_clone *c, int which);
MYNAH_API const mynah_binding *mynah_clone_binding(const mynah_clone *c, int which);

typedef struct mynah_actor mynah_actor;
MYNAH_API MYNAH_CHECKED mynah_status mynah_actor_create(const mynah_clone *c, mynah_actor **out);
MYNAH_API void mynah_actor_destroy(mynah_actor *a);
/* A new episode: forgets observations and actions; draws come from this seed. */
MYNAH_API MYNAH_RT void mynah_actor_reset(mynah_actor *a, uint64_t seed);
/* Observes and acts. values: one for each of the policy's inputs, in their order, in the features' dtypes and shapes.
 * Shape: action (action size) */
MYNAH_API MYNAH_RT void mynah_actor_act(mynah_actor *a, const mynah_value *values, float *action);
/* Executes chunks otherwise than the policy's own config says, from the next reset on.
 * Fails: INVALID (more than a chunk holds), UNSUPPORTED (classes cannot be averaged). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_actor_configure(mynah_actor *a, const mynah_execute_config *config);
/* Where the last action came from. */
typedef struct mynah_actor_source {
  int64_t age_steps; /* since the observation that the newest chunk in it was predicted from; -1: no chunk */
  bool is_seam;      /* a chunk took over at this action and there was an action before */
  bool is_stale;     /* age_steps >= the steps between predictions: by now there could be a newer chunk */
  bool is_held;      /* no chunk says anything of this step: the last action is repeated */
} mynah_actor_source;
MYNAH_API MYNAH_RT mynah_actor_source mynah_actor_last(const mynah_actor *a);
/* Its eyes have lost an object that a slot requires: time for the loop's safe action. By any thread. */
MYNAH_API MYNAH_RT bool mynah_actor_is_blind(const mynah_actor *a);
/* Nanoseconds the last prediction took, its eyes' look at the picture included; 0 when the last act used up a chunk made before. */
MYNAH_API MYNAH_RT int64_t mynah_actor_infer_ns(const mynah_actor *a);
/* How far the newest chunk lies from what the one before had planned for the same steps: root mean square over steps and elements, as a
 * share of the demonstrated range; NaN while there is nothing to compare (one chunk so far, or none overlaps the next).
 * Source: temporal consistency, Agia et al. 2024, "Unpacking Failure Modes of Generative Policies" */
MYNAH_API MYNAH_RT double mynah_actor_disagreement(const mynah_actor *a);
/* Fits a policy to what gives observations: order[i] is the index in `features` of input i.
 * Fails: MISMATCH, NOT_FOUND: names the feature and both shapes. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_policy_match(const mynah_policy *p, const mynah_feature *features, int n,
                                                        int *order);

/* ---- acting in two threads -------------------------------------------------------------------------------------------
 * The halves of mynah_actor_act, for a loop that predicts in a thread of its own: an actor there observes and predicts, a
 * plan in the control thread says what is done now. */

/* Moves the history by one frame. values: as for mynah_actor_act. */
MYNAH_API MYNAH_RT void mynah_actor_observe(mynah_actor *a, const mynah_value *values);
/* Predicts from what was observed last. Shape: prefix (n_prefix, action size), chunk (config.chunk, action size) */
MYNAH_API MYNAH_RT void mynah_actor_predict(mynah_actor *a, const float *prefix, int64_t n_prefix, float *chunk);

/* The actions of the steps to come, made of the chunks that arrived. */
typedef struct mynah_plan mynah_plan;
MYNAH_API MYNAH_CHECKED mynah_status mynah_plan_create(const mynah_policy *p, const mynah_execute_config *config, mynah_plan **out);
MYNAH_API void mynah_plan_destroy(mynah_plan *plan);
MYNAH_API MYNAH_RT void mynah_plan_reset(mynah_plan *plan);
/* At the beginning of each step: a chunk whose delay has passed arrives. Whether a prediction from this step's observation
 * begins now. */
MYNAH_API MYNAH_RT bool mynah_plan_begin(mynah_plan *plan);
/* mode=rtc: the actions that a prediction begun now must begin with; returns how many. Shape: *rows (n, action size) */
MYNAH_API MYNAH_RT int64_t mynah_plan_prefix(mynah_plan *plan, const float **rows);
/* Takes over a chunk predicted from the present step's observation; it arrives when the delay has passed.
 * Shape: chunk (chunk, action size) */
MYNAH_API MYNAH_RT void mynah_plan_predicted(mynah_plan *plan, const float *chunk);
/* A chunk from the observation of step `origin` arrives now. False: rejected, being no newer than what acts or having
 * lost all its actions; where a chunk is one action, it acts however late it comes. Elements that are not finite are left
 * out. Shape: chunk (chunk, action size) */
MYNAH_API MYNAH_RT bool mynah_plan_arrive(mynah_plan *plan, const float *chunk, int64_t origin);
/* The present step's action; the next step begins. Without any planned action the last one is repeated.
 * Shape: action (action size) */
MYNAH_API MYNAH_RT void mynah_plan_next(mynah_plan *plan, float *action, mynah_actor_source *source);

#ifdef __cplusplus
}
#endif
#endif
