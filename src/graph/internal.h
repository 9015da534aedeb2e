/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside the engine: what an op is, what a kernel is, and what passes between the compiler and a kernel.
 *
 * An op is one const struct: shape rule, gradient rule, list of kernels, best first, the plain-C reference last. A
 * kernel is one const struct too: can it take this step, prepare, pack weights, run. Nobody switches over ops. */
#ifndef MYNAH_GRAPH_INTERNAL_H
#define MYNAH_GRAPH_INTERNAL_H

#include <mynah/graph.h>

#include <string.h>

#define MYNAH__MAX_INPUTS 12
#define MYNAH__MAX_OUTPUTS 4

/* Type and shape of one value. */
typedef struct mynah__tensor {
  mynah_dtype dtype;
  mynah_shape shape;
} mynah__tensor;

/* Attributes of a node: a few numbers whose meaning is the op's own (see the op's file), or a constant's values. */
typedef struct mynah__attributes {
  int64_t i[12];
  double f[6];
  const char *text;   /* static text, e.g. the name of a unary function */
  const float *array; /* owned by the graph, copied into the program */
  int64_t n_array;
} mynah__attributes;

typedef struct mynah__op mynah__op;
typedef struct mynah__kernel mynah__kernel;
typedef struct mynah__unary mynah__unary;

/* A pointwise function of one number. */
struct mynah__unary {
  const char *name;
  double (*f)(double x, const double *parameters);
  /* f'(x) given x and y = f(x). */
  double (*derivative)(double x, double y, const double *parameters);
  bool is_from_output; /* the derivative needs y alone, so x need not be kept; x is NaN then */
  double parameter;    /* parameters[0] unless the builder is told another: "leaky_relu:0.1" */
};
const mynah__unary *mynah__unary_find(const char *name);

/* One node about to be compiled: all that a kernel may look at when it decides and prepares. A fused step has the post
 * function applied to output 0, after adding the residual (input `residual`, same shape as output 0) when it is >= 0.
 */
typedef struct mynah__step {
  const mynah__op *op;
  mynah__attributes a;
  int n_in, n_out;
  mynah__tensor in[MYNAH__MAX_INPUTS]; /* n_dims 0: an absent optional input */
  mynah__tensor out[MYNAH__MAX_OUTPUTS];
  bool is_weight[MYNAH__MAX_INPUTS]; /* input lies in the weights: changes only between runs */
  bool is_frozen;                    /* and not even then */
  bool is_training;
  mynah_dtype precision; /* of a product's operands when BF16: sums, results and all else are floats */
  const mynah__unary *post; /* NULL: none */
  double post_parameters[2];
  int residual;
} mynah__step;

/* One execution: pointers resolved. */
typedef struct mynah__call {
  const mynah__step *step;
  const void *plan;   /* what prepare made: const, shared by threads */
  const void *packed; /* what pack filled: const, shared by threads */
  void *local;        /* what attach made: this state's own */
  void *scratch;      /* scratch_bytes, 64-byte aligned, contents undefined */
  const void *in[MYNAH__MAX_INPUTS];
  void *out[MYNAH__MAX_OUTPUTS];
  uint64_t seed, position; /* for random ops: unique to (run, node) */
  int part, n_parts;       /* of a kernel that is shared out: which part of how many this call does; n_parts >= 1 */
} mynah__call;

/* Of n pieces of work: those of the call's part. */
typedef struct mynah__share {
  int64_t first, last; /* last not included */
} mynah__share;
static inline mynah__share mynah__share_of(int64_t n, const mynah__call *call) {
  return (mynah__share){n * call->part / call->n_parts, n * (call->part + 1) / call->n_parts};
}

/* What prepare answers. */
typedef struct mynah__plan {
  void *data; /* freed by release; NULL is fine */
  size_t scratch_bytes;
  size_t packed_bytes;
  size_t packing_bytes; /* the last of packed_bytes: room for packing, which running does not look at */
  const char *detail; /* static text for the printed program, e.g. oneDNN's implementation name; NULL: none */
} mynah__plan;

