/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* MessagePack with NumPy arrays, as openpi's Python client packs them: {__ndarray__: true, data, dtype, shape}. */
#ifndef MYNAH_SERVE_MSGPACK_H
#define MYNAH_SERVE_MSGPACK_H

#include <mynah/base.h>

#define MYNAH__PACK_DEPTH 32
#define MYNAH__PACK_NODES 65536
#define MYNAH__PACK_DIMS 8

typedef enum mynah__pack_kind {
  MYNAH__PACK_NIL, MYNAH__PACK_BOOL, MYNAH__PACK_INT, MYNAH__PACK_UINT, MYNAH__PACK_FLOAT, MYNAH__PACK_TEXT, MYNAH__PACK_BYTES,
  MYNAH__PACK_LIST, MYNAH__PACK_MAP, MYNAH__PACK_ARRAY, MYNAH__PACK_SCALAR
} mynah__pack_kind;

/* One value of a message; data points into the message. Children of a list are a chain, of a map: key, value, key … */
typedef struct mynah__pack {
  mynah__pack_kind kind;
  int first, next; /* node numbers, -1: none */
  int64_t n;       /* elements of a list, pairs of a map, elements of an array */
  int64_t integer; /* INT; BOOL 0, 1; UINT as its bits */
  double number;   /* FLOAT */
  const uint8_t *data; /* TEXT, BYTES, ARRAY */
  size_t bytes;
  char dtype[8]; /* ARRAY, SCALAR: "<f4" … */
  int n_dims;
  int64_t shape[MYNAH__PACK_DIMS];
} mynah__pack;
typedef struct mynah__message {
  mynah__pack *nodes; /* the first is the whole; grown as needed and used again */
  size_t room;
  int n;
} mynah__message;
void mynah__message_deinit(mynah__message *m);

/* Reads one value that is the whole of the bytes. Numbers of nodes and depth are bounded; arrays must be little-endian numbers
 * whose data fill their shape. Fails: CORRUPT, LIMIT, UNSUPPORTED (dtype), NO_MEMORY. */
mynah_status mynah__unpack(const void *data, size_t bytes, mynah__message *out);
/* The value under a text or bytes key of a map; a path "a/b" looks for the key "a/b", then for "b" in the map "a". NULL: none */
const mynah__pack *mynah__pack_get(const mynah__message *m, const mynah__pack *map, const char *path);
/* Element i of an array as a number. */
double mynah__pack_element(const mynah__pack *array, int64_t i);
/* Bytes an element of this dtype takes; 0: not supported. */
size_t mynah__pack_dtype_bytes(const char *dtype);

/* Packing, as Python's packer chooses forms: the shortest for integers and lengths, 8 bytes for floats. */
void mynah__pack_nil(mynah_str *s);
void mynah__pack_bool(mynah_str *s, bool v);
void mynah__pack_int(mynah_str *s, int64_t v);
void mynah__pack_float(mynah_str *s, double v);
void mynah__pack_text(mynah_str *s, const char *text, size_t bytes);
void mynah__pack_bytes(mynah_str *s, const void *data, size_t bytes);
void mynah__pack_list(mynah_str *s, size_t n); /* its elements follow */
void mynah__pack_map(mynah_str *s, size_t n);  /* n keys with values follow */
void mynah__pack_key(mynah_str *s, const char *key);
/* Shape: shape (n_dims), data: as dtype and shape say, row-major */
void mynah__pack_array(mynah_str *s, const char *dtype, const int64_t *shape, int n_dims, const void *data);
/* A value that was read, again. */
void mynah__pack_again(mynah_str *s, const mynah__message *m, const mynah__pack *v);

#endif
