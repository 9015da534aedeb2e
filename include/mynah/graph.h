/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The neural-network engine: describe a graph, differentiate it, compile it, bind weights, run it.
 *
 * Objects: graph (description; one thread; sticky first error) -> program (const, shared by threads) ; weights (one flat
 *          array of named tensors) ; binding = program + weights + packed copies (shared, const while running) ;
 *          state (arena of one runner; one thread).
 * Owns:    graph may be destroyed after compile; program, weights, binding and state are destroyed in the reverse order.
 * Layout:  shapes outermost first, row-major; images (B,H,W,C), sequences (B,T,C); linear weights (out,in), convolution
 *          weights (out,in/groups,kh,kw) and (out,in/groups,k), as PyTorch stores them. */
#ifndef MYNAH_GRAPH_H
#define MYNAH_GRAPH_H

#include <mynah/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mynah_graph mynah_graph;
typedef struct mynah_program mynah_program;
typedef struct mynah_weights mynah_weights;
typedef struct mynah_binding mynah_binding;
typedef struct mynah_state mynah_state;

/* A value in a graph, by number; 0 is null. Builders given a null node, or one of a wrong shape, note the first error
 * in the graph and return null: it is checked once, by mynah_differentiate or mynah_compile. */
typedef struct mynah_node {
  int32_t id;
} mynah_node;
#define MYNAH_NO_NODE ((mynah_node){0})
static inline bool mynah_node_is_null(mynah_node n) { return n.id == 0; }

typedef struct mynah_shape {
  int n_dims;
  int64_t dims[MYNAH_MAX_DIMS];
} mynah_shape;
/* MYNAH_SHAPE(B, 5) -> (B,5). */
#define MYNAH_SHAPE(...)                                                                           \
  ((mynah_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
MYNAH_API int64_t mynah_shape_size(mynah_shape s);

/* ---- describing ------------------------------------------------------------------------------------------------ */

MYNAH_API MYNAH_CHECKED mynah_status mynah_graph_create(mynah_graph **out);
MYNAH_API void mynah_graph_destroy(mynah_graph *g);
MYNAH_API mynah_shape mynah_node_shape(const mynah_graph *g, mynah_node n); /* n_dims 0 for null */
/* A prefix put before the names of weights made from now on ("trunk.0."); NULL or "" for none. */
MYNAH_API void mynah_graph_scope(mynah_graph *g, const char *prefix);
/* MYNAH_OK, or the first builder error with its text restored. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_graph_status(const mynah_graph *g);
/* For blocks outside this folder: notes an error in the graph as builders do, and returns null. */
MYNAH_API mynah_node mynah_graph_fail(mynah_graph *g, const char *format, ...) MYNAH_PRINTF(2, 3);

/* dtype MYNAH_F32, or MYNAH_U8 (pictures; see mynah_from_u8), or MYNAH_I32 (indices). */
MYNAH_API mynah_node mynah_input(mynah_graph *g, const char *name, mynah_dtype dtype, mynah_shape shape);
MYNAH_API mynah_node mynah_constant(mynah_graph *g, mynah_shape shape, const float *values); /* copied */
MYNAH_API mynah_node mynah_fill(mynah_graph *g, mynah_shape shape, float value);
MYNAH_API void mynah_output(mynah_graph *g, const char *name, mynah_node n);

/* How a weight starts. */
typedef enum mynah_init_kind {
  MYNAH_INIT_ZERO,
  MYNAH_INIT_CONSTANT, /* value */
  MYNAH_INIT_UNIFORM,  /* U(-value, value) */
  MYNAH_INIT_NORMAL    /* N(0, value^2) */
} mynah_init_kind;
typedef struct mynah_init {
  mynah_init_kind kind;
  float value;
} mynah_init;
/* A trained parameter (matrices and filters decay, vectors do not), or a buffer (kept, not trained: batch-norm
 * statistics). The same name twice is the same weight and must have the same shape. */
MYNAH_API mynah_node mynah_weight(mynah_graph *g, const char *name, mynah_shape shape, mynah_init init);
MYNAH_API mynah_node mynah_buffer(mynah_graph *g, const char *name, mynah_shape shape, mynah_init init);

/* Linear algebra. x (…,in) w (out,in) b (out) or null -> (…,out) */
MYNAH_API mynah_node mynah_linear(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b);
/* a (…,M,K) b (…,K,N), leading dims equal or absent in b; transposed: the last two exchanged first -> (…,M,N) */
MYNAH_API mynah_node mynah_matmul(mynah_graph *g, mynah_node a, mynah_node b, bool a_transposed, bool b_transposed);

typedef struct mynah_conv {
  int stride[2], dilation[2]; /* 0 means 1 */
  int pad[4];                 /* top, left, bottom, right */
  int groups;                 /* 0 means 1 */
} mynah_conv;
/* x (B,H,W,C) w (O,C/groups,KH,KW) b (O) or null -> (B,H',W',O) */
MYNAH_API mynah_node mynah_conv2d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg);
/* x (B,T,C) w (O,C/groups,K); stride[0], dilation[0], pad[0] left, pad[2] right -> (B,T',O) */
MYNAH_API mynah_node mynah_conv1d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg);
/* Transposed: what the data gradient of a convolution does, as torch.nn.ConvTranspose2d. extra: its output_padding
 * (rows, columns), or null. x (B,H,W,C) w (C,O/groups,KH,KW) b (O) or null -> (B,H',W',O),
 * H' = (H-1) stride - pads + dilation (KH-1) + extra + 1 */