struct mynah__kernel {
  const char *name; /* "dnnl:matmul", "fast:layer_norm", "ref:conv2d": the family stands before the colon */
  bool is_rt;
  bool takes_post;                          /* can apply step->post and residual */
  uint32_t packs; /* bit i: of a step that packs, run does not look at input i, which lies in what was packed */
  bool is_shared_out; /* run does a part, so that threads can do parts at once; the result is the same for any number of them */
  bool (*accepts)(const mynah__step *step); /* NULL: everything in its dtype */
  /* NULL: nothing to prepare. Keeps no pointer to the step, which still moves; UNSUPPORTED: the next kernel is asked.
   */
  mynah_status (*prepare)(const mynah__step *step, mynah__plan *plan);
  void (*release)(void *plan_data);
  /* Repacks weights; in[] as in a call (weights only, others NULL). NULL when packed_bytes is 0. */
  void (*pack)(const mynah__step *step, const void *plan, const void *const *in, void *packed);
  mynah_status (*attach)(const mynah__step *step, const void *plan, void **local); /* per-state objects; may be NULL */
  void (*detach)(void *local);
  void (*run)(const mynah__call *call);
};

struct mynah__op {
  const char *name;
  /* Fills out[] from in[] and a; n_out set. Error text by mynah_fail. */
  mynah_status (*shape)(mynah__step *step);
  /* Adds nodes: given node n (inputs in[], outputs out[]) and the gradients dy[] of its outputs (null: none), writes
   * the gradients of its inputs to dx[] (null: none needed or none exists); needs[i] says which are wanted. */
  void (*gradient)(mynah_graph *g, mynah_node n, const mynah_node *dy, const bool *needs, mynah_node *dx);
  /* Floating-point operations of one run; NULL: one an output element. */
  double (*flops)(const mynah__step *step);
  /* Kernels best first, NULL-terminated; the reference in float last, and its double twin after it. */
  const mynah__kernel *const *kernels;
  bool is_view;          /* output 0 is input 0's memory under another shape */
  uint32_t in_place;     /* bit i: output 0 may overwrite input i (same size) */
  bool is_random;        /* call->seed and position are set anew for each run */
  bool is_training_only; /* outside training, output 0 is input 0 and the node vanishes */
  bool is_product;       /* of matrices or filters: its operands are rounded in a BF16 program */
};

/* The nearest bfloat16, ties to even; NaN stays NaN. Its bits are the upper half of those of a float. */
static inline uint16_t mynah__bf16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return (uint16_t)(bits >> 16 | 0x40); /* quiet, and not rounded to infinity */
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static inline float mynah__bf16_value(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Generic node builder used by ops/ and autodiff: adds a node, runs the op's shape rule; output k of it. */
mynah_node mynah__add_node(mynah_graph *g, const mynah__op *op, const mynah__attributes *a, const mynah_node *in,
                           int n_in);
mynah_node mynah__node_output(const mynah_graph *g, mynah_node n, int k); /* k-th output of n's node */
mynah_node mynah__node_input(const mynah_graph *g, mynah_node n, int k);
const mynah__attributes *mynah__node_attributes(const mynah_graph *g, mynah_node n);
/* The name of the weight or buffer that n is; NULL when it is something else. */
const char *mynah__weight_name(const mynah_graph *g, mynah_node n);

/* Ref kernels are compiled twice, at float and at double: MYNAH_REAL is the type, MYNAH__REF(name) the kernel's name.
 */
#ifdef MYNAH_REF_DOUBLE
#define MYNAH_REAL double
#define MYNAH__REF(name) mynah__ref64_##name
#define MYNAH__REF_DTYPE MYNAH_F64
#else
#define MYNAH_REAL float
#define MYNAH__REF(name) mynah__ref32_##name
#define MYNAH__REF_DTYPE MYNAH_F32
#endif

#endif
