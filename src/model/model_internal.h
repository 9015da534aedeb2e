/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Inside model: names of weights and PyTorch's initial values. */
#ifndef MYNAH_MODEL_INTERNAL_H
#define MYNAH_MODEL_INTERNAL_H

#include <mynah/model.h>

/* "PREFIX.SUFFIX" into name; notes an error in the graph and returns false when it does not fit. */
bool mynah__model_name(mynah_graph *g, char name[MYNAH_NAME_MAX], const char *prefix, const char *suffix);
/* U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what torch.nn.Linear and Conv2d draw weights and biases from. */
mynah_init mynah__model_init_fan_in(int64_t fan_in);

/* The vectors of a batch norm, (C) each. */
typedef struct mynah__norm_vectors {
  mynah_node weight, bias, mean, variance;
} mynah__norm_vectors;
/* w s and b = beta - mean s with s = gamma / sqrt(variance + eps): a convolution and the frozen norm behind it as one, folded
 * when weights are bound. w (O,…): changed; b (O): written. */
void mynah__model_fold_norm(mynah_graph *g, const mynah__norm_vectors *v, float eps, mynah_node *w, mynah_node *b);

#endif