MYNAH_API mynah_node mynah_conv_transpose2d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg,
                                            const int *extra);
/* x (B,T,C) w (C,O/groups,K); numbers as in conv1d -> (B,T',O) */
MYNAH_API mynah_node mynah_conv_transpose1d(mynah_graph *g, mynah_node x, mynah_node w, mynah_node b, const mynah_conv *cfg,
                                            int extra);

typedef struct mynah_pool2d {
  int kernel[2], stride[2]; /* stride 0 means kernel */
  int pad[4];
  bool is_ceil;        /* output size rounded up */
  bool counts_padding; /* average: divide by the full window */
} mynah_pool2d;
MYNAH_API mynah_node mynah_max_pool(mynah_graph *g, mynah_node x, const mynah_pool2d *cfg);
MYNAH_API mynah_node mynah_avg_pool(mynah_graph *g, mynah_node x, const mynah_pool2d *cfg);
MYNAH_API mynah_node mynah_adaptive_avg_pool(mynah_graph *g, mynah_node x, int out_h, int out_w);
/* Every pixel becomes factor x factor equal ones, as torch.nn.Upsample(mode="nearest"). x (B,H,W,C) -> (B,fH,fW,C) */
MYNAH_API mynah_node mynah_upsample_nearest(mynah_graph *g, mynah_node x, int factor);

/* Pointwise on any shape. A unary function is a row of the table in ops/unary.c: name, f, f'; "leaky_relu:0.1" gives its
 * parameter. */
MYNAH_API mynah_node mynah_unary(mynah_graph *g, const char *function, mynah_node x); /* "relu", "silu", "tanh", … */
MYNAH_API mynah_node mynah_relu(mynah_graph *g, mynah_node x);
MYNAH_API mynah_node mynah_silu(mynah_graph *g, mynah_node x);
MYNAH_API mynah_node mynah_tanh(mynah_graph *g, mynah_node x);
MYNAH_API mynah_node mynah_sigmoid(mynah_graph *g, mynah_node x);
MYNAH_API mynah_node mynah_clamp(mynah_graph *g, mynah_node x, float low, float high); /* gradient 0 outside */
MYNAH_API mynah_node mynah_affine(mynah_graph *g, mynah_node x, float scale, float shift);
/* NumPy broadcasting: b's dims equal a's or are 1, aligned at the last. */
MYNAH_API mynah_node mynah_add(mynah_graph *g, mynah_node a, mynah_node b);
MYNAH_API mynah_node mynah_sub(mynah_graph *g, mynah_node a, mynah_node b);
MYNAH_API mynah_node mynah_mul(mynah_graph *g, mynah_node a, mynah_node b);
MYNAH_API mynah_node mynah_div(mynah_graph *g, mynah_node a, mynah_node b);
/* 8-bit (…,C) -> float: x * scale[c] + shift[c]; scale, shift have C values or 1. */
MYNAH_API mynah_node mynah_from_u8(mynah_graph *g, mynah_node x, const float *scale, const float *shift, int n);
/* Only while training (a differentiated graph); the mask comes from the state's seed. Identity elsewhere. */
MYNAH_API mynah_node mynah_dropout(mynah_graph *g, mynah_node x, float probability);
/* x + N(0, sigma^2), only while training. */
MYNAH_API mynah_node mynah_gaussian_noise(mynah_graph *g, mynah_node x, float sigma);
/* Sources, drawn anew in every run from the state's seed, whether training or not: N(0,1) numbers, and B whole numbers
 * (int32) in 0 … n-1. */
