/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A server under good and bad clients: it answers the good ones, ends the bad ones, and stays what it was. */
#include <mynah/serve.h>

#include "src/serve/msgpack.h"
#include "src/serve/websocket.h"
#include "support/soak.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define CHUNK 3
#define TOKEN "a-long-token"
static const uint8_t mask[4] = {9, 8, 7, 6};

/* ---- a policy that adds up ------------------------------------------------------------------------------------------- */

static mynah_policy policy;
static mynah_policy_type type = {.name = "sum"};
static double seen;
static float low[1] = {0}, high[1] = {1};

static void sum_reset(mynah_predictor *p, uint64_t seed) { seen = 0; }
static mynah_status sum_observe(mynah_predictor *p, const mynah_value *values) {
  const float *x = values[0].data;
  seen = (double)x[0] + (double)x[1] + (double)((const uint8_t *)values[1].data)[0];
  return MYNAH_OK;
}
static mynah_status sum_predict(mynah_predictor *p, const float *prefix, int64_t n_prefix, float *chunk) {
  for (int i = 0; i < CHUNK; i++) chunk[i] = (float)seen + (float)i;
  return MYNAH_OK;
}
static mynah_predictor predictor = {&policy, sum_reset, sum_observe, sum_predict, NULL, NULL, 0};

static mynah_server *server;
static pthread_t thread;
static mynah_json *report;

static void *serve(void *context) {
  mynah_status status = mynah_server_run(server, report);
  return status == MYNAH_OK ? NULL : context;
}

static int set_up(void **state) {
  mynah_serve_config c;
  mynah_config_default(&mynah_serve_table, &c);
  c.port = 0;
  c.slow_s = 0.3;
  c.max_message = 65536;
  c.rate_max = 1e6;
  snprintf(c.token, sizeof c.token, TOKEN);
  policy = (mynah_policy){.type = &type,
                          .n_inputs = 2,
                          .inputs = {mynah_feature_vector("observation.state", 2, "", ""),
                                     mynah_feature_image("observation.images.eye", 4, 6)},
                          .action = mynah_feature_vector("action", 1, "", ""),
                          .action_norm = {1, low, high, NULL, NULL},
                          .rate_hz = 10};
  policy.common.chunk = CHUNK;
  mynah_config_default(&mynah_execute_table, &policy.common.execute);
  report = mynah_json_object();
  if (mynah_server_create(&c, &predictor, "sum", &server) != MYNAH_OK) return -1;
  return pthread_create(&thread, NULL, serve, NULL);
}

static int tear_down(void **state) {
  void *failed;
  mynah_server_stop(server);
  pthread_join(thread, &failed);
  mynah_server_destroy(server);
  mynah_json_destroy(report);
  return failed != NULL;
}

/* ---- a client by hand ------------------------------------------------------------------------------------------------ */

static int dial(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)mynah_server_port(server)), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static void say(int fd, const void *data, size_t n) {
  ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
  (void)sent; /* it may have been ended meanwhile */
}

/* Reads until `needle` came, the end, or 5 s; how many bytes. */
static size_t hear(int fd, char *out, size_t size, const char *needle) {
  size_t n = 0;
  int64_t end = mynah_now_ns() + 5000000000;
  while (n + 1 < size && mynah_now_ns() < end) {
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 100) <= 0) continue;
    ssize_t k = recv(fd, out + n, size - 1 - n, 0);
    if (k <= 0) break;
    n += (size_t)k;
    if (needle && memmem(out, n, needle, strlen(needle))) break;
  }
  out[n] = 0;
  return n;
}

static void ask(int fd, const char *token) {
  char head[300];
  int n = snprintf(head, sizeof head,
                   "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "
                   "dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
                   token ? "Authorization: Api-Key " : "", token ? token : "", token ? "\r\n" : "");
  say(fd, head, (size_t)n);
}

