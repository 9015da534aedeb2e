/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every op of the engine, by name: mynah__op_NAME. */
#ifndef MYNAH_GRAPH_OPS_H
#define MYNAH_GRAPH_OPS_H

#include "../internal.h"
#include "../kernels.h"

/* One row a file of ops/. An op named X_grad… is what X's gradient rule adds. */
#define MYNAH__OPS(O)                                                                                                 \
  O(linear)                                                                                                           \
  O(linear_grad_x) O(linear_grad_w) O(matmul) O(unary) O(unary_grad) O(add) O(sub) O(mul) O(div) O(affine) O(clamp)   \
      O(clamp_grad) O(from_u8) O(dropout) O(gaussian_noise) O(random_normal) O(random_index) O(gather) O(gather_grad) \
          O(copy) O(reshape) O(permute) O(concat) O(slice) O(slice_grad) O(broadcast) O(sum) O(conv2d)                \
              O(conv2d_grad_x) O(conv2d_grad_w) O(max_pool) O(max_pool_grad) O(avg_pool) O(avg_pool_grad)             \
                  O(adaptive_avg_pool) O(adaptive_avg_pool_grad) O(layer_norm) O(layer_norm_grad) O(group_norm)       \
                      O(group_norm_grad) O(batch_norm) O(batch_norm_grad) O(softmax) O(softmax_grad) O(log_softmax)   \
                          O(log_softmax_grad) O(mse) O(mse_grad) O(l1) O(l1_grad) O(huber) O(huber_grad)              \
                              O(cross_entropy) O(cross_entropy_grad) O(gaussian_nll) O(gaussian_nll_grad) O(gmm_nll)  \
                                  O(gmm_nll_grad) O(detach) O(assign_cells) O(detect_loss) O(detect_loss_grad)

#define MYNAH__DECLARE_OP(name) extern const mynah__op mynah__op_##name;
MYNAH__OPS(MYNAH__DECLARE_OP)
#undef MYNAH__DECLARE_OP

#endif
