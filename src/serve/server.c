/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The server: one poll loop, small machines for connections. What a client can do wrong ends its own connection, nothing else. */
#include "observation.h"
#include "websocket.h"

#include <mynah/serve.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVE_ROW(type, field, name, value, low, high, unit, help) \
  MYNAH_KEY_OF(mynah_serve_config, type, field, name, value, low, high, unit, help)
static const mynah_key serve_keys[] = {MYNAH_SERVE_KEYS(SERVE_ROW)};
const mynah_config_table mynah_serve_table = {"serve", serve_keys, sizeof serve_keys / sizeof *serve_keys, sizeof(mynah_serve_config)};

#define CLIENTS_MAX 64
#define HEAD_MAX 8192
#define SILENCE_NS (INT64_C(20) * 1000000000) /* then a ping; and as long again without any byte: gone */
#define TIMES_KEPT 65536

typedef enum phase { PHASE_FREE, PHASE_HEAD, PHASE_OPEN, PHASE_CLOSING } phase;
typedef struct client {
  phase phase;
  int fd;
  mynah_str in, out, whole; /* received; to be sent; a message that comes in parts */
  size_t sent;
  int opcode;        /* of the message in parts */
  int64_t since_ns;  /* connected */
  int64_t heard_ns;  /* the last byte */
  int64_t began_ns;  /* of what is not whole yet, or not sent yet; 0: nothing */
  bool is_pinged;
  double tokens;     /* messages it may send now */
  int64_t filled_ns; /* when they were counted */
  int64_t total_ns;  /* of its last message, reading to sending; 0: none */
} client;

struct mynah_server {
  mynah_serve_config config;
  mynah_predictor *predictor;
  char name[MYNAH_NAME_MAX];
  int fd, port, wake[2];
  client clients[CLIENTS_MAX];
  int controller; /* who is served; -1: nobody */
  mynah__observation observation;
  mynah__message message;
  float *chunk;
  int64_t n_clients, n_messages, n_refused, n_errors, n_times;
  int64_t *times;
};

/* ---- making ---------------------------------------------------------------------------------------------------------- */

static mynah_status listen_on(mynah_server *s) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->config.port)};
  socklen_t n = sizeof a;
  int yes = 1;
  const char *host = strcmp(s->config.host, "localhost") == 0 ? "127.0.0.1" : s->config.host;
  if (inet_pton(AF_INET, host, &a.sin_addr) != 1) return mynah_fail(MYNAH_INVALID, "host=%s: is no IPv4 address", s->config.host);
  bool is_loopback = ntohl(a.sin_addr.s_addr) >> 24 == 127;
  if (!is_loopback && strlen(s->config.token) < 8)
    return mynah_fail(MYNAH_INVALID, "host=%s can be reached from elsewhere: give a token of at least 8 letters", s->config.host);
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd < 0) return mynah_fail_errno("socket", "cannot be made");
  setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(s->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(s->fd, 16) != 0 || getsockname(s->fd, (struct sockaddr *)&a, &n) != 0)
    return mynah_fail(MYNAH_IO, "%s:%lld: cannot be listened on: %s", s->config.host, (long long)s->config.port, strerror(errno));
  s->port = ntohs(a.sin_port);
  if (pipe2(s->wake, O_CLOEXEC | O_NONBLOCK) != 0) return mynah_fail_errno("pipe", "cannot be made");
  return MYNAH_OK;
}

static mynah_status prepare(mynah_server *s) {
  const mynah_policy *p = s->predictor->policy;
  s->chunk = mynah_calloc((size_t)(p->common.chunk * mynah_feature_size(&p->action)), sizeof(float));
  s->times = mynah_calloc(TIMES_KEPT, sizeof *s->times);
  if (!s->chunk || !s->times) return MYNAH_NO_MEMORY;
  MYNAH_TRY(mynah__observation_init(&s->observation, p->inputs, p->n_inputs, s->config.keys));
  s->observation.images = (int)s->config.images;
  s->observation.is_padded = s->config.fit == 1;
  return listen_on(s);
}

mynah_status mynah_server_create(const mynah_serve_config *config, mynah_predictor *predictor, const char *name, mynah_server **out) {
  mynah_server *s = mynah_calloc(1, sizeof *s);
  if (!s) return MYNAH_NO_MEMORY;
  s->config = *config;
  s->predictor = predictor;
  s->fd = s->wake[0] = s->wake[1] = s->controller = -1;
  snprintf(s->name, sizeof s->name, "%s", name);
  mynah_status status = prepare(s);
  if (status != MYNAH_OK) {
    mynah_server_destroy(s);
    return status;
  }
  *out = s;
  return MYNAH_OK;
}