MYNAH_API mynah_node mynah_random_normal(mynah_graph *g, mynah_shape shape);
MYNAH_API mynah_node mynah_random_index(mynah_graph *g, int64_t batch, int64_t n);
/* Rows of a table: table (R,D) index (B) int32 -> (B,D). A number outside 0 … R-1 gives the nearest row. */
MYNAH_API mynah_node mynah_gather(mynah_graph *g, mynah_node table, mynah_node index);

/* Shape. Axes count from 0; negative from the end. */
MYNAH_API mynah_node mynah_reshape(mynah_graph *g, mynah_node x, mynah_shape shape); /* one dim may be -1 */
MYNAH_API mynah_node mynah_permute(mynah_graph *g, mynah_node x, const int *axes);
MYNAH_API mynah_node mynah_concat(mynah_graph *g, const mynah_node *parts, int n, int axis);
MYNAH_API mynah_node mynah_slice(mynah_graph *g, mynah_node x, int axis, int64_t start, int64_t length);
MYNAH_API mynah_node mynah_broadcast(mynah_graph *g, mynah_node x, mynah_shape shape);
/* x as a constant: no gradient flows back. */
MYNAH_API mynah_node mynah_detach(mynah_graph *g, mynah_node x);
/* Reductions over the given axes, which are kept as 1 when keep is set; n_axes 0: all. */
MYNAH_API mynah_node mynah_sum(mynah_graph *g, mynah_node x, const int *axes, int n_axes, bool keep);
MYNAH_API mynah_node mynah_mean(mynah_graph *g, mynah_node x, const int *axes, int n_axes, bool keep);
MYNAH_API mynah_node mynah_softmax(mynah_graph *g, mynah_node x);     /* last axis */
MYNAH_API mynah_node mynah_log_softmax(mynah_graph *g, mynah_node x); /* last axis */

/* Norms. gamma, beta (C) or null. */
MYNAH_API mynah_node mynah_layer_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta, float eps);
/* mean, var: buffers (C). While training: batch statistics, and outputs update/NAME for the two buffers; else frozen. */
MYNAH_API mynah_node mynah_batch_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta, mynah_node mean,
                                      mynah_node var, float eps, float momentum);
MYNAH_API mynah_node mynah_frozen_batch_norm(mynah_graph *g, mynah_node x, mynah_node gamma, mynah_node beta,
                                             mynah_node mean, mynah_node var, float eps);
MYNAH_API mynah_node mynah_group_norm(mynah_graph *g, mynah_node x, int groups, mynah_node gamma, mynah_node beta,
                                      float eps);

/* Losses: scalars (1). mask: null, or broadcastable to the prediction, 1 counts, 0 does not; the mean divides by all
 * elements, masked ones included (as ACT and Diffusion Policy do). */
MYNAH_API mynah_node mynah_mse(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask);
MYNAH_API mynah_node mynah_l1(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask);
MYNAH_API mynah_node mynah_huber(mynah_graph *g, mynah_node prediction, mynah_node target, mynah_node mask, float delta);
/* logits (…,K) target (…) MYNAH_I32; smoothing as PyTorch's label_smoothing. */
MYNAH_API mynah_node mynah_cross_entropy(mynah_graph *g, mynah_node logits, mynah_node target, float smoothing);
/* Mean over batch and elements of 0.5 (log var + (x-mean)^2 / var), as PyTorch's GaussianNLLLoss, var >= eps. */
MYNAH_API mynah_node mynah_gaussian_nll(mynah_graph *g, mynah_node mean, mynah_node var, mynah_node target, float eps);
/* Mixture of K diagonal Gaussians: -log sum_k softmax(logits)_k N(target; mean_k, exp(log_std_k)), mean over the batch.
 * Shape: logits (B,K) mean (B,K,D) log_std (B,K,D) target (B,D) mask null or (B,D) */
MYNAH_API mynah_node mynah_gmm_nll(mynah_graph *g, mynah_node logits, mynah_node mean, mynah_node log_std,
                                   mynah_node target, mynah_node mask);

/* Detectors without anchor boxes. What a head says of its cells and what is there. Shape: distances (B,A,4) from a cell's
 * centre left, up, right and down in sizes of the cell; logits (B,A,K); boxes (B,M,5): class (below 0: none), centre x, y, width, height;
 * cells (A,3): centre x, y, size. Unit: px */
