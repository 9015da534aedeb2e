/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Networks from elsewhere: reads ONNX files and describes what they compute on a graph of ours.
 *
 * Reading holds no network of any kind for trusted: sizes, counts and products are checked, weights in other files are
 * refused, subgraphs are not entered. Shapes are fixed when a network is described: what depends on shapes alone is
 * worked out then, and weights stay weights, named as in the file. Owns: a mynah_onnx owns all it tells. Threads: one
 * at a time. */
#ifndef MYNAH_ONNX_H
#define MYNAH_ONNX_H

#include <mynah/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mynah_onnx mynah_onnx;
/* Copies what it needs. Fails: CORRUPT, LIMIT (too many or too large), UNSUPPORTED (weights in other files), NO_MEMORY.
 */
MYNAH_API MYNAH_CHECKED mynah_status mynah_onnx_parse(const void *data, size_t size, mynah_onnx **out);
/* Fails: also NOT_FOUND. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_onnx_open(const char *path, mynah_onnx **out);
MYNAH_API void mynah_onnx_destroy(mynah_onnx *o);

/* An input or output; a dimension that is a name or not said is -1. is_real: floats of any width, else whole numbers.
 */
typedef struct mynah_onnx_port {
  const char *name;
  mynah_shape shape;
  bool is_real, is_u8;
} mynah_onnx_port;
/* Inputs that are no weights. NULL: there is none of that number. */
MYNAH_API const mynah_onnx_port *mynah_onnx_input(const mynah_onnx *o, int i);
MYNAH_API const mynah_onnx_port *mynah_onnx_output(const mynah_onnx *o, int i);
/* An entry of the file's metadata; NULL: none. */
MYNAH_API const char *mynah_onnx_note(const mynah_onnx *o, const char *key);
/* The named weights (initialisers of real numbers, as float32); they stay o's. */
MYNAH_API const mynah_safetensor *mynah_onnx_weights(const mynah_onnx *o, int *n);

/* What an input of the network is made of. Shape: as the network takes it, or with the axes (0,2,…,1) for
 * is_channels_last: (B,H,W,C) for one that takes (B,C,H,W) */
typedef struct mynah_onnx_feed {
  mynah_node node;
  bool is_channels_last;
} mynah_onnx_feed;
/* Describes on g what makes the values of these names (outputs, or values inside), and nothing else. feeds: one for
 * each input; a null node for one that is not needed. nodes: the values, in the axes of the file; a scalar is (1).
 * Fails: UNSUPPORTED, naming operation and node; NOT_FOUND (a value); MISMATCH, INVALID, LIMIT; CORRUPT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_onnx_lower(mynah_onnx *o, mynah_graph *g, const mynah_onnx_feed *feeds,
                                                      const char *const *names, int n_names, mynah_node *nodes);
/* The file again, without those weights that the graphs described so far have as weights, documentation and traces.
 * What is read from it has these weights' names and shapes; their values come from elsewhere. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_onnx_strip(const mynah_onnx *o, mynah_str *out);

#ifdef __cplusplus
}
#endif
#endif
