/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The engine by itself: describes a small network, differentiates it, and fits y = sin(3x) by gradient descent.
 * usage: example_train */
#include <mynah/mynah.h>

#include <math.h>
#include <stdio.h>

#define BATCH 64

/* Network and loss; the names of the inputs are how data finds them. */
static mynah_node describe(mynah_graph *g) {
  mynah_node x = mynah_input(g, "x", MYNAH_F32, MYNAH_SHAPE(BATCH, 1));
  mynah_node y = mynah_input(g, "y", MYNAH_F32, MYNAH_SHAPE(BATCH, 1));
  mynah_node h = mynah_tanh(g, mynah_model_linear(g, "layer.0", x, 32));
  mynah_node loss = mynah_mse(g, mynah_model_linear(g, "layer.1", h, 1), y, MYNAH_NO_NODE);
  mynah_output(g, "loss", loss);
  return loss;
}

static mynah_status fit(float *last) {
  mynah_graph *g;
  mynah_program *program;
  mynah_weights *weights;
  mynah_binding *binding;
  mynah_state *state;
  MYNAH_TRY(mynah_graph_create(&g));
  MYNAH_TRY(mynah_differentiate(g, describe(g)));
  MYNAH_TRY(mynah_compile(g, NULL, &program));
  MYNAH_TRY(mynah_weights_create(g, 1, &weights));
  MYNAH_TRY(mynah_binding_create(program, weights, &binding));
  MYNAH_TRY(mynah_state_create(binding, &state));
  float *x = mynah_state_input(state, "x"), *y = mynah_state_input(state, "y");
  mynah_rng rng = mynah_rng_make(1, 0);
  for (int step = 0; step < 2000; step++) {
    for (int i = 0; i < BATCH; i++) {
      x[i] = (float)mynah_rng_range(&rng, -1, 1);
      y[i] = sinf(3 * x[i]);
    }
    mynah_state_run(state);
    const float *gradient = mynah_state_gradients(state);
    float *w = mynah_weights_data(weights);
    for (int64_t i = 0; i < mynah_weights_n_trained(weights); i++) w[i] -= 0.1f * gradient[i];
    mynah_binding_refresh(binding, NULL);
    *last = *(const float *)mynah_state_output(state, "loss");
    if (step % 400 == 0) printf("step %4d  loss %.5f\n", step, (double)*last);
  }
  mynah_state_destroy(state);
  mynah_binding_destroy(binding);
  mynah_weights_destroy(weights);
  mynah_program_destroy(program);
  mynah_graph_destroy(g);
  return MYNAH_OK;
}

int main(void) {
  float last = 1;
  if (fit(&last) != MYNAH_OK) {
    fprintf(stderr, "%s\n", mynah_error());
    return 1;
  }
  printf("final loss %.5f\n", (double)last);
  return last < 0.02f ? 0 : 1;
}
