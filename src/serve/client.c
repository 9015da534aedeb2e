/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A policy on another machine as a predictor here: any server that speaks openpi's protocol. */
#include "observation.h"
#include "websocket.h"

#include <mynah/serve.h>

#include <errno.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX ((size_t)64 << 20)

typedef struct remote {
  mynah_predictor base;
  mynah_policy policy;
  mynah_policy_type type;
  char host[256], port[8], token[MYNAH_TEXT_MAX], prompt[MYNAH_TEXT_MAX];
  double timeout_s;
  int fd; /* -1: not connected */
  mynah_str in, out, packed;
  size_t used; /* bytes of `in` that belong to a message given out */
  mynah__observation observation;
  mynah__message message;
  mynah_value values[MYNAH_POLICY_INPUTS_MAX];
  mynah_rng rng; /* of masks and keys */
  float range[2][64];
} remote;

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static void hang_up(remote *r) {
  if (r->fd >= 0) close(r->fd);
  r->fd = -1;
  r->in.length = r->used = 0;
}

static mynah_status lost(remote *r, const char *why) {
  hang_up(r);
  return mynah_fail(MYNAH_IO, "ws://%s:%s: %s", r->host, r->port, why);
}

static mynah_status wait_for(remote *r, short event, int64_t end_ns) {
  for (;;) {
    int64_t left = (end_ns - mynah_now_ns()) / 1000000;
    struct pollfd p = {r->fd, event, 0};
    if (left < 0) return lost(r, "no answer in time");
    int n = poll(&p, 1, (int)(left < 100 ? left + 1 : 100));
    if (n > 0) return MYNAH_OK;
    if (n < 0 && errno != EINTR) return lost(r, "the connection failed");
    if (mynah_is_interrupted()) return lost(r, "interrupted");
  }
}

static mynah_status send_all(remote *r, const char *data, size_t n, int64_t end_ns) {
  while (n > 0) {
    MYNAH_TRY(wait_for(r, POLLOUT, end_ns));
    ssize_t k = send(r->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k < 0 && errno != EAGAIN && errno != EINTR) return lost(r, "the connection was closed");
    if (k > 0) data += k, n -= (size_t)k;
  }
  return MYNAH_OK;
}

static mynah_status receive_more(remote *r, int64_t end_ns) {
  char bytes[65536];
  MYNAH_TRY(wait_for(r, POLLIN, end_ns));
  ssize_t k = recv(r->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR)) return lost(r, "the connection was closed");
  if (k > 0) mynah_str_append(&r->in, bytes, (size_t)k);
  return r->in.is_failed || r->in.length > MESSAGE_MAX + 65536 ? lost(r, "the message is too long") : MYNAH_OK;
}

/* ---- connecting ------------------------------------------------------------------------------------------------------- */

static mynah_status dial(remote *r) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
  int yes = 1;
  if (getaddrinfo(r->host, r->port, &hints, &list) != 0) return mynah_fail(MYNAH_IO, "ws://%s:%s: the host is not known", r->host, r->port);
  for (struct addrinfo *a = list; a && r->fd < 0; a = a->ai_next) {
    r->fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    struct timeval wait = {.tv_sec = (time_t)r->timeout_s + 1};
    if (r->fd >= 0) setsockopt(r->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* bounds connect, too */
    if (r->fd >= 0 && connect(r->fd, a->ai_addr, a->ai_addrlen) != 0) hang_up(r);
  }
  freeaddrinfo(list);
  if (r->fd < 0) return mynah_fail(MYNAH_IO, "ws://%s:%s: nobody answers", r->host, r->port);
  setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return MYNAH_OK;
}

static mynah_status shake_hands(remote *r, int64_t end_ns) {
  uint8_t nonce[16];
  char key[32], want[32], accept[64] = "";
  for (int i = 0; i < 16; i++) nonce[i] = (uint8_t)mynah_rng_u32(&r->rng);
  mynah__base64(nonce, sizeof nonce, key);
  r->out.length = 0;
  mynah_str_printf(&r->out,
                   "GET / HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
                   "%s\r\nSec-WebSocket-Version: 13\r\n",
                   r->host, r->port, key);
  if (r->token[0]) mynah_str_printf(&r->out, "Authorization: Api-Key %s\r\n", r->token);
  mynah_str_printf(&r->out, "\r\n");
  MYNAH_TRY(send_all(r, r->out.data, r->out.length, end_ns));
  char *end = NULL;
  while (!(end = r->in.length > 0 ? memmem(r->in.data, r->in.length, "\r\n\r\n", 4) : NULL)) {
    if (r->in.length > 16384) return lost(r, "this is no WebSocket server");
    MYNAH_TRY(receive_more(r, end_ns));
  }
  end[2] = 0; /* the head as text; its last line keeps its end */
  mynah__ws_accept(key, want);
  bool is_open = strncmp(r->in.data, "HTTP/1.1 101", 12) == 0 &&
                 mynah__http_header(r->in.data, "Sec-WebSocket-Accept", accept, sizeof accept) &&
                 strcmp(accept, want) == 0;
  if (!is_open) {
    char line[120];
    snprintf(line, sizeof line, "the server refuses: %.80s", r->in.data);
    line[strcspn(line, "\r\n")] = 0;
    return lost(r, line);
  }
  r->used = (size_t)(end - r->in.data) + 4;
  return MYNAH_OK;
}

