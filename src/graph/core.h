/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The engine's own objects, shared by the files at the top of this folder: graph, program, weights, binding.
 *
 * A graph is an array of nodes in the order they were made, which is a topological order; values are numbered from 1.
 * A program is an array of steps whose every operand has a place: arena, weight, constant, or gradient block. */
#ifndef MYNAH_GRAPH_CORE_H
#define MYNAH_GRAPH_CORE_H

#include "internal.h"

#include <stdatomic.h>

#define MYNAH__ALIGN 64
/* More elements than this in one tensor is a mistake, and small enough that sizes in bytes never overflow. */
#define MYNAH__MAX_ELEMENTS ((int64_t)1 << 40)

/* ---- graph ------------------------------------------------------------------------------------------------------- */

typedef enum mynah__leaf { MYNAH__LEAF_NONE, MYNAH__LEAF_INPUT, MYNAH__LEAF_CONSTANT, MYNAH__LEAF_WEIGHT } mynah__leaf;

typedef struct mynah__node {
  const mynah__op *op; /* NULL in a leaf */
  mynah__leaf leaf;
  int32_t index; /* of a leaf: in the graph's inputs, constants or weights */
  mynah__attributes a;
  int n_in, n_out;
  int32_t in[MYNAH__MAX_INPUTS]; /* values; 0: absent */
  int32_t out;                   /* value of output 0; the others follow */
} mynah__node;

typedef struct mynah__value {
  mynah__tensor tensor;
  int32_t node;
} mynah__value;

typedef struct mynah__input {
  char *name;
  int32_t value;
} mynah__input;

typedef struct mynah__constant {
  float *data;
  int64_t n; /* 1: the same number everywhere */
  int32_t value;
} mynah__constant;

typedef struct mynah__weight {
  char *name;
  int32_t value;
  mynah_init init;
  bool is_trained;
} mynah__weight;

typedef struct mynah__output {
  char *name;
  int32_t value;
  int32_t weight; /* of grad/WEIGHT: its index; -1 in other outputs */
} mynah__output;

struct mynah_graph {
  mynah__node *nodes;
  mynah__value *values; /* values[0] is nobody */
  mynah__input *inputs;
  mynah__constant *constants;
  mynah__weight *weights;
  mynah__output *outputs;
  size_t n_nodes, n_values, n_inputs, n_constants, n_weights, n_outputs;
  size_t cap_nodes, cap_values, cap_inputs, cap_constants, cap_weights, cap_outputs;
  char scope[MYNAH_NAME_MAX];
  bool is_training;
  mynah_status status; /* the first error, and its text */
  char error[512];
};

/* Notes the present error text as the graph's first error; returns null. */
mynah_node mynah__graph_note(mynah_graph *g, mynah_status status);
/* An output that belongs to weight `weight` (-1: to none). */
void mynah__graph_output(mynah_graph *g, const char *name, mynah_node n, int32_t weight);
/* "(256,5)" */
#define MYNAH__SHAPE_TEXT 96
const char *mynah__shape_text(mynah_shape s, char text[MYNAH__SHAPE_TEXT]);
/* Same number of dimensions and same dimensions. */
bool mynah__shape_is(mynah_shape a, mynah_shape b);

/* ---- program ----------------------------------------------------------------------------------------------------- */

typedef enum mynah__where {
  MYNAH__AT_NONE, /* an absent input */
  MYNAH__AT_ARENA,
  MYNAH__AT_WEIGHT,
  MYNAH__AT_CONSTANT,
  MYNAH__AT_FOLDED, /* worked out of weights and constants when a binding is refreshed */
  MYNAH__AT_GRADIENT
} mynah__where;

typedef struct mynah__place {
  mynah__where where;
  int32_t weight; /* at weight, gradient: index in the program's weights; folded: 0 when of constants alone */
  size_t offset;  /* at arena, constant, folded: bytes */
} mynah__place;

typedef struct mynah__program_step {
  mynah__step step;
  const mynah__kernel *kernel;
  mynah__plan plan;
  int32_t node; /* number of the node it came from: tells random ops apart */
  int32_t in_value[MYNAH__MAX_INPUTS], out_value[MYNAH__MAX_OUTPUTS];
  mynah__place in[MYNAH__MAX_INPUTS], out[MYNAH__MAX_OUTPUTS], scratch;
  size_t packed_offset;
  uint32_t releases; /* bit i: once this has packed or run, nobody needs the folded input i */
  int n_parts;    /* threads share it out in so many; each part has scratch of its own */
  bool is_folded; /* sees weights and constants alone: runs when a binding is refreshed, of constants alone once */
  bool is_dead;   /* fused into another; gone after compiling */
} mynah__program_step;

typedef struct mynah__port {
  char *name;
  mynah__tensor tensor;
  mynah__place place;
} mynah__port;

