/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every kernel of the engine, by name. An op's list (ops/) names those that can run it, best first. */
#ifndef MYNAH_GRAPH_KERNELS_H
#define MYNAH_GRAPH_KERNELS_H

#include "internal.h"

/* Plain C, compiled at float and at double: mynah__ref32_NAME and mynah__ref64_NAME. One row a file of ref/. */
#define MYNAH__REF_KERNELS(K)                                                                                          \
  K(linear) K(linear_grad_x) K(linear_grad_w) K(matmul)                                                                \
  K(unary) K(unary_grad) K(add) K(sub) K(mul) K(div) K(affine) K(clamp) K(clamp_grad) K(from_u8) K(dropout)            \
  K(gaussian_noise) K(random_normal) K(random_index) K(gather) K(gather_grad)                                                                                                    \
  K(copy) K(permute) K(concat) K(slice) K(slice_grad) K(broadcast) K(sum)                                              \
  K(conv2d) K(conv2d_grad_x) K(conv2d_grad_w)                                                                          \
  K(max_pool) K(max_pool_grad) K(avg_pool) K(avg_pool_grad) K(adaptive_avg_pool) K(adaptive_avg_pool_grad)             \
  K(layer_norm) K(layer_norm_grad) K(group_norm) K(group_norm_grad) K(batch_norm) K(batch_norm_grad)                   \
  K(softmax) K(softmax_grad) K(log_softmax) K(log_softmax_grad)                                                        \
  K(mse) K(mse_grad) K(l1) K(l1_grad) K(huber) K(huber_grad) K(cross_entropy) K(cross_entropy_grad)                    \
  K(gaussian_nll) K(gaussian_nll_grad) K(gmm_nll) K(gmm_nll_grad) K(assign_cells) K(detect_loss) K(detect_loss_grad)

#define MYNAH__DECLARE_REF(name) extern const mynah__kernel mynah__ref32_##name, mynah__ref64_##name;
MYNAH__REF_KERNELS(MYNAH__DECLARE_REF)
#undef MYNAH__DECLARE_REF

/* fast/: vectorised, mynah__fast_NAME; a family of its own, so that one can do without it: Winograd's filtering. */
extern const mynah__kernel mynah__winograd_conv2d, mynah__winograd_conv2d_grad_x, mynah__winograd_conv2d_grad_w, mynah__fast_depthwise;
#define MYNAH__FAST_KERNELS(K)                                                                                         \
  K(linear) K(linear_grad_x) K(linear_grad_w) K(matmul) K(conv2d) K(conv2d_grad_x) K(conv2d_grad_w)                    \
  K(unary) K(unary_grad) K(add) K(sub) K(mul) K(div) K(affine) K(clamp) K(clamp_grad) K(from_u8)                       \
  K(sum) K(layer_norm) K(layer_norm_grad) K(softmax) K(softmax_grad) K(log_softmax) K(log_softmax_grad)                \
  K(mse) K(mse_grad) K(l1) K(l1_grad) K(huber) K(huber_grad) K(gmm_nll) K(gmm_nll_grad)                                \
  K(copy) K(concat) K(slice) K(slice_grad) K(permute) K(broadcast) K(dropout) K(gaussian_noise)                         \
  K(group_norm) K(group_norm_grad) K(batch_norm) K(batch_norm_grad) K(max_pool) K(max_pool_grad) K(random_normal) K(random_index) K(gather) K(gather_grad)
#define MYNAH__DECLARE_FAST(name) extern const mynah__kernel mynah__fast_##name;
MYNAH__FAST_KERNELS(MYNAH__DECLARE_FAST)
#undef MYNAH__DECLARE_FAST

/* dnnl/: oneDNN, mynah__dnnl_NAME. */
#define MYNAH__DNNL_KERNELS(K)                                                                                         \
  K(linear) K(linear_grad_x) K(linear_grad_w) K(conv2d) K(conv2d_grad_x) K(conv2d_grad_w)
#define MYNAH__DECLARE_DNNL(name) extern const mynah__kernel mynah__dnnl_##name;
MYNAH__DNNL_KERNELS(MYNAH__DECLARE_DNNL)
#undef MYNAH__DECLARE_DNNL

#endif