int mynah_server_port(const mynah_server *s) { return s->port; }

static void drop(mynah_server *s, client *c) {
  if (c->phase == PHASE_FREE) return;
  if (s->controller == (int)(c - s->clients)) s->controller = -1;
  close(c->fd);
  mynah_str_deinit(&c->in);
  mynah_str_deinit(&c->out);
  mynah_str_deinit(&c->whole);
  *c = (client){0};
}

void mynah_server_destroy(mynah_server *s) {
  if (!s) return;
  for (int i = 0; i < CLIENTS_MAX; i++) drop(s, &s->clients[i]);
  if (s->fd >= 0) close(s->fd);
  for (int i = 0; i < 2; i++)
    if (s->wake[i] >= 0) close(s->wake[i]);
  mynah__observation_deinit(&s->observation);
  mynah__message_deinit(&s->message);
  mynah_free(s->chunk);
  mynah_free(s->times);
  mynah_free(s);
}

void mynah_server_stop(mynah_server *s) {
  int before = errno;
  ssize_t ignored = write(s->wake[1], "", 1);
  (void)ignored;
  errno = before;
}

/* ---- the handshake ----------------------------------------------------------------------------------------------------- */

/* Says this and closes when it is sent. */
static void answer(client *c, const char *status, const char *text) {
  mynah_str_printf(&c->out, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, strlen(text), text);
  c->phase = PHASE_CLOSING;
}

static void refuse(mynah_server *s, client *c, const char *status, const char *text) {
  s->n_refused++;
  answer(c, status, text);
}

/* Takes the same time whatever is wrong. */
static bool is_token(const mynah_server *s, const char *head) {
  char sent[MYNAH_TEXT_MAX + 16], want[MYNAH_TEXT_MAX + 16] = {0};
  unsigned differs = 0;
  if (!s->config.token[0]) return true;
  memset(sent, 0, sizeof sent);
  if (!mynah__http_header(head, "Authorization", sent, sizeof sent)) return false;
  snprintf(want, sizeof want, "Api-Key %s", s->config.token);
  for (size_t i = 0; i < sizeof want; i++) differs |= (unsigned char)(want[i] ^ sent[i]);
  return differs == 0;
}

static void pack_metadata(const mynah_server *s, mynah_str *out) {
  const mynah_policy *p = s->predictor->policy;
  mynah__pack_map(out, 5);
  mynah__pack_key(out, "policy");
  mynah__pack_text(out, s->name, strlen(s->name));
  mynah__pack_key(out, "action_horizon");
  mynah__pack_int(out, p->common.chunk);
  mynah__pack_key(out, "action_dim");
  mynah__pack_int(out, mynah_feature_size(&p->action));
  mynah__pack_key(out, "rate_hz");
  mynah__pack_float(out, p->rate_hz);
  mynah__pack_key(out, "observations");
  mynah__pack_map(out, (size_t)p->n_inputs);
  for (int i = 0; i < p->n_inputs; i++) {
    mynah__pack_key(out, s->observation.slots[i].key);
    mynah__pack_list(out, (size_t)p->inputs[i].n_dims);
    for (int k = 0; k < p->inputs[i].n_dims; k++) mynah__pack_int(out, p->inputs[i].dims[k]);
  }
}