/* The next message, unpacked; it stays in `in` until the next call. */
static mynah_status receive_message(remote *r, int64_t end_ns) {
  mynah__frame f;
  size_t used;
  for (;;) {
    memmove(r->in.data, r->in.data + r->used, r->in.length - r->used);
    r->in.length -= r->used;
    r->used = 0;
    if (mynah__frame_read((uint8_t *)r->in.data, r->in.length, false, MESSAGE_MAX, &f, &used) != MYNAH_OK) return lost(r, mynah_error());
    r->used = used;
    if (used == 0) {
      MYNAH_TRY(receive_more(r, end_ns));
      continue;
    }
    if (f.opcode == MYNAH__WS_CLOSE) return lost(r, "the server ended the session");
    if (f.opcode == MYNAH__WS_TEXT) {
      char text[200];
      snprintf(text, sizeof text, "the server says: %.*s", (int)(f.bytes < 150 ? f.bytes : 150), (const char *)f.data);
      return lost(r, text);
    }
    if (f.opcode == MYNAH__WS_PING) {
      uint8_t mask[4] = {1, 2, 3, 4};
      r->out.length = 0;
      mynah__frame_write(&r->out, MYNAH__WS_PONG, f.data, f.bytes, mask);
      MYNAH_TRY(send_all(r, r->out.data, r->out.length, end_ns));
    } else if (f.opcode == MYNAH__WS_BINARY) {
      if (!f.is_final) return lost(r, "a message in parts is not taken");
      return mynah__unpack(f.data, f.bytes, &r->message) == MYNAH_OK ? MYNAH_OK : lost(r, mynah_error());
    }
  }
}

static mynah_status connect_now(remote *r) {
  int64_t end_ns = mynah_now_ns() + (int64_t)(r->timeout_s * 1e9);
  if (r->fd >= 0) return MYNAH_OK;
  MYNAH_TRY(dial(r));
  MYNAH_TRY(shake_hands(r, end_ns));
  return receive_message(r, end_ns); /* the metadata */
}

/* ---- as a predictor ---------------------------------------------------------------------------------------------------- */

static void remote_reset(mynah_predictor *p, uint64_t seed) { /* a new session is a new episode there */
  (void)seed;
  hang_up((remote *)p);
}

static mynah_status remote_observe(mynah_predictor *p, const mynah_value *values) {
  remote *r = (remote *)p;
  for (int i = 0; i < r->policy.n_inputs; i++) {
    memcpy(r->observation.slots[i].value, values[i].data, values[i].bytes);
    r->values[i] = (mynah_value){r->observation.slots[i].value, values[i].bytes, values[i].time_ns};
  }
  return MYNAH_OK;
}

static mynah_status take_actions(remote *r, float *chunk) {
  const mynah__pack *a = mynah__pack_get(&r->message, r->message.nodes, "actions");
  int64_t size = mynah_feature_size(&r->policy.action), n = r->policy.common.chunk;
  bool is_good = a && a->kind == MYNAH__PACK_ARRAY && a->n_dims >= 1 && a->shape[a->n_dims - 1] >= size;
  if (!is_good) return lost(r, "its reply has no actions of the robot's size");
  int64_t width = a->shape[a->n_dims - 1], rows = a->n / width;
  if (rows < 1) return lost(r, "its reply has no actions");
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < size; k++) chunk[i * size + k] = i < rows ? (float)mynah__pack_element(a, i * width + k) : NAN;
  return MYNAH_OK;
}

static mynah_status remote_predict(mynah_predictor *p, const float *prefix, int64_t n_prefix, float *chunk) {
  remote *r = (remote *)p;
  uint8_t mask[4];
  (void)prefix, (void)n_prefix;
  MYNAH_TRY(connect_now(r));
  int64_t end_ns = mynah_now_ns() + (int64_t)(r->timeout_s * 1e9);
  r->packed.length = r->out.length = 0;
  MYNAH_TRY(mynah__observation_write(&r->observation, r->values, &r->packed));
  for (int i = 0; i < 4; i++) mask[i] = (uint8_t)mynah_rng_u32(&r->rng);
  mynah__frame_write(&r->out, MYNAH__WS_BINARY, r->packed.data, r->packed.length, mask);
  if (r->out.is_failed || r->packed.is_failed) return MYNAH_NO_MEMORY;
  MYNAH_TRY(send_all(r, r->out.data, r->out.length, end_ns));
  MYNAH_TRY(receive_message(r, end_ns));
  return take_actions(r, chunk);
}

static void remote_destroy(mynah_predictor *p) {
  remote *r = (remote *)p;
  hang_up(r);
  mynah_str_deinit(&r->in);
  mynah_str_deinit(&r->out);
  mynah_str_deinit(&r->packed);
  mynah__observation_deinit(&r->observation);
  mynah__message_deinit(&r->message);
  mynah_free(r);
}

