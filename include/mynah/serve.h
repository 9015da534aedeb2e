/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Policies over a socket, as openpi's clients and servers speak: WebSocket (RFC 6455), MessagePack with NumPy arrays, metadata
 * first, one message a prediction.
 *
 * Threads: a server runs in the thread that calls run; mynah_server_stop may be called from any thread or signal handler. A
 * remote predictor is used by one thread at a time. */
#ifndef MYNAH_SERVE_H
#define MYNAH_SERVE_H

#include <mynah/run.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MYNAH_SERVE_KEYS(K)                                                                                              \
  K(STRING, host, "host", "127.0.0.1", 0, 0, "", "address to listen on; any but a loopback address needs a token")       \
  K(INT, port, "port", 8000, 0, 65535, "", "0: one that is free")                                                        \
  K(STRING, token, "token", "", 0, 0, "", "clients must send it: Authorization: Api-Key TOKEN")                          \
  K(STRING, keys, "keys", "", 0, 0, "", "what observations are called there: FEATURE:KEY,…; a KEY may be a path a/b; others keep their names") \
  K(CHOICE, images, "images", "any", 0, 0, "any|hwc|chw", "how pictures lie in messages: what lies otherwise is refused") \
  K(CHOICE, fit, "images.fit", "stretch", 0, 0, "stretch|pad", "pictures of another shape: stretched, or with their proportions between black bars") \
  K(INT, max_clients, "clients", 8, 1, 64, "", "connections at once; one session holds control, others are refused meanwhile")     \
  K(INT, max_message, "message.max", 67108864, 1024, 1073741824, "bytes", "a longer message ends its connection")       \
  K(FLOAT, slow_s, "slow", 10, 0.1, 3600, "s", "to send a message that was begun, or the handshake")                     \
  K(FLOAT, rate_max, "rate.max", 1000, 0.1, 1e6, "Hz", "messages a client may send a second, on average")               \
  K(INT, seed, "seed", 0, 0, 9.0e15, "", "of what the policy draws")

typedef struct mynah_serve_config {
#define MYNAH_SERVE_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  MYNAH_SERVE_KEYS(MYNAH_SERVE_FIELD)
#undef MYNAH_SERVE_FIELD
} mynah_serve_config;
MYNAH_API extern const mynah_config_table mynah_serve_table;

typedef struct mynah_server mynah_server;
/* Listens. The predictor stays the caller's; name goes into the metadata.
 * Fails: INVALID (an address that is not loopback and no token; keys), IO (the port is taken). */
MYNAH_API MYNAH_CHECKED mynah_status mynah_server_create(const mynah_serve_config *config, mynah_predictor *predictor,
                                                         const char *name, mynah_server **out);
MYNAH_API int mynah_server_port(const mynah_server *s);
/* Serves until stopped or interrupted. Adds to result: "clients", "messages", "refused", "errors", "infer_ms" {"p50","p99"}. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_server_run(mynah_server *s, mynah_json *result);
MYNAH_API void mynah_server_stop(mynah_server *s); /* async-signal-safe */
MYNAH_API void mynah_server_destroy(mynah_server *s);

/* ---- a policy elsewhere ------------------------------------------------------------------------------------------------ */

/* What a server cannot be asked for: the features it wants and gives, which are taken from the robot. */
typedef struct mynah_remote_config {
  const char *url;   /* ws://HOST:PORT */
  const char *token; /* NULL or "": none */
  const char *keys;  /* as in the server's keys; a KEY a>b is sent as b in a map a; NULL: names as they are */
  const char *prompt; /* what shall be done, in words: sent with every observation; NULL or "": not */
  bool is_planar;     /* pictures are sent (3,H,W) */
  int image_side;     /* px: pictures are sent as squares, their proportions kept between black bars; 0: as they are */
  const mynah_feature *inputs;
  int n_inputs;
  mynah_feature action;
  int64_t chunk;    /* actions to use of those that come; 0: as the server's metadata say (action_horizon) */
  double timeout_s; /* for a reply; later it counts as failed */
} mynah_remote_config;
/* Connects and reads the metadata. Predictions that fail or come too late are failures of that prediction; the connection is made
 * again for the next. Fails: IO, INVALID (the URL), CORRUPT. */
MYNAH_API MYNAH_CHECKED mynah_status mynah_predictor_remote(const mynah_remote_config *config, mynah_predictor **out);

#ifdef __cplusplus
}
#endif
#endif
