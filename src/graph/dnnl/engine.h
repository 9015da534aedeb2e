/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the kernels of this folder share: one oneDNN primitive with its operands, made once a step, run by any thread.
 *
 * A plan is const after prepare and shared by all states; each state has its own memory objects and stream. Debian's
 * oneDNN runs on OpenMP: every call is made under a thread count of one, so that its threads and ours do not compete. */
#ifndef MYNAH_GRAPH_DNNL_ENGINE_H
#define MYNAH_GRAPH_DNNL_ENGINE_H

#include "../internal.h"
#include "../kernels.h"

#include <oneapi/dnnl/dnnl.h>

#define DNNL_MAX_OPERANDS 6

/* Where an operand of the primitive lies in a call. */
typedef enum dnnl_place { DNNL_IN, DNNL_OUT, DNNL_PACKED, DNNL_SCRATCH, DNNL_CONVERTED } dnnl_place;

typedef struct dnnl_operand {
  int argument; /* DNNL_ARG_… */
  dnnl_place place;
  int index;     /* of the input or output */
  size_t offset; /* bytes into scratch */
  dnnl_memory_desc_t md;
  dnnl_memory_desc_t given; /* converted: the input in float */
  dnnl_primitive_t convert; /* given -> md, in scratch; NULL: rounded */
} dnnl_operand;

typedef struct dnnl_plan {
  dnnl_primitive_desc_t description;
  dnnl_primitive_t primitive;
  dnnl_operand operands[DNNL_MAX_OPERANDS];
  int n_operands;
  dnnl_primitive_t pack;     /* NULL, or: weights as stored -> as the primitive wants them */
  dnnl_primitive_t unpack;   /* NULL, or: gradient as the primitive leaves it -> as stored */
  dnnl_memory_desc_t stored; /* of those two */
  int packed_input;          /* whose weights `pack` reads */
  int unpacked_operand;      /* what `unpack` reads; it writes output 0 */
  size_t scratch_bytes;
  bool is_half;      /* the step is in bfloat16 */
  bool sums_columns; /* output 1 = sum over rows of input 1, which the primitive does not do */
} dnnl_plan;

/* From a oneDNN status. Fails: NO_MEMORY, UNSUPPORTED. */
mynah_status mynah__dnnl_check(dnnl_status_t status, const char *what);
#define DNNL_TRY(call) MYNAH_TRY(mynah__dnnl_check(call, #call))

/* Float and bfloat16. */
bool mynah__dnnl_computes(const mynah__step *step);
/* What a primitive's operands are made of: bfloat16 where the step wants that and the processor has instructions for it;
 * else floats, which are rounded first where the step wants bfloat16. */
dnnl_data_type_t mynah__dnnl_type(const mynah__step *step);
/* A dense descriptor of n dims with the given element strides. */
mynah_status mynah__dnnl_strided(dnnl_memory_desc_t *md, dnnl_data_type_t type, int n, const int64_t *dims,
                                 const int64_t *strides);
/* The same with a layout for the primitive to choose. */
mynah_status mynah__dnnl_any(dnnl_memory_desc_t *md, dnnl_data_type_t type, int n, const int64_t *dims);

bool mynah__dnnl_knows_post(const mynah__step *step);
mynah_status mynah__dnnl_plan_create(dnnl_plan **out);
/* Makes the primitive of operation descriptor `op` with the step's residual and post function. hint: the forward
 * primitive of a backward one, or NULL. Fails: UNSUPPORTED when oneDNN has only its reference for it. */
mynah_status mynah__dnnl_describe(const mynah__step *step, const_dnnl_op_desc_t op, const_dnnl_primitive_desc_t hint,
                                  dnnl_plan *p);
/* Adds an operand whose layout is `query` number 0 of the primitive. In a step of bfloat16 an input is converted in each
 * run. */
void mynah__dnnl_operand(dnnl_plan *p, int argument, dnnl_place place, int index, dnnl_query_t query);
/* Reorders between the layouts `from` and `to`. */
mynah_status mynah__dnnl_reorder(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, dnnl_primitive_t *out);
/* Ends the making of p, as far as `status` of it: writes sizes and name to the compiler's plan, which owns p from now on,
 * or releases p. */
mynah_status mynah__dnnl_finish(mynah_status status, dnnl_plan *p, mynah__plan *plan);

/* Members of every kernel here. */
void mynah__dnnl_release(void *plan_data);
void mynah__dnnl_pack(const mynah__step *step, const void *plan, const void *const *in, void *packed);
mynah_status mynah__dnnl_attach(const mynah__step *step, const void *plan, void **local);
void mynah__dnnl_detach(void *local);
void mynah__dnnl_run(const mynah__call *call);

#define DNNL_KERNEL(op)                                                   \
  const mynah__kernel mynah__dnnl_##op = {.name = "dnnl:" #op,            \
                                          .takes_post = true,             \
                                          .accepts = accepts_##op,        \
                                          .prepare = prepare_##op,        \
                                          .release = mynah__dnnl_release, \
                                          .pack = mynah__dnnl_pack,       \
                                          .packs = 1u << 1,               \
                                          .attach = mynah__dnnl_attach,   \
                                          .detach = mynah__dnnl_detach,   \
                                          .run = mynah__dnnl_run}

#endif