static mynah_status take_url(remote *r, const char *url) {
  const char *at = strncmp(url, "ws://", 5) == 0 ? url + 5 : NULL, *colon = at ? strrchr(at, ':') : NULL;
  size_t n = colon ? (size_t)(colon - at) : 0;
  char *end = NULL;
  long port = colon ? strtol(colon + 1, &end, 10) : 0;
  if (!colon || n == 0 || n >= sizeof r->host || (*end && strcmp(end, "/") != 0) || port < 1 || port > 65535)
    return mynah_fail(MYNAH_INVALID, "'%s' is no ws://HOST:PORT", url);
  memcpy(r->host, at, n);
  snprintf(r->port, sizeof r->port, "%ld", port);
  return MYNAH_OK;
}

/* All that the robot sees, or of that what the server's metadata ask for. */
static mynah_status choose_inputs(remote *r, const mynah_remote_config *c) {
  const mynah__pack *wanted = mynah__pack_get(&r->message, r->message.nodes, "observations");
  MYNAH_TRY(mynah__observation_init(&r->observation, c->inputs, c->n_inputs, c->keys));
  for (int i = 0; i < c->n_inputs; i++)
    if (!wanted || wanted->kind != MYNAH__PACK_MAP || mynah__pack_get(&r->message, wanted, r->observation.slots[i].key))
      r->policy.inputs[r->policy.n_inputs++] = c->inputs[i];
  mynah__observation_deinit(&r->observation);
  char kept[MYNAH_TEXT_MAX] = "", all[MYNAH_TEXT_MAX], *rest = all; /* keys of what is left */
  MYNAH_TRY(mynah_copy_text(all, sizeof all, c->keys ? c->keys : ""));
  for (char *pair; all[0] && (pair = strsep(&rest, ","));)
    for (int i = 0; i < r->policy.n_inputs; i++) {
      size_t n = strlen(r->policy.inputs[i].name);
      if (strncmp(pair, r->policy.inputs[i].name, n) == 0 && pair[n] == ':')
        snprintf(kept + strlen(kept), sizeof kept - strlen(kept), "%s%s", kept[0] ? "," : "", pair);
    }
  MYNAH_TRY(mynah__observation_init(&r->observation, r->policy.inputs, r->policy.n_inputs, kept));
  MYNAH_TRY(mynah_copy_text(r->prompt, sizeof r->prompt, c->prompt ? c->prompt : ""));
  r->observation.prompt = r->prompt;
  r->observation.images = c->is_planar ? MYNAH__IMAGES_CHW : MYNAH__IMAGES_HWC;
  r->observation.side = c->image_side;
  return mynah__observation_prepare(&r->observation);
}

static mynah_status describe(remote *r, const mynah_remote_config *c) {
  int64_t size = mynah_feature_size(&c->action), horizon = c->chunk;
  if (size > 64) return mynah_fail(MYNAH_LIMIT, "remote policy: an action of more than 64 elements");
  MYNAH_TRY(connect_now(r));
  MYNAH_TRY(choose_inputs(r, c));
  const mynah__pack *said = r->message.n > 0 ? mynah__pack_get(&r->message, r->message.nodes, "action_horizon") : NULL;
  if (horizon == 0) horizon = said ? said->integer : 1;
  if (horizon < 1 || horizon > 4096) return mynah_fail(MYNAH_CORRUPT, "ws://%s:%s: an action horizon of %lld", r->host, r->port, (long long)horizon);
  for (int64_t k = 0; k < size; k++) r->range[0][k] = 0, r->range[1][k] = 1;
  r->type = (mynah_policy_type){.name = "remote"};
  r->policy.type = &r->type;
  r->policy.action = c->action;
  r->policy.action_norm = (mynah_norm){size, r->range[0], r->range[1], NULL, NULL};
  r->policy.common.chunk = horizon;
  mynah_config_default(&mynah_execute_table, &r->policy.common.execute);
  return MYNAH_OK;
}

mynah_status mynah_predictor_remote(const mynah_remote_config *config, mynah_predictor **out) {
  remote *r = mynah_calloc(1, sizeof *r);
  if (!r) return MYNAH_NO_MEMORY;
  r->fd = -1;
  r->timeout_s = config->timeout_s;
  r->rng = mynah_rng_make((uint64_t)mynah_now_ns(), (uint64_t)getpid());
  r->base = (mynah_predictor){&r->policy, remote_reset, remote_observe, remote_predict, remote_destroy, NULL, 0};
  mynah_status status = take_url(r, config->url);
  if (status == MYNAH_OK) status = mynah_copy_text(r->token, sizeof r->token, config->token ? config->token : "");
  if (status == MYNAH_OK) status = describe(r, config);
  if (status != MYNAH_OK) {
    remote_destroy(&r->base);
    return status;
  }
  *out = &r->base;
  return MYNAH_OK;
}
