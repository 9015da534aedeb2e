/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside onnx: what a file holds, and the values that take shape while it is described on a graph. */
#ifndef MYNAH_ONNX_INTERNAL_H
#define MYNAH_ONNX_INTERNAL_H

#include <mynah/onnx.h>

#include "wire.h"

#define MYNAH__ONNX_LARGEST ((int64_t)1 << 53)   /* whole numbers beyond are cut: they stand for "to the end" */
#define MYNAH__ONNX_VALUE_MAX ((int64_t)1 << 28) /* numbers of one value */

/* ---- read.c ---- */

/* A constant of the file: floats as float32, whole numbers as double. No data: left out of the file, see
 * mynah_onnx_strip. */
typedef struct mynah__onnx_tensor {
  char *name; /* of the weight; NULL: an attribute */
  mynah_shape shape;
  bool is_real;
  int64_t n;
  float *floats;
  double *wholes;
  mynah__span message;
  bool is_infinite;        /* a mask: no weight */
  bool is_weight, is_read; /* a graph has it as a weight; its numbers were looked at */
} mynah__onnx_tensor;
typedef struct mynah__onnx_attribute {
  char *name, *text;
  double number;
  size_t first, n; /* of its list in `numbers` */
  int tensor;      /* -1: none */
} mynah__onnx_attribute;
typedef struct mynah__onnx_node {
  char *op, *name, *domain;
  size_t first_in, n_in, n_out; /* in `links`: values, -1 for an absent one; outputs behind the inputs */
  size_t first_attribute, n_attributes;
} mynah__onnx_node;
typedef struct mynah__onnx_note {
  char *key, *value;
} mynah__onnx_note;
/* A name and what makes it: node `maker`, or tensor -2 - maker; -1: nothing. */
typedef struct mynah__onnx_value {
  char *name;
  int maker;
} mynah__onnx_value;
struct mynah_onnx {
  mynah_str file;
  mynah__onnx_tensor *tensors;
  mynah__onnx_node *nodes;
  mynah__onnx_attribute *attributes;
  double *numbers;
  int *links;
  mynah__onnx_value *values;
  int *table; /* of values by name: open addressing, -1 free */
  mynah_onnx_port *inputs, *outputs;
  mynah__onnx_note *notes;
  mynah_safetensor *weights;
  char **shared; /* names of weights that have no tensor of their own */
  size_t n_tensors, n_nodes, n_attributes, n_numbers, n_links, n_values, n_table, n_inputs, n_outputs, n_notes,
      n_weights, n_shared;
  size_t cap_tensors, cap_nodes, cap_attributes, cap_numbers, cap_links, cap_values, cap_inputs, cap_outputs, cap_notes, cap_shared;
  int64_t opset;
};
int mynah__onnx_find(const mynah_onnx *o, const char *name); /* -1: none */

/* ---- value.c: values while a network is described ---- */

/* A value is known (numbers), or a node of the graph. A node's axes lie in any order: physical axis k is logical axis
 * order[k], so that transposing costs nothing until somebody needs another order. */
typedef struct mynah__value {
  mynah_shape shape; /* logical; n_dims 0: a scalar */
  bool is_set, is_whole;
  double *known; /* NULL: a node, or a weight that has not been one yet */
  int tensor;    /* -1, or the tensor it is */
  mynah_node node;
  int order[MYNAH_MAX_DIMS];
  int logistic_of; /* the value whose sigmoid it is; -1 */
} mynah__value;

typedef struct mynah__lowering {
  mynah_onnx *o;
  mynah_graph *g;
  mynah__value *values;         /* as o->values */
  const mynah__onnx_node *node; /* being described */
  int64_t n_known;              /* numbers worked out so far, in `owned` */
  double **owned;
  size_t n_owned, cap_owned;
} mynah__lowering;

typedef mynah_status (*mynah__onnx_fn)(mynah__lowering *l);
typedef struct mynah__onnx_op {
  const char *name;
  mynah__onnx_fn fn;
} mynah__onnx_op;
/* Ended by a NULL name. */
extern const mynah__onnx_op mynah__onnx_math_ops[], mynah__onnx_move_ops[], mynah__onnx_network_ops[],
    mynah__onnx_resample_ops[], mynah__onnx_sequence_ops[];