/* A session that is open, its metadata read; the one before may still be ending. */
static int open_session(void) {
  char out[4096];
  for (int i = 0; i < 100; i++) {
    int fd = dial();
    ask(fd, TOKEN);
    hear(fd, out, sizeof out, i % 2 ? "observation.images.eye" : "\r\n\r\n");
    if (strstr(out, "101 Switching")) {
      if (!memmem(out, sizeof out, "observation.images.eye", 22)) hear(fd, out, sizeof out, "observation.images.eye");
      usleep(2000); /* the rest of the metadata */
      while (recv(fd, out, sizeof out, MSG_DONTWAIT) > 0) continue;
      return fd;
    }
    close(fd);
    usleep(20000);
  }
  fail_msg("no session: %s", out);
  return -1;
}

static void pack_observation(mynah_str *s, int64_t n_state, const char *image_dtype) {
  static const float state[8] = {1.5f, 2};
  static const uint8_t picture[3 * 8 * 12 * 8] = {10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
  mynah__pack_map(s, 3);
  mynah__pack_key(s, "observation/state");
  mynah__pack_array(s, "<f4", &n_state, 1, state);
  mynah__pack_key(s, "observation.images.eye");
  mynah__pack_array(s, image_dtype, (int64_t[]){4, 6, 3}, 3, picture);
  mynah__pack_key(s, "prompt");
  mynah__pack_key(s, "do it");
}

/* The code with which the server ends a session after this frame. */
static int code_after(const void *data, size_t n) {
  char out[70000];
  int fd = open_session();
  say(fd, data, n);
  size_t got = hear(fd, out, sizeof out, NULL), used = 1;
  close(fd);
  mynah__frame f;
  for (uint8_t *at = (uint8_t *)out; used > 0 && got > 0; at += used, got -= used) {
    assert_int_equal(mynah__frame_read(at, got, false, 1 << 20, &f, &used), MYNAH_OK);
    if (used > 0 && f.opcode == MYNAH__WS_CLOSE) return f.data[0] << 8 | f.data[1];
  }
  return 0;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static void good_clients_are_answered(void **state) {
  (void)state;
  mynah_predictor *remote;
  char url[64];
  float x[2] = {1, 2}, chunk[CHUNK];
  uint8_t picture[4 * 6 * 3] = {5};
  mynah_feature inputs[3] = {policy.inputs[0], policy.inputs[1], mynah_feature_vector("observation.more", 9, "", "")};
  snprintf(url, sizeof url, "ws://127.0.0.1:%d", mynah_server_port(server));
  mynah_remote_config c = {.url = url, .token = TOKEN, .inputs = inputs, .n_inputs = 3, .action = policy.action, .timeout_s = 5};
  if (mynah_predictor_remote(&c, &remote) != MYNAH_OK) fail_msg("%s", mynah_error());
  assert_int_equal(remote->policy->common.chunk, CHUNK);
  assert_int_equal(remote->policy->n_inputs, 2); /* what the server does not want is not sent */
  mynah_value values[2] = {{x, sizeof x, 0}, {picture, sizeof picture, 0}};
  for (int i = 0; i < 20; i++) {
    x[0] = (float)i;
    assert_int_equal(remote->observe(remote, values), MYNAH_OK);
    if (remote->predict(remote, NULL, 0, chunk) != MYNAH_OK) fail_msg("%s", mynah_error());
    for (int k = 0; k < CHUNK; k++) assert_float_equal(chunk[k], i + 2 + 5 + k, 0);
  }
  int fd = dial(); /* control is held */
  char out[512];
  ask(fd, TOKEN);
  hear(fd, out, sizeof out, NULL);
  assert_non_null(strstr(out, "503"));
  close(fd);
  remote->destroy(remote);
  c.token = "wrong";
  assert_int_equal(mynah_predictor_remote(&c, &remote), MYNAH_IO);
  assert_non_null(strstr(mynah_error(), "401"));
  c.url = "http://x";
  assert_int_equal(mynah_predictor_remote(&c, &remote), MYNAH_INVALID);
}

static void strangers_get_no_session(void **state) {
  (void)state;
  static const struct {
    const char *head, *answer;
  } cases[] = {{"GET /healthz HTTP/1.1\r\n\r\n", "200 OK"},
               {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426"},
               {"POST / HTTP/1.1\r\n\r\n", "400"},
               {"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n\r\n", "400"}};
  char out[1024];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int fd = dial();
    say(fd, cases[i].head, strlen(cases[i].head));
    hear(fd, out, sizeof out, NULL);
    if (!strstr(out, cases[i].answer)) fail_msg("%s: %s", cases[i].head, out);
    close(fd);
  }
  int fd = dial();
  ask(fd, NULL);
  hear(fd, out, sizeof out, NULL);
  assert_non_null(strstr(out, "401"));
  close(fd);
  fd = dial();
  ask(fd, "a-long-tokem");
  hear(fd, out, sizeof out, NULL);
  assert_non_null(strstr(out, "401"));
  close(fd);
}

static void bad_frames_end_sessions(void **state) {
  (void)state;
  static uint8_t big[70000];
  mynah_str s = {0};
  mynah__frame_write(&s, MYNAH__WS_BINARY, big, sizeof big, mask);
  assert_int_equal(code_after(s.data, s.length), MYNAH__WS_TOO_BIG);
  s.length = 0;
  mynah__frame_write(&s, MYNAH__WS_BINARY, "x", 1, NULL); /* not masked */
  assert_int_equal(code_after(s.data, s.length), MYNAH__WS_WRONG);
  s.length = 0;
  mynah__frame_write(&s, MYNAH__WS_TEXT, "x", 1, mask);
  assert_int_equal(code_after(s.data, s.length), 1003);
  s.length = 0;
  mynah__frame_write(&s, MYNAH__WS_MORE, "x", 1, mask); /* nothing was begun */
  assert_int_equal(code_after(s.data, s.length), MYNAH__WS_WRONG);
  s.length = 0;
  mynah__frame_write(&s, MYNAH__WS_BINARY, "\x93\x01\x02\x03", 4, mask); /* no map */
  assert_int_equal(code_after(s.data, s.length), MYNAH__WS_FAILED);
  for (int i = 0; i < 2; i++) { /* wrong shape, wrong type */
    mynah_str m = {0};
    s.length = 0;
    pack_observation(&m, i == 0 ? 3 : 2, i == 0 ? "|u1" : "<f8");
    mynah__frame_write(&s, MYNAH__WS_BINARY, m.data, m.length, mask);
    int code = code_after(s.data, s.length);
    if (i == 0) assert_int_equal(code, MYNAH__WS_FAILED);
    mynah_str_deinit(&m);
    if (i == 0) continue;
    assert_int_equal(code, 0); /* floats are a picture, too */
  }
  mynah_str_deinit(&s);
}

static void slow_and_half_open_clients_end(void **state) {
  (void)state;
  char out[512];
  int idle = dial(), half = dial();
  say(half, "GET / HTTP/1.1\r\nHos", 19);
  int64_t start = mynah_now_ns();
  hear(idle, out, sizeof out, NULL);
  hear(half, out, sizeof out, NULL);
  assert_true(mynah_now_ns() - start < 4000000000);
  close(idle);
  close(half);
  int fd = open_session();
  mynah_str s = {0};
  mynah__frame_write(&s, MYNAH__WS_BINARY, out, 400, mask);
  start = mynah_now_ns();
  for (size_t i = 0; i < 100 && mynah_now_ns() - start < 4000000000; i++) { /* a byte now and then */
    say(fd, s.data + i, 1);
    usleep(20000);
  }
  hear(fd, out, sizeof out, NULL);
  assert_true(mynah_now_ns() - start < 4000000000);
  mynah_str_deinit(&s);
  close(fd);
  close(open_session()); /* control is free again */
}

/* More connections than there are places, all silent: someone who does shake hands is served at once. */
static void waiting_keeps_nobody_out(void **state) {
  (void)state;
  int idle[20];
  for (int i = 0; i < 20; i++) idle[i] = dial();
  int64_t start = mynah_now_ns();
  close(open_session());
  assert_true(mynah_now_ns() - start < 250000000); /* `slow` is 300 ms */
  for (int i = 0; i < 20; i++) close(idle[i]);
}

static void parts_and_pings_are_taken(void **state) {
  (void)state;
  char out[4096];
  mynah_str m = {0}, s = {0};
  int fd = open_session();
  pack_observation(&m, 2, "|u1");
  mynah__frame_write(&s, MYNAH__WS_BINARY, m.data, 20, mask);
  s.data[0] = MYNAH__WS_BINARY; /* more follows */
  mynah__frame_write(&s, MYNAH__WS_PING, "hello", 5, mask);
  mynah__frame_write(&s, MYNAH__WS_MORE, m.data + 20, m.length - 20, mask);
  say(fd, s.data, s.length);
  size_t n = hear(fd, out, sizeof out, "server_timing");
  assert_non_null(memmem(out, n, "hello", 5));
  assert_non_null(memmem(out, n, "actions", 7));
  mynah_str_deinit(&m);
  mynah_str_deinit(&s);
  close(fd);
}

/* Messages with some bytes changed, one after the other, in new sessions when the server has ended one. */
static void rubbish_changes_nothing(void **state) {
  (void)state;
  mynah_rng r = mynah_rng_make(4, 4);
  mynah_str m = {0}, s = {0};
  char out[70000];
  int64_t n = mynah_test_soak_seconds() > 0 ? 1000000 : 3000, sessions = 0, before = 0;
  pack_observation(&m, 2, "|u1");
  int fd = open_session();
  for (int64_t i = 0; i < n; i++) {
    s.length = 0;
    mynah__frame_write(&s, MYNAH__WS_BINARY, m.data, m.length, mask);
    for (uint64_t k = mynah_rng_below(&r, 4); k > 0; k--) s.data[mynah_rng_below(&r, s.length)] = (char)mynah_rng_u32(&r);
    ssize_t sent = send(fd, s.data, s.length, MSG_NOSIGNAL);
    if (sent < 0 || i % 50 == 49) {
      close(fd);
      fd = open_session();
      sessions++;
    }
    while (recv(fd, out, sizeof out, MSG_DONTWAIT) > 0) continue;
    if (i == n / 2) before = mynah_alloc_count().live_bytes;
  }
  close(fd);
  close(open_session());
  int64_t after = mynah_alloc_count().live_bytes;
  print_message("%lld frames in %lld sessions; memory %lld before, %lld after\n", (long long)n, (long long)sessions, (long long)before, (long long)after);
  assert_true(after < before + 400000);
  mynah_str_deinit(&m);
  mynah_str_deinit(&s);
}

static void open_doors_need_tokens(void **state) {
  (void)state;
  mynah_serve_config c;
  mynah_server *other;
  mynah_config_default(&mynah_serve_table, &c);
  snprintf(c.host, sizeof c.host, "0.0.0.0");
  c.port = 0;
  assert_int_equal(mynah_server_create(&c, &predictor, "sum", &other), MYNAH_INVALID);
  assert_non_null(strstr(mynah_error(), "token"));
  snprintf(c.host, sizeof c.host, "127.0.0.1");
  c.port = mynah_server_port(server);
  assert_int_equal(mynah_server_create(&c, &predictor, "sum", &other), MYNAH_IO);
  c.port = 0;
  snprintf(c.keys, sizeof c.keys, "observation.none:x");
  assert_int_equal(mynah_server_create(&c, &predictor, "sum", &other), MYNAH_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(good_clients_are_answered), cmocka_unit_test(strangers_get_no_session),
                                     cmocka_unit_test(bad_frames_end_sessions), cmocka_unit_test(slow_and_half_open_clients_end),
                                     cmocka_unit_test(waiting_keeps_nobody_out),
                                     cmocka_unit_test(parts_and_pings_are_taken), cmocka_unit_test(rubbish_changes_nothing),
                                     cmocka_unit_test(open_doors_need_tokens)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