typedef struct mynah_cells {
  mynah_node distances, logits, boxes, cells;
} mynah_cells;
/* Task-aligned assignment: an object claims the n_claimed cells inside it with the most score^0.5 CIoU^6; a cell claimed
 * twice goes to the object it overlaps most; the best n_kept stay. Objects smaller than a cell reach as far as a cell of the next size.
 * -> (B,A,3): number of the box or -1, its score 0 … 1, weight of CIoU's aspect term. No gradient flows.
 * Source: Feng et al. 2021, TOOD, sec. 3.2; small objects and the second choice as YOLO26 */
MYNAH_API mynah_node mynah_assign_cells(mynah_graph *g, const mynah_cells *c, int n_claimed, int n_kept);
typedef struct mynah_detect_gains {
  double box, classes, distance;
} mynah_detect_gains;
/* Sum over cells of score (box (1 - CIoU) + distance |d - d'| in shares of the picture) + classes times binary cross-entropy with the
 * scores, over the sum of the scores (at least 1). -> (1) */
MYNAH_API mynah_node mynah_detect_loss(mynah_graph *g, const mynah_cells *c, mynah_node assigned, const mynah_detect_gains *gains,
                                       int64_t width, int64_t height);

/* ---- differentiating and compiling ------------------------------------------------------------------------------ */

/* Appends the reverse pass of a scalar: outputs grad/WEIGHT for every trained weight that the loss depends on. The graph
 * is a training graph from then on (dropout, noise and batch statistics are active). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_differentiate(mynah_graph *g, mynah_node loss);
/* The same for tests and other uses: outputs grad/INPUT for inputs too. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_differentiate_inputs(mynah_graph *g, mynah_node loss);

typedef struct mynah_compile_config {
  const char *kernels;     /* families in order of preference: "winograd,fast,dnnl,ref" (NULL: that) */
  /* MYNAH_F32. MYNAH_BF16: operands of linear, matmul, convolutions and of their gradients are rounded to the nearest
   * bfloat16, ties to even; sums, results, weights and all other steps are floats, as are inputs and outputs. MYNAH_F64:
   * ref kernels in double, for gradient checks. Others are refused. */
  mynah_dtype precision;
  bool is_frozen;          /* weights never change once bound: pack them once, and keep no other copy if they lie in a file */
  int n_threads;           /* threads inside one run (inference only); 0 means 1 */
} mynah_compile_config;
MYNAH_API mynah_compile_config mynah_compile_default(void);
/* Fails: the graph's first error; UNSUPPORTED when no allowed kernel takes a node. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_compile(const mynah_graph *g, const mynah_compile_config *config,
                                                   mynah_program **out);
MYNAH_API void mynah_program_destroy(mynah_program *p);
/* True when running allocates nothing and takes no lock: fast and ref kernels alone. */
MYNAH_API bool mynah_program_is_rt(const mynah_program *p);
/* One line a step: op, shapes, kernel, bytes, GFLOP; totals at the end. */
MYNAH_API void mynah_program_print(const mynah_program *p, mynah_str *out);
/* Of the steps: how many, the name of step i's op and kernel ("dnnl:conv2d …"), its floating-point operations and the
 * bytes it reads and writes. NULL out-parameters are skipped. */
MYNAH_API int mynah_program_n_steps(const mynah_program *p);
MYNAH_API void mynah_program_step(const mynah_program *p, int i, const char **op, const char **kernel, double *flops,
                                  double *bytes);
MYNAH_API double mynah_program_flops(const mynah_program *p);
/* What one core can do, measured now (some 0.2 s): GFLOP/s of float multiply-adds in registers, GB/s read from memory.
 * 0: not known here. */
typedef struct mynah_machine {
  double gflops, gb_s;
} mynah_machine;
MYNAH_API mynah_machine mynah_machine_measure(void);
/* Inputs and outputs by number, for callers that fit data to them. */
MYNAH_API int mynah_program_n_inputs(const mynah_program *p);
MYNAH_API const char *mynah_program_input(const mynah_program *p, int i, mynah_dtype *dtype, mynah_shape *shape);
MYNAH_API int mynah_program_n_outputs(const mynah_program *p);
MYNAH_API const char *mynah_program_output(const mynah_program *p, int i, mynah_shape *shape);

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* All weights of one or more graphs, in one flat array of floats, each tensor 64-byte aligned: trained parameters
 * first, then buffers. Gradients of a program bound to it lie in the same order at the same offsets, so optimisers,
 * EMA and sums over shards are flat sweeps. */
