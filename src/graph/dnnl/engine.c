/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One oneDNN engine for the process, primitives with their operands, and their running: see engine.h. */
#include "engine.h"

#include <pthread.h>
#include <string.h>

/* OpenMP's own function, of the runtime that oneDNN is linked to; its header belongs to one compiler or the other. */
void omp_set_num_threads(int n);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine; /* NULL when it could not be made; lives as long as the process */

static void create_engine(void) {
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

/* oneDNN asks for the number of threads both when it makes a primitive and when it runs one. */
static void use_one_thread(void) {
  static _Thread_local bool is_set;
  if (!is_set) omp_set_num_threads(1);
  is_set = true;
}

mynah_status mynah__dnnl_check(dnnl_status_t status, const char *what) {
  if (status == dnnl_success) return MYNAH_OK;
  if (status == dnnl_out_of_memory) return mynah_fail(MYNAH_NO_MEMORY, "dnnl: %s: out of memory", what);
  return mynah_fail(MYNAH_UNSUPPORTED, "dnnl: %s: status %d", what, (int)status);
}

bool mynah__dnnl_computes(const mynah__step *step) {
  return step->precision == MYNAH_F32 || step->precision == MYNAH_BF16;
}

/* Without the instructions oneDNN would imitate them, slower than in float. */
dnnl_data_type_t mynah__dnnl_type(const mynah__step *step) {
  bool has_bf16 = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
  return step->precision == MYNAH_BF16 && has_bf16 ? dnnl_bf16 : dnnl_f32;
}

static void round_floats(const float *x, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = mynah__bf16_value(mynah__bf16_of(x[i]));
}

mynah_status mynah__dnnl_strided(dnnl_memory_desc_t *md, dnnl_data_type_t type, int n, const int64_t *dims,
                                 const int64_t *strides) {
  return mynah__dnnl_check(dnnl_memory_desc_init_by_strides(md, n, dims, type, strides), "memory descriptor");
}

mynah_status mynah__dnnl_any(dnnl_memory_desc_t *md, dnnl_data_type_t type, int n, const int64_t *dims) {
  return mynah__dnnl_check(dnnl_memory_desc_init_by_tag(md, n, dims, type, dnnl_format_tag_any), "memory descriptor");
}

/* ---- residual and post function ---------------------------------------------------------------------------------- */

typedef struct post_row {
  const char *name;
  dnnl_alg_kind_t kind;
  float alpha; /* when the function has no parameter */
  bool takes_parameter;
} post_row;

static const post_row posts[] = {
    {"relu", dnnl_eltwise_relu, 0, false},        {"leaky_relu", dnnl_eltwise_relu, 0, true},
    {"sigmoid", dnnl_eltwise_logistic, 0, false}, {"tanh", dnnl_eltwise_tanh, 0, false},
    {"silu", dnnl_eltwise_swish, 1, false},       {"mish", dnnl_eltwise_mish, 0, false},
    {"gelu", dnnl_eltwise_gelu_erf, 0, false},    {"gelu_tanh", dnnl_eltwise_gelu_tanh, 0, false},
    {"elu", dnnl_eltwise_elu, 0, true},
};

static const post_row *find_post(const mynah__unary *post) {
  for (size_t i = 0; post && i < sizeof posts / sizeof *posts; i++)
    if (!strcmp(posts[i].name, post->name)) return &posts[i];
  return NULL;
}

bool mynah__dnnl_knows_post(const mynah__step *step) { return !step->post || find_post(step->post); }

/* The residual is copied to the destination first, which the sum then adds to. */
static mynah_status add_posts(const mynah__step *step, dnnl_primitive_attr_t attributes) {
  dnnl_post_ops_t list = NULL;
  const post_row *post = find_post(step->post);
  if (!post && step->residual < 0) return MYNAH_OK;
  DNNL_TRY(dnnl_post_ops_create(&list));
  dnnl_status_t status = dnnl_success;
  if (step->residual >= 0) status = dnnl_post_ops_append_sum(list, 1);
  if (status == dnnl_success && post)
    status = dnnl_post_ops_append_eltwise(list, 1, post->kind,
                                          post->takes_parameter ? (float)step->post_parameters[0] : post->alpha, 0);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, list);
  dnnl_post_ops_destroy(list);
  return mynah__dnnl_check(status, "post operations");
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

mynah_status mynah__dnnl_plan_create(dnnl_plan **out) {
  *out = mynah_calloc(1, sizeof **out);
  if (!*out) return MYNAH_NO_MEMORY;
  (*out)->packed_input = (*out)->unpacked_operand = -1;
  return MYNAH_OK;
}

/* Description and primitive; refused when the implementation is a reference: it would be hundreds of times slower than
 * ours. */
static mynah_status make_primitive(const_dnnl_op_desc_t op, const_dnnl_primitive_attr_t attributes,
                                   const_dnnl_primitive_desc_t hint, dnnl_plan *p) {
  const char *name = "";
  dnnl_status_t status = dnnl_primitive_desc_create(&p->description, op, attributes, engine, hint);
  if (status != dnnl_success) {
    p->description = NULL;
    return mynah__dnnl_check(status, "primitive description");
  }
  DNNL_TRY(dnnl_primitive_desc_query(p->description, dnnl_query_impl_info_str, 0, (void *)&name));
  if (strncmp(name, "ref", 3) == 0 || strstr(name, ":ref"))
    return mynah_fail(MYNAH_UNSUPPORTED, "dnnl: only '%s' there is for this shape", name);
  DNNL_TRY(dnnl_primitive_create(&p->primitive, p->description));
  return MYNAH_OK;
}

mynah_status mynah__dnnl_describe(const mynah__step *step, const_dnnl_op_desc_t op, const_dnnl_primitive_desc_t hint,
                                  dnnl_plan *p) {
  dnnl_primitive_attr_t attributes = NULL;
  pthread_once(&once, create_engine);
  if (!engine) return mynah_fail(MYNAH_UNSUPPORTED, "dnnl: no engine for this processor");
  use_one_thread();
  p->is_half = step->precision == MYNAH_BF16;
  DNNL_TRY(dnnl_primitive_attr_create(&attributes));
  dnnl_status_t set = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  mynah_status status = mynah__dnnl_check(set, "scratchpad mode");
  if (status == MYNAH_OK) status = add_posts(step, attributes);
  if (status == MYNAH_OK) status = make_primitive(op, attributes, hint, p);
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

void mynah__dnnl_operand(dnnl_plan *p, int argument, dnnl_place place, int index, dnnl_query_t query) {
  dnnl_operand *o = &p->operands[p->n_operands++];
  *o = (dnnl_operand){argument, place, index, 0, .md = *dnnl_primitive_desc_query_md(p->description, query, 0)};
  if (place == DNNL_IN && p->is_half) {
    o->place = DNNL_CONVERTED;
    o->given = o->md;
    o->given.data_type = dnnl_f32;
  }
  if (o->place != DNNL_SCRATCH && o->place != DNNL_CONVERTED) return;
  o->offset = p->scratch_bytes;
  p->scratch_bytes += (dnnl_memory_desc_get_size(&o->md) + 63) / 64 * 64;
}

mynah_status mynah__dnnl_reorder(const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, dnnl_primitive_t *out) {
  dnnl_primitive_desc_t description = NULL;
  DNNL_TRY(dnnl_reorder_primitive_desc_create(&description, from, engine, to, engine, NULL));
  dnnl_status_t status = dnnl_primitive_create(out, description);
  dnnl_primitive_desc_destroy(description);
  return mynah__dnnl_check(status, "reorder");
}

static mynah_status make_conversions(dnnl_plan *p) {
  for (int i = 0; i < p->n_operands; i++) {
    dnnl_operand *o = &p->operands[i];
    if (o->place == DNNL_CONVERTED && o->md.data_type == dnnl_bf16)
      MYNAH_TRY(mynah__dnnl_reorder(&o->given, &o->md, &o->convert));
  }
  return MYNAH_OK;
}

mynah_status mynah__dnnl_finish(mynah_status status, dnnl_plan *p, mynah__plan *plan) {
  if (status == MYNAH_OK) status = make_conversions(p);
  if (status != MYNAH_OK) {
    mynah__dnnl_release(p);
    return status;
  }
  mynah__dnnl_operand(p, DNNL_ARG_SCRATCHPAD, DNNL_SCRATCH, 0, dnnl_query_scratchpad_md);
  const char *name = NULL;
  plan->data = p;
  plan->scratch_bytes = p->scratch_bytes;
  for (int i = 0; i < p->n_operands; i++)
    if (p->operands[i].place == DNNL_PACKED) plan->packed_bytes = dnnl_memory_desc_get_size(&p->operands[i].md);
  if (dnnl_primitive_desc_query(p->description, dnnl_query_impl_info_str, 0, (void *)&name) == dnnl_success)
    plan->detail = name;
  return MYNAH_OK;
}

void mynah__dnnl_release(void *plan_data) {
  dnnl_plan *p = plan_data;
  if (!p) return;
  if (p->primitive) dnnl_primitive_destroy(p->primitive);
  if (p->pack) dnnl_primitive_destroy(p->pack);
  if (p->unpack) dnnl_primitive_destroy(p->unpack);
  for (int i = 0; i < p->n_operands; i++)
    if (p->operands[i].convert) dnnl_primitive_destroy(p->operands[i].convert);
  if (p->description) dnnl_primitive_desc_destroy(p->description);
  mynah_free(p);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* One reorder; its objects live only as long as it: packing happens once a training step. */
static void reorder(dnnl_primitive_t primitive, const dnnl_memory_desc_t *from_md, const void *from,
                    const dnnl_memory_desc_t *to_md, void *to) {
  dnnl_memory_t memory[2] = {NULL, NULL};
  dnnl_stream_t stream = NULL;
  if (dnnl_memory_create(&memory[0], from_md, engine, (void *)(uintptr_t)from) == dnnl_success &&
      dnnl_memory_create(&memory[1], to_md, engine, to) == dnnl_success &&
      dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success) {
    dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, memory[0]}, {DNNL_ARG_TO, memory[1]}};
    if (dnnl_primitive_execute(primitive, stream, 2, arguments) == dnnl_success) dnnl_stream_wait(stream);
  }
  dnnl_memory_destroy(memory[0]);
  dnnl_memory_destroy(memory[1]);
  dnnl_stream_destroy(stream);
}

void mynah__dnnl_pack(const mynah__step *step, const void *plan, const void *const *in, void *packed) {
  const dnnl_plan *p = plan;
  use_one_thread();
  for (int i = 0; p->pack && i < p->n_operands; i++)
    if (p->operands[i].place == DNNL_PACKED) {
      const dnnl_memory_desc_t *md = &p->operands[i].md;
      reorder(p->pack, &p->stored, in[p->packed_input], md, packed);
      if (p->is_half && md->data_type == dnnl_f32)
        round_floats(packed, dnnl_memory_desc_get_size(md) / sizeof(float), packed);
    }
}

typedef struct dnnl_local {
  dnnl_stream_t stream;
  dnnl_exec_arg_t arguments[DNNL_MAX_OPERANDS];
  void *at[DNNL_MAX_OPERANDS]; /* where the memory objects point now */
  dnnl_memory_t given[DNNL_MAX_OPERANDS]; /* of operands that are converted */
  dnnl_exec_arg_t unpack[2];
  int n;
} dnnl_local;

static mynah_status fill_local(const dnnl_plan *p, dnnl_local *l) {
  DNNL_TRY(dnnl_stream_create(&l->stream, engine, dnnl_stream_default_flags));
  for (int i = 0; i < p->n_operands; i++) {
    l->arguments[i].arg = p->operands[i].argument;
    DNNL_TRY(dnnl_memory_create(&l->arguments[i].memory, &p->operands[i].md, engine, DNNL_MEMORY_NONE));
    l->n++;
    if (p->operands[i].convert)
      DNNL_TRY(dnnl_memory_create(&l->given[i], &p->operands[i].given, engine, DNNL_MEMORY_NONE));
  }
  if (!p->unpack) return MYNAH_OK;
  l->unpack[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, l->arguments[p->unpacked_operand].memory};
  l->unpack[1].arg = DNNL_ARG_TO;
  DNNL_TRY(dnnl_memory_create(&l->unpack[1].memory, &p->stored, engine, DNNL_MEMORY_NONE));
  return MYNAH_OK;
}

mynah_status mynah__dnnl_attach(const mynah__step *step, const void *plan, void **local) {
  dnnl_local *l = mynah_calloc(1, sizeof *l);
  if (!l) return MYNAH_NO_MEMORY;
  mynah_status status = fill_local(plan, l);
  if (status != MYNAH_OK) {
    mynah__dnnl_detach(l);
    return status;
  }
  *local = l;
  return MYNAH_OK;
}

void mynah__dnnl_detach(void *local) {
  dnnl_local *l = local;
  if (!l) return;
  for (int i = 0; i < l->n; i++) {
    dnnl_memory_destroy(l->arguments[i].memory);
    if (l->given[i]) dnnl_memory_destroy(l->given[i]);
  }
  if (l->unpack[1].memory) dnnl_memory_destroy(l->unpack[1].memory);
  if (l->stream) dnnl_stream_destroy(l->stream);
  mynah_free(l);
}

static void *operand_at(const mynah__call *call, const dnnl_operand *o) {
  switch (o->place) {
  case DNNL_IN: return (void *)(uintptr_t)call->in[o->index];
  case DNNL_OUT: return call->out[o->index];
  case DNNL_PACKED: return (void *)(uintptr_t)call->packed;
  case DNNL_SCRATCH:
  case DNNL_CONVERTED: break;
  }
  return call->scratch ? (char *)call->scratch + o->offset : NULL;
}

/* y (n) = sum over rows of x (rows,n) */
static void sum_columns(const float *x, int64_t rows, int64_t n, float *y) {
  memset(y, 0, (size_t)n * sizeof *y);
  for (int64_t r = 0; r < rows; r++, x += n)
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

/* Operand i in bfloat16. */
static void convert(const mynah__call *call, const dnnl_plan *p, dnnl_local *l, int i) {
  const dnnl_operand *o = &p->operands[i];
  if (!o->convert) {
    round_floats(call->in[o->index], dnnl_memory_desc_get_size(&o->md) / sizeof(float), operand_at(call, o));
    return;
  }
  dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, l->given[i]}, {DNNL_ARG_TO, l->arguments[i].memory}};
  dnnl_memory_set_data_handle(l->given[i], (void *)(uintptr_t)call->in[o->index]);
  dnnl_primitive_execute(o->convert, l->stream, 2, arguments);
}

void mynah__dnnl_run(const mynah__call *call) {
  const dnnl_plan *p = call->plan;
  const mynah__step *step = call->step;
  dnnl_local *l = call->local;
  use_one_thread();
  for (int i = 0; i < p->n_operands; i++) {
    void *at = operand_at(call, &p->operands[i]);
    if (at != l->at[i]) dnnl_memory_set_data_handle(l->arguments[i].memory, at);
    l->at[i] = at;
    if (p->operands[i].place == DNNL_CONVERTED) convert(call, p, l, i);
  }
  if (step->residual >= 0)
    memcpy(call->out[0], call->in[step->residual], (size_t)mynah_shape_size(step->out[0].shape) * sizeof(float));
  dnnl_primitive_execute(p->primitive, l->stream, p->n_operands, l->arguments);
  if (p->unpack) {
    dnnl_memory_set_data_handle(l->unpack[1].memory, call->out[0]);
    dnnl_primitive_execute(p->unpack, l->stream, 2, l->unpack);
  }
  dnnl_stream_wait(l->stream);
  if (p->sums_columns) {
    int64_t n = step->out[1].shape.dims[0];
    sum_columns(call->in[1], mynah_shape_size(step->in[1].shape) / n, n, call->out[1]);
  }
}