/* Input k, NULL when absent; output k's value index, -1 when absent. */
mynah__value *mynah__in(const mynah__lowering *l, size_t k);
int mynah__in_index(const mynah__lowering *l, size_t k);
int mynah__out_index(const mynah__lowering *l, size_t k);
/* The same or an error that names the input. */
MYNAH_CHECKED mynah_status mynah__need(const mynah__lowering *l, size_t k, mynah__value **out);
/* Refuses the node: "is only known with …". */
mynah_status mynah__refuse(const mynah__lowering *l, const char *format, ...) MYNAH_PRINTF(2, 3);

const mynah__onnx_attribute *mynah__attribute(const mynah__lowering *l, const char *name);
int64_t mynah__whole_attribute(const mynah__lowering *l, const char *name, int64_t fallback);
double mynah__real_attribute(const mynah__lowering *l, const char *name, double fallback);
const char *mynah__text_attribute(const mynah__lowering *l, const char *name, const char *fallback);
/* A list of whole numbers: from the attribute, or from input k when that is there (k < 0: none). Returns how many; -1:
 * absent. Fails: UNSUPPORTED (numbers not known in advance), LIMIT (more than max). */
MYNAH_CHECKED mynah_status mynah__whole_list(mynah__lowering *l, const char *name, int k, int64_t *out, int max,
                                             int *n);
/* Axis in 0 … n_dims-1 of one that may count from the end. Fails: CORRUPT. */
MYNAH_CHECKED mynah_status mynah__axis(const mynah__lowering *l, int64_t axis, int n_dims, int *out);

/* Sets output k. Known: room for the numbers is made and given. */
MYNAH_CHECKED mynah_status mynah__set_known(mynah__lowering *l, size_t k, mynah_shape shape, bool is_whole,
                                            double **out);
/* order NULL: as it lies. shape: logical. */
MYNAH_CHECKED mynah_status mynah__set_node(mynah__lowering *l, size_t k, mynah_node node, mynah_shape shape,
                                           const int *order);
/* Output k is input value v, shared. */
MYNAH_CHECKED mynah_status mynah__set_same(mynah__lowering *l, size_t k, const mynah__value *v);

/* Whether all inputs are small constants, so that this is arithmetic on shapes. */
bool mynah__is_arithmetic(const mynah__lowering *l);
/* The numbers of a constant, n of them. Fails: UNSUPPORTED (not known in advance), LIMIT. */
MYNAH_CHECKED mynah_status mynah__known(mynah__lowering *l, mynah__value *v, const double **out);
bool mynah__is_known(const mynah__value *v); /* it can be had */
/* The one number of a constant; false: it is no such thing. */
bool mynah__known_number(mynah__lowering *l, mynah__value *v, double *out);
/* The value as a node with its axes in this order (NULL: in their own); null: the graph holds the error. A scalar is
 * (1). */
mynah_node mynah__arranged(mynah__lowering *l, mynah__value *v, const int *order);
/* A node of numbers worked out here; infinite ones, of masks, become the largest finite ones. Null: the graph holds the
 * error. */
mynah_node mynah__constant(mynah__lowering *l, mynah_shape shape, const double *numbers);
/* The axes of v's order; of a constant, in their own. */
void mynah__order_of(const mynah__value *v, int *order);
int mynah__position(const int *order, int n, int axis); /* where an axis lies */
static inline mynah_shape mynah__physical(mynah_shape logical, const int *order) {
  mynah_shape s = {.n_dims = logical.n_dims};
  for (int k = 0; k < s.n_dims; k++) s.dims[k] = logical.dims[order[k]];
  return s;
}
/* (0, 2, …, n-1, 1) */
void mynah__channels_last(int n_dims, int *order);
/* Product of dims; -1 when over MYNAH__ONNX_VALUE_MAX. */
int64_t mynah__count(mynah_shape s);
/* The shape that two broadcast to. Fails: MISMATCH. */
MYNAH_CHECKED mynah_status mynah__broadcast_shape(const mynah__lowering *l, mynah_shape a, mynah_shape b,
                                                  mynah_shape *out);
/* Index of an element of `from`, stretched to `to`, for element i of `to`. */
int64_t mynah__stretched_index(mynah_shape from, mynah_shape to, int64_t i);
/* Along an axis, out_j = sum_i matrix[j][i] in_i. Shape: matrix (n_out, dims[axis]) */
MYNAH_CHECKED mynah_status mynah__mix_axis(mynah__lowering *l, mynah__value *v, int axis, const double *matrix,
                                           int64_t n_out, mynah__value *out);

#endif