typedef struct mynah__program_weight {
  char *name;
  mynah_shape shape;
  bool is_trained;
  bool is_kept; /* a step reads it as it is; others are needed when steps pack and fold, and not again if they are frozen */
} mynah__program_weight;

struct mynah_program {
  mynah__program_step *steps, *folded;
  mynah__port *inputs, *outputs;
  mynah__program_weight *weights;
  int n_steps, n_folded, n_inputs, n_outputs, n_weights;
  char *constants; /* constants_bytes */
  float *arrays;   /* what the attributes of the steps point to */
  size_t constants_bytes, arena_bytes, packed_bytes, folded_bytes;
  size_t folded_scratch_bytes; /* the most that a folded step needs */
  size_t read_bytes; /* the most that the weights of a step take that packs or folds */
  size_t unshared_bytes; /* what the arena would take if no memory were used twice */
  mynah_dtype precision;
  int n_threads;
  bool is_rt, is_training, is_frozen, has_gradients;
};

/* What the memory planner sees: one block of memory, in use from step `first` to step `last`, both included. */
typedef struct mynah__block {
  size_t bytes, offset;
  int32_t first, last;
} mynah__block;
/* Gives each block an offset (64-byte aligned) such that blocks in use together do not overlap; the size of the arena.
 */
MYNAH_CHECKED mynah_status mynah__plan_arena(mynah__block *blocks, int n, size_t *arena_bytes);

/* What compiling needs to know about a graph. Values 1 … n_values-1 are the graph's, those up to n_ids are made here.
 */
typedef struct mynah__compiler {
  const mynah_graph *g;
  const mynah_compile_config *config;
  mynah_program *p;
  size_t n_ids;
  bool *is_live;         /* [n_nodes] some output needs it */
  int32_t *same_as;      /* [n_ids] the value itself, or the one that a vanished node passes on */
  int32_t *root;         /* [n_ids] the value whose memory this one is a view of */
  mynah__place *place;   /* [n_ids] of roots */
  int32_t *weight;       /* [graph's n_weights] its index in the program; -1: not used */
  int32_t *output_value; /* [graph's n_outputs] the root whose memory it is */
} mynah__compiler;
/* Merges steps where a kernel can do several at once; chooses and prepares the kernel of every step. */
MYNAH_CHECKED mynah_status mynah__choose_kernels(mynah__compiler *c);
/* Bytes of all operands of a step. */
double mynah__step_bytes(const mynah__step *step);
/* Gives every value its place. */
MYNAH_CHECKED mynah_status mynah__place_values(mynah__compiler *c);
static inline size_t mynah__align(size_t bytes) { return (bytes + MYNAH__ALIGN - 1) & ~(size_t)(MYNAH__ALIGN - 1); }
static inline size_t mynah__tensor_bytes(const mynah__tensor *t) {
  return (size_t)mynah_shape_size(t->shape) * mynah_dtype_bytes(t->dtype);
}

/* ---- weights and binding ----------------------------------------------------------------------------------------- */

struct mynah_weights {
  mynah_tensor_info *tensors;
  int n_tensors;
  float *data; /* n_floats, gaps zero; NULL: they lie in a file */
  const mynah_safetensors *file;
  const mynah_safetensor **in_file; /* [n_tensors] */
  atomic_bool *is_read;             /* [n_tensors] from the file, and found to be in order */
  char *names;
  size_t names_bytes;
  int64_t n_trained, n_floats, n_parameters;
};

/* Of a file in memory: compares a tensor with its checksum, where there is one. Fails: CORRUPT */
MYNAH_CHECKED mynah_status mynah__safetensors_verify(const mynah_safetensors *f, const mynah_safetensor *t);
/* The values of tensor i, wherever they lie. Shape: out (tensor's size). Thread: any. Fails: CORRUPT, NONFINITE, IO */
MYNAH_CHECKED mynah_status mynah__weights_read(const mynah_weights *w, int i, float *out);

struct mynah_binding {
  const mynah_program *program;
  mynah_weights *weights;
  const mynah_tensor_info **tensor; /* [program's n_weights] */
  double *doubles;                  /* double programs: a copy of the weights' flat array */
  const void **at;                  /* [program's n_weights] where its values lie; NULL: in a file, and needed packed alone */
  float *kept;                      /* of weights in a file: what steps read as it is */
  char *packed;                     /* program's packed_bytes */
  char *folded, *folded_scratch;    /* program's folded_bytes, folded_scratch_bytes */
  bool has_constants;               /* what is folded of constants alone is there */
};
/* Memory that the binding or its program owns: weights (floats, or doubles in a double program), constants, folded values.
 * NULL: a place of another kind, or a weight that is needed packed alone. */
const void *mynah__binding_resolve(const mynah_binding *b, const mynah__place *place);

#endif