static void open_session(mynah_server *s, client *c, const char *head) {
  char key[64], version[16], upgrade[32], accept[32];
  if (!mynah__http_header(head, "Upgrade", upgrade, sizeof upgrade) || strcasecmp(upgrade, "websocket") != 0) {
    refuse(s, c, "426 Upgrade Required", "this is a WebSocket\n");
  } else if (!mynah__http_header(head, "Sec-WebSocket-Version", version, sizeof version) || strcmp(version, "13") != 0 ||
             !mynah__http_header(head, "Sec-WebSocket-Key", key, sizeof key) || strlen(key) != 24) {
    refuse(s, c, "400 Bad Request", "no handshake of version 13\n");
  } else if (!is_token(s, head)) {
    refuse(s, c, "401 Unauthorized", "a token is needed\n");
  } else if (s->controller >= 0) {
    refuse(s, c, "503 Service Unavailable", "another client holds control\n");
  } else {
    mynah_str metadata = {0};
    mynah__ws_accept(key, accept);
    mynah_str_printf(&c->out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    pack_metadata(s, &metadata);
    mynah__frame_write(&c->out, MYNAH__WS_BINARY, metadata.data, metadata.length, NULL);
    mynah_str_deinit(&metadata);
    c->phase = PHASE_OPEN;
    c->tokens = fmax(1, s->config.rate_max);
    c->filled_ns = mynah_now_ns();
    s->controller = (int)(c - s->clients);
    s->n_clients++;
    s->predictor->reset(s->predictor, (uint64_t)s->config.seed);
  }
}

static void take(mynah_str *s, size_t n) {
  memmove(s->data, s->data + n, s->length - n);
  s->length -= n;
}

static void read_head(mynah_server *s, client *c) {
  char *end = c->in.length > 0 ? memmem(c->in.data, c->in.length, "\r\n\r\n", 4) : NULL;
  char head[HEAD_MAX + 1];
  size_t n = end ? (size_t)(end - c->in.data) + 4 : 0;
  if (!end || n > HEAD_MAX) {
    if (c->in.length > HEAD_MAX) refuse(s, c, "431 Request Header Fields Too Large", "\n");
    return;
  }
  memcpy(head, c->in.data, n);
  head[n] = 0;
  take(&c->in, n);
  c->began_ns = 0;
  if (memchr(head, 0, n) != NULL || strncmp(head, "GET ", 4) != 0) refuse(s, c, "400 Bad Request", "\n");
  else if (strncmp(head + 4, "/healthz ", 9) == 0) answer(c, "200 OK", "OK\n");
  else open_session(s, c, head);
}

/* ---- messages ---------------------------------------------------------------------------------------------------------- */

static void end_session(client *c, int code, const char *reason) {
  mynah__frame_close(&c->out, code, reason, NULL);
  c->phase = PHASE_CLOSING;
}

/* As openpi's server does it: the error as text, then the end. */
static void tell_error(mynah_server *s, client *c, mynah_status status) {
  mynah_str text = {0};
  s->n_errors++;
  mynah_str_printf(&text, "%s: %s", mynah_status_name(status), status == MYNAH_INTERNAL ? "internal error" : mynah_error());
  mynah__frame_write(&c->out, MYNAH__WS_TEXT, mynah_str_text(&text), text.length, NULL);
  mynah_str_deinit(&text);
  end_session(c, MYNAH__WS_FAILED, "see the text before this");
}

static void pack_reply(const mynah_server *s, const client *c, int64_t infer_ns, int64_t served_ns, mynah_str *out) {
  const mynah_policy *p = s->predictor->policy;
  mynah__pack_map(out, 3);
  mynah__pack_key(out, "actions");
  mynah__pack_array(out, "<f4", (int64_t[]){p->common.chunk, mynah_feature_size(&p->action)}, 2, s->chunk);
  mynah__pack_key(out, "policy_timing");
  mynah__pack_map(out, 1);
  mynah__pack_key(out, "infer_ms");
  mynah__pack_float(out, (double)infer_ns * 1e-6);
  mynah__pack_key(out, "server_timing");
  mynah__pack_map(out, c->total_ns > 0 ? 2 : 1);
  mynah__pack_key(out, "infer_ms");
  mynah__pack_float(out, (double)served_ns * 1e-6);
  if (c->total_ns == 0) return;
  mynah__pack_key(out, "prev_total_ms");
  mynah__pack_float(out, (double)c->total_ns * 1e-6);
}

static mynah_status predict(mynah_server *s, client *c, const void *data, size_t n) {
  mynah_value values[MYNAH_POLICY_INPUTS_MAX];
  int64_t start = mynah_now_ns();
  MYNAH_TRY(mynah__unpack(data, n, &s->message));
  MYNAH_TRY(mynah__observation_read(&s->observation, &s->message, values));
  int64_t begin = mynah_now_ns();
  MYNAH_TRY(s->predictor->observe(s->predictor, values));
  MYNAH_TRY(s->predictor->predict(s->predictor, NULL, 0, s->chunk));
  int64_t end = mynah_now_ns();
  mynah_str reply = {0};
  pack_reply(s, c, end - begin, end - start, &reply);
  mynah__frame_write(&c->out, MYNAH__WS_BINARY, reply.data, reply.length, NULL);
  bool is_failed = reply.is_failed;
  mynah_str_deinit(&reply);
  c->total_ns = mynah_now_ns() - start;
  s->times[s->n_times++ % TIMES_KEPT] = end - begin;
  s->n_messages++;
  return is_failed ? MYNAH_NO_MEMORY : MYNAH_OK;
}

static bool may_send(const mynah_server *s, client *c) {
  int64_t now = mynah_now_ns();
  c->tokens = fmin(fmax(1, s->config.rate_max), c->tokens + (double)(now - c->filled_ns) * 1e-9 * s->config.rate_max);
  c->filled_ns = now;
  return (c->tokens -= 1) >= 0;
}

static void on_message(mynah_server *s, client *c, int opcode, const void *data, size_t n) {
  if (opcode == MYNAH__WS_TEXT) {
    end_session(c, 1003, "messages are binary"); /* RFC 6455, 7.4.1 */
    return;
  }
  if (!may_send(s, c)) {
    end_session(c, MYNAH__WS_POLICY, "too many messages");
    s->n_refused++;
    return;
  }
  mynah_status status = predict(s, c, data, n);
  if (status != MYNAH_OK) tell_error(s, c, status);
}

static void on_frame(mynah_server *s, client *c, const mynah__frame *f) {
  if (f->opcode == MYNAH__WS_PING) mynah__frame_write(&c->out, MYNAH__WS_PONG, f->data, f->bytes, NULL);
  else if (f->opcode == MYNAH__WS_CLOSE) end_session(c, MYNAH__WS_NORMAL, "");
  else if (f->opcode != MYNAH__WS_PONG) {
    if ((f->opcode == MYNAH__WS_MORE) != (c->opcode != 0)) {
      end_session(c, MYNAH__WS_WRONG, "parts out of order");
      return;
    }
    if (f->opcode != MYNAH__WS_MORE) c->opcode = f->opcode;
    if (f->is_final && c->whole.length == 0) on_message(s, c, c->opcode, f->data, f->bytes);
    else {
      if (c->whole.length + f->bytes > (size_t)s->config.max_message) {
        end_session(c, MYNAH__WS_TOO_BIG, "the message is too long");
        return;
      }
      c->whole.max = (size_t)s->config.max_message + 1;
      mynah_str_append(&c->whole, f->data, f->bytes);
      if (f->is_final) on_message(s, c, c->opcode, c->whole.data, c->whole.length);
    }
    if (!f->is_final) return;
    c->opcode = 0;
    c->whole.length = 0;
  }
}

static void read_frames(mynah_server *s, client *c) {
  size_t used = 1, at = 0;
  mynah__frame f;
  while (c->phase == PHASE_OPEN && used > 0) {
    mynah_status status = mynah__frame_read((uint8_t *)c->in.data + at, c->in.length - at, true, (size_t)s->config.max_message, &f, &used);
    if (status != MYNAH_OK) {
      s->n_refused++;
      end_session(c, status == MYNAH_LIMIT ? MYNAH__WS_TOO_BIG : MYNAH__WS_WRONG, mynah_error());
    } else if (used > 0) on_frame(s, c, &f);
    at += used;
  }
  if (c->phase == PHASE_OPEN && at > 0) take(&c->in, at);
  bool is_partial = c->phase == PHASE_OPEN && (c->in.length > 0 || c->opcode != 0);
  if (!is_partial) c->began_ns = 0;
  else if (c->began_ns == 0) c->began_ns = mynah_now_ns();
}

/* ---- the poll loop ------------------------------------------------------------------------------------------------------- */

/* A free place, or that of whoever has been here longest without a session: connections that only wait keep nobody out. */
static client *find_room(mynah_server *s) {
  client *oldest = NULL;
  for (int i = 0; i < s->config.max_clients; i++) {
    client *c = &s->clients[i];
    if (c->phase == PHASE_FREE) return c;
    if (c->phase != PHASE_OPEN && (!oldest || c->since_ns < oldest->since_ns)) oldest = c;
  }
  if (oldest) drop(s, oldest);
  s->n_refused++;
  return oldest;
}

static void accept_client(mynah_server *s) {
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), yes = 1;
  if (fd < 0) return;
  client *c = find_room(s);
  if (!c) {
    close(fd);
    return;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  int64_t now = mynah_now_ns();
  *c = (client){.phase = PHASE_HEAD, .fd = fd, .since_ns = now, .heard_ns = now, .began_ns = now};
  c->in.max = (size_t)s->config.max_message + 65536;
  c->out.max = (size_t)s->config.max_message + 65536;
}

/* False: the connection is gone. */
static bool receive(mynah_server *s, client *c) {
  char bytes[65536];
  ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
  if (n < 0 || c->phase == PHASE_CLOSING) return true; /* what comes after the end is thrown away */
  c->heard_ns = mynah_now_ns();
  c->is_pinged = false;
  mynah_str_append(&c->in, bytes, (size_t)n);
  if (c->in.is_failed) return false;
  if (c->phase == PHASE_HEAD) read_head(s, c);
  if (c->phase == PHASE_OPEN) read_frames(s, c);
  return true;
}

static bool send_some(client *c) {
  if (c->out.is_failed) return false;
  ssize_t n = send(c->fd, c->out.data + c->sent, c->out.length - c->sent, MSG_NOSIGNAL);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  c->sent += (size_t)n;
  if (c->sent < c->out.length) return true;
  c->sent = c->out.length = 0;
  return c->phase != PHASE_CLOSING;
}

/* Connections that are too slow, or silent for long, end. */
static bool is_patient(const mynah_server *s, client *c, int64_t now) {
  int64_t slow_ns = (int64_t)(s->config.slow_s * 1e9);
  if (c->out.length > 0 && c->began_ns == 0) c->began_ns = now;
  if (c->began_ns > 0 && now - c->began_ns > slow_ns) return false;
  if (c->phase == PHASE_CLOSING && c->out.length == 0) return false;
  if (c->phase == PHASE_OPEN && now - c->heard_ns > 2 * SILENCE_NS) return false;
  if (c->phase == PHASE_OPEN && now - c->heard_ns > SILENCE_NS && !c->is_pinged) {
    mynah__frame_write(&c->out, MYNAH__WS_PING, "", 0, NULL);
    c->is_pinged = true;
  }
  return true;
}

static void attend(mynah_server *s, client *c, short events) {
  bool stays = true;
  if (events & (POLLIN | POLLHUP | POLLERR)) stays = receive(s, c);
  if (stays && c->out.length > 0) {
    bool was_waiting = c->out.length > 0;
    stays = send_some(c);
    if (stays && was_waiting && c->out.length == 0 && c->in.length == 0 && c->opcode == 0) c->began_ns = 0;
  }
  if (!stays || !is_patient(s, c, mynah_now_ns())) drop(s, c);
}

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void report(mynah_server *s, mynah_json *out) {
  int64_t n = s->n_times < TIMES_KEPT ? s->n_times : TIMES_KEPT;
  mynah_json *ms = mynah_json_object();
  qsort(s->times, (size_t)n, sizeof *s->times, by_size);
  mynah_json_set(ms, "p50", mynah_json_number(n > 0 ? (double)s->times[(n - 1) / 2] * 1e-6 : NAN));
  mynah_json_set(ms, "p99", mynah_json_number(n > 0 ? (double)s->times[(n - 1) * 99 / 100] * 1e-6 : NAN));
  mynah_json_set(out, "clients", mynah_json_integer(s->n_clients));
  mynah_json_set(out, "messages", mynah_json_integer(s->n_messages));
  mynah_json_set(out, "refused", mynah_json_integer(s->n_refused));
  mynah_json_set(out, "errors", mynah_json_integer(s->n_errors));
  mynah_json_set(out, "infer_ms", ms);
}

mynah_status mynah_server_run(mynah_server *s, mynah_json *result) {
  uint64_t before = mynah_flush_denormals();
  for (;;) {
    struct pollfd fds[CLIENTS_MAX + 2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
    for (int i = 0; i < CLIENTS_MAX; i++) {
      const client *c = &s->clients[i];
      fds[2 + i] = (struct pollfd){.fd = c->phase == PHASE_FREE ? -1 : c->fd, .events = (short)(POLLIN | (c->out.length > 0 ? POLLOUT : 0))};
    }
    int n = poll(fds, CLIENTS_MAX + 2, 200);
    if (mynah_is_interrupted() || (n > 0 && fds[1].revents)) break;
    if (n < 0 && errno != EINTR) return mynah_fail_errno("poll", "failed");
    for (int i = 0; i < CLIENTS_MAX; i++)
      if (s->clients[i].phase != PHASE_FREE) attend(s, &s->clients[i], n > 0 ? fds[2 + i].revents : 0);
    if (n > 0 && fds[0].revents) accept_client(s);
  }
  mynah_restore_denormals(before);
  report(s, result);
  return MYNAH_OK;
}
