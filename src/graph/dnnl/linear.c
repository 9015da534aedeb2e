/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linear layers and their gradients as oneDNN matrix products over plain strides.
 *
 * Measured (2.6.3, one core, f32): plain strides reach 90-97 % of the packed layouts' speed, transposed ones too, so
 * nothing is packed. inner_product was not faster anywhere. */
#include "engine.h"

/* a (m,k) b (k,n): element strides */
typedef struct product {
  int64_t m, k, n;
  int64_t a[2], b[2];
} product;

static int64_t last_dim(const mynah__tensor *t) { return t->shape.dims[t->shape.n_dims - 1]; }
static int64_t rows_of(const mynah__tensor *t) { return mynah_shape_size(t->shape) / last_dim(t); }

static mynah_status describe_product(const mynah__step *step, const product *v, bool is_biased, dnnl_plan *p) {
  dnnl_memory_desc_t a, b, y, bias;
  dnnl_matmul_desc_t op;
  dnnl_data_type_t type = mynah__dnnl_type(step);
  MYNAH_TRY(mynah__dnnl_strided(&a, type, 2, (int64_t[]){v->m, v->k}, v->a));
  MYNAH_TRY(mynah__dnnl_strided(&b, type, 2, (int64_t[]){v->k, v->n}, v->b));
  MYNAH_TRY(mynah__dnnl_strided(&y, dnnl_f32, 2, (int64_t[]){v->m, v->n}, (int64_t[]){v->n, 1}));
  MYNAH_TRY(mynah__dnnl_strided(&bias, dnnl_f32, 2, (int64_t[]){1, v->n}, (int64_t[]){v->n, 1}));
  DNNL_TRY(dnnl_matmul_desc_init(&op, &a, &b, is_biased ? &bias : NULL, &y));
  return mynah__dnnl_describe(step, &op, NULL, p);
}

/* b: a weight is rounded to bfloat16 once it has changed, not in each run. */
static mynah_status add_b(const mynah__step *step, int index, dnnl_plan *p) {
  bool is_packed = step->is_weight[index] && p->is_half;
  mynah__dnnl_operand(p, DNNL_ARG_WEIGHTS, is_packed ? DNNL_PACKED : DNNL_IN, index, dnnl_query_weights_md);
  if (!is_packed) return MYNAH_OK;
  dnnl_operand *b = &p->operands[p->n_operands - 1];
  p->packed_input = index;
  p->stored = b->md;
  p->stored.data_type = dnnl_f32;
  return mynah__dnnl_reorder(&p->stored, &b->md, &p->pack);
}

static mynah_status fill_product(const mynah__step *step, const product *v, int a_index, int b_index, dnnl_plan *p) {
  bool is_biased = step->op->gradient && step->n_in > 2 && step->residual != 2 && step->in[2].shape.n_dims > 0;
  MYNAH_TRY(describe_product(step, v, is_biased, p));
  mynah__dnnl_operand(p, DNNL_ARG_SRC, DNNL_IN, a_index, dnnl_query_src_md);
  MYNAH_TRY(add_b(step, b_index, p));
  mynah__dnnl_operand(p, DNNL_ARG_DST, DNNL_OUT, 0, dnnl_query_dst_md);
  if (is_biased) {
    dnnl_operand *bias = &p->operands[p->n_operands++];
    *bias = (dnnl_operand){DNNL_ARG_BIAS, DNNL_IN, .index = 2};
    MYNAH_TRY(mynah__dnnl_strided(&bias->md, dnnl_f32, 2, (int64_t[]){1, v->n}, (int64_t[]){v->n, 1}));
  }
  p->sums_columns = step->n_out > 1;
  return MYNAH_OK;
}

/* The plan of a product whose a and b are inputs a_index and b_index. */
static mynah_status prepare_product(const mynah__step *step, const product *v, int a_index, int b_index,
                                    mynah__plan *plan) {
  dnnl_plan *p;
  MYNAH_TRY(mynah__dnnl_plan_create(&p));
  return mynah__dnnl_finish(fill_product(step, v, a_index, b_index, p), p, plan);
}

/* y = x w^T + b */
static bool accepts_linear(const mynah__step *step) { return mynah__dnnl_computes(step) && mynah__dnnl_knows_post(step); }
static mynah_status prepare_linear(const mynah__step *step, mynah__plan *plan) {
  int64_t m = rows_of(&step->in[0]), k = last_dim(&step->in[0]), n = last_dim(&step->out[0]);
  return prepare_product(step, &(product){m, k, n, {k, 1}, {1, k}}, 0, 1, plan);
}
DNNL_KERNEL(linear);

/* dx = dy w */
static bool accepts_linear_grad_x(const mynah__step *step) { return mynah__dnnl_computes(step) && !step->post; }
static mynah_status prepare_linear_grad_x(const mynah__step *step, mynah__plan *plan) {
  int64_t m = rows_of(&step->in[0]), k = last_dim(&step->in[0]), n = last_dim(&step->out[0]);
  return prepare_product(step, &(product){m, k, n, {k, 1}, {n, 1}}, 0, 1, plan);
}
DNNL_KERNEL(linear_grad_x);

/* dw = dy^T x */
static bool accepts_linear_grad_w(const mynah__step *step) { return mynah__dnnl_computes(step) && !step->post && step->residual < 0; }
static mynah_status prepare_linear_grad_w(const mynah__step *step, mynah__plan *plan) {
  int64_t k = rows_of(&step->in[0]), n = last_dim(&step->in[0]), m = last_dim(&step->in[1]);
  return prepare_product(step, &(product){m, k, n, {1, m}, {n, 1}}, 1, 0, plan);
}
DNNL_KERNEL(linear_grad_w);