typedef struct mynah_tensor_info {
  const char *name;
  mynah_shape shape;
  int64_t offset; /* floats from the start of the flat array */
  int64_t size;   /* floats */
  bool is_trained;
  bool is_decayed; /* a matrix or a filter: weight decay applies */
} mynah_tensor_info;
/* Lays out and initialises the weights that a graph names; each tensor draws from (seed, its name). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_create(const mynah_graph *g, uint64_t seed, mynah_weights **out);
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_copy(const mynah_weights *w, mynah_weights **out);
MYNAH_API void mynah_weights_destroy(mynah_weights *w);
MYNAH_API int mynah_weights_n_tensors(const mynah_weights *w);
MYNAH_API const mynah_tensor_info *mynah_weights_tensor(const mynah_weights *w, int i);
MYNAH_API const mynah_tensor_info *mynah_weights_find(const mynah_weights *w, const char *name); /* NULL: none */
MYNAH_API float *mynah_weights_data(mynah_weights *w);
MYNAH_API const float *mynah_weights_const_data(const mynah_weights *w);
MYNAH_API int64_t mynah_weights_n_trained(const mynah_weights *w); /* floats, alignment gaps (zeros) included */
MYNAH_API int64_t mynah_weights_n_floats(const mynah_weights *w);
MYNAH_API int64_t mynah_weights_n_parameters(const mynah_weights *w); /* trained elements, without gaps */

/* A safetensors file in memory or mapped. Every rule of the format is checked with overflow-safe arithmetic: header
 * length, JSON, dtype, shape × size = byte range, ranges inside the file, no overlap, no hole, no duplicate. */
typedef struct mynah_safetensors mynah_safetensors;
typedef struct mynah_safetensor {
  const char *name;
  mynah_dtype dtype;
  mynah_shape shape;
  const void *data;
  size_t bytes;
} mynah_safetensor;
/* Fails: NOT_FOUND, CORRUPT (says which rule), UNSUPPORTED (a dtype). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_safetensors_open(const char *path, mynah_safetensors **out);
/* The same of a file in memory, which must outlive it. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_safetensors_parse(const void *data, size_t size, mynah_safetensors **out);
/* The same without mapping it: only the header is read. Tensors have no data; they are asked for one at a time. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_safetensors_stream(const char *path, mynah_safetensors **out);
/* Reads a tensor of f, from wherever it lies: t->bytes bytes. Thread: any.
 * Fails: CORRUPT (its checksum is another, or the file was cut meanwhile), IO. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_safetensors_read(const mynah_safetensors *f, const mynah_safetensor *t, void *out);
/* Whether the file has checksums (CRC-32C), as those written here do. Those of the metadata were compared when it was opened. */
MYNAH_API bool mynah_safetensors_is_checked(const mynah_safetensors *f);
MYNAH_API void mynah_safetensors_close(mynah_safetensors *f);
MYNAH_API int mynah_safetensors_count(const mynah_safetensors *f);
MYNAH_API const mynah_safetensor *mynah_safetensors_at(const mynah_safetensors *f, int i);
MYNAH_API const mynah_safetensor *mynah_safetensors_find(const mynah_safetensors *f, const char *name);
MYNAH_API const char *mynah_safetensors_metadata(const mynah_safetensors *f, const char *key); /* NULL: none */
/* Writes tensors and string metadata: the same content gives the same bytes, in whatever order it is passed (tensors by
 * element size, largest first, then by name; metadata by key), and their checksums as the metadata "crc32c". Atomic. */
typedef struct mynah_metadata {
  const char *key, *value;
} mynah_metadata;
MYNAH_API MYNAH_CHECKED mynah_status mynah_safetensors_write(const char *path, const mynah_safetensor *tensors, int n,
                                                             const mynah_metadata *metadata, int n_metadata);
/* Copies tensors by name into weights. Fails: NOT_FOUND (names the missing tensor), MISMATCH (names both shapes),
 * NONFINITE. Tensors of the file that the weights lack are an error unless allow_extra. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_load(mynah_weights *w, const mynah_safetensors *f, bool allow_extra);
/* The same from n tensors in memory, aligned for their types, in any order; more than the weights have is no error. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_fill(mynah_weights *w, const mynah_safetensor *tensors, int n);
/* Weights that stay in a file, which must outlive them: the binding of a frozen program reads a tensor when a step packs it and
 * keeps what steps need, so that nothing lies in memory twice. Nothing else can be asked of them than their tensors' names, shapes
 * and hash. Fails: as mynah_weights_load with allow_extra = false, what values are not looked at yet. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_open(const mynah_graph *g, const mynah_safetensors *f, mynah_weights **out);
/* Reads what no binding has read, so that all of the file is known to be in order. Fails: CORRUPT, NONFINITE, IO */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_check(const mynah_weights *w);
/* SHA-256 over all tensors, each with its name. Fails: of weights in a file, as reading them does */
MYNAH_API MYNAH_CHECKED mynah_status mynah_weights_hash(const mynah_weights *w, char hex[65]);
/* Fills at most max entries describing w's tensors, for mynah_safetensors_write; returns how many there are. */
MYNAH_API int mynah_weights_tensors(const mynah_weights *w, mynah_safetensor *out, int max);

/* ---- running ---------------------------------------------------------------------------------------------------- */

/* Fails: NOT_FOUND, MISMATCH when the program needs a weight that w lacks; INVALID, weights in a file for a program that is not
 * frozen; as reading them does. w must outlive the binding. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_binding_create(const mynah_program *p, mynah_weights *w, mynah_binding **out);
MYNAH_API void mynah_binding_destroy(mynah_binding *b);
/* After the weights, which lie in memory, changed: packs again, in pieces shared by the pool's threads (NULL: this thread). */
MYNAH_API void mynah_binding_refresh(mynah_binding *b, mynah_pool *pool);
MYNAH_API MYNAH_CHECKED mynah_status mynah_state_create(const mynah_binding *b, mynah_state **out);
MYNAH_API void mynah_state_destroy(mynah_state *s);
/* The memory of an input (to fill) or an output (to read after a run); NULL when there is none of that name. In an F64
 * program these are doubles. */
MYNAH_API void *mynah_state_input(mynah_state *s, const char *name);
MYNAH_API const void *mynah_state_output(const mynah_state *s, const char *name);
/* Bytes of an output; 0 when there is none of that name. */
MYNAH_API MYNAH_RT size_t mynah_state_output_bytes(const mynah_state *s, const char *name);
/* Seeds dropout and noise: the k-th run after a seeding with (seed, position) is a function of both and k. */
MYNAH_API MYNAH_RT void mynah_state_seed(mynah_state *s, uint64_t seed, uint64_t position);
/* All gradients as one flat array laid out as the weights' trained part, zeros for weights that the loss does not depend
 * on; NULL in a program without them and in an F64 program. */
MYNAH_API const float *mynah_state_gradients(const mynah_state *s);
MYNAH_API MYNAH_RT void mynah_state_run(mynah_state *s);
/* As run, and adds each step's nanoseconds to ns[step]. */
MYNAH_API void mynah_state_run_timed(mynah_state *s, int64_t *ns);

/* ---- flat sweeps over weights (vectorised; any range; deterministic for any split at multiples of 16) ------------- */

/* w -= lr * (mhat / (sqrt(vhat) + eps) + …): decoupled decay when decoupled, as torch.optim.AdamW; else L2 as Adam.
 * correction1 = 1-beta1^t, correction2 = 1-beta2^t. gradient is multiplied by gradient_scale first. */
typedef struct mynah_adam {
  float lr, beta1, beta2, eps, decay, correction1, correction2, gradient_scale;
  bool is_decoupled;
} mynah_adam;
MYNAH_API void mynah_sweep_adam(const mynah_adam *a, int64_t n, float *w, float *m, float *v, const float *gradient);
/* buffer = momentum * buffer + (1-dampening 0) gradient; nesterov as torch.optim.SGD; is_first: buffer = gradient. */
typedef struct mynah_sgd {
  float lr, momentum, decay, gradient_scale;
  bool is_nesterov, is_first;
} mynah_sgd;
MYNAH_API void mynah_sweep_sgd(const mynah_sgd *a, int64_t n, float *w, float *buffer, const float *gradient);
MYNAH_API void mynah_sweep_ema(float decay, int64_t n, float *average, const float *w);
/* out = scale * (in[0] + in[1] + …) summed as a fixed binary tree, whatever the range. */
MYNAH_API void mynah_sweep_tree_sum(int n_in, const float *const *in, float scale, int64_t n, float *out);
/* Sum of squares in double, in a fixed order; non-finite elements make it non-finite. */
MYNAH_API double mynah_sweep_sum_squares(int64_t n, const float *x);

#ifdef __cplusplus
}
#endif
#endif
