/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Observations as messages: names, maps within maps, how pictures lie and what size they have; there and back. */
#include "src/serve/observation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define W 8
#define H 4

static mynah_feature features[3];
static float state[2] = {1.5f, -2};
static uint8_t eye[H * W * 3], hand[H * W * 3];
static mynah_value values[3];

static int set_up(void **context) {
  features[0] = mynah_feature_vector("observation.state", 2, "", "");
  features[1] = mynah_feature_image("observation.images.eye", H, W);
  features[2] = mynah_feature_image("observation.images.hand", H, W);
  for (int i = 0; i < H * W * 3; i++) eye[i] = (uint8_t)(10 * (i % 3) + i / 3), hand[i] = 200;
  values[0] = (mynah_value){state, sizeof state, 0};
  values[1] = (mynah_value){eye, sizeof eye, 0};
  values[2] = (mynah_value){hand, sizeof hand, 0};
  return 0;
}

/* Writes with one, unpacks. */
static void send(mynah__observation *o, mynah__message *m, mynah_str *s) {
  s->length = 0;
  if (mynah__observation_prepare(o) != MYNAH_OK || mynah__observation_write(o, values, s) != MYNAH_OK) fail_msg("%s", mynah_error());
  if (mynah__unpack(s->data, s->length, m) != MYNAH_OK) fail_msg("%s", mynah_error());
}

static void as_they_are(void **context) {
  mynah__observation o;
  mynah__message m = {0};
  mynah_str s = {0};
  mynah_value back[3];
  assert_int_equal(mynah__observation_init(&o, features, 3, ""), MYNAH_OK);
  send(&o, &m, &s);
  assert_null(mynah__pack_get(&m, m.nodes, "prompt"));
  assert_int_equal(mynah__observation_read(&o, &m, back), MYNAH_OK);
  for (int i = 0; i < 3; i++) assert_memory_equal(back[i].data, values[i].data, values[i].bytes);
  o.images = MYNAH__IMAGES_CHW;
  assert_int_equal(mynah__observation_read(&o, &m, back), MYNAH_MISMATCH);
  mynah__observation_deinit(&o);
  mynah__message_deinit(&m);
  mynah_str_deinit(&s);
}

static void as_another_robot_sends(void **context) {
  mynah__observation o;
  mynah__message m = {0};
  mynah_str s = {0};
  mynah_value back[3];
  const char *keys = "observation.state:state,observation.images.eye:images>cam_high,observation.images.hand:images>cam_low";
  assert_int_equal(mynah__observation_init(&o, features, 3, keys), MYNAH_OK);
  o.images = MYNAH__IMAGES_CHW;
  o.prompt = "put it there";
  send(&o, &m, &s);
  assert_int_equal(m.nodes[0].n, 3); /* state, images, prompt */
  assert_non_null(mynah__pack_get(&m, m.nodes, "prompt"));
  const mynah__pack *v = mynah__pack_get(&m, m.nodes, "images/cam_high");
  assert_non_null(v);
  assert_int_equal(v->shape[0], 3);
  assert_int_equal(v->shape[2], W);
  assert_int_equal(v->data[H * W + 5], eye[3 * 5 + 1]);
  assert_non_null(mynah__pack_get(&m, m.nodes, "images/cam_low"));
  assert_int_equal(mynah__observation_read(&o, &m, back), MYNAH_OK);
  for (int i = 0; i < 3; i++) assert_memory_equal(back[i].data, values[i].data, values[i].bytes);
  o.images = MYNAH__IMAGES_HWC;
  assert_int_equal(mynah__observation_read(&o, &m, back), MYNAH_MISMATCH);
  mynah__observation_deinit(&o);
  mynah__message_deinit(&m);
  mynah_str_deinit(&s);
}

/* A wide picture in a square: bars above and below; taken back into another shape: stretched or with bars again. */
static void squares_are_padded(void **context) {
  mynah__observation o, p;
  mynah__message m = {0};
  mynah_str s = {0};
  mynah_value back[1];
  mynah_feature tall = mynah_feature_image("observation.images.hand", 16, 8);
  assert_int_equal(mynah__observation_init(&o, &features[2], 1, ""), MYNAH_OK);
  o.side = 16;
  values[0] = values[2];
  send(&o, &m, &s);
  set_up(NULL);
  const mynah__pack *v = mynah__pack_get(&m, m.nodes, "observation.images.hand");
  assert_int_equal(v->shape[0], 16);
  assert_int_equal(v->shape[1], 16);
  for (int y = 0; y < 16; y++) assert_int_equal(v->data[(y * 16 + 7) * 3], y >= 4 && y < 12 ? 200 : 0);
  assert_int_equal(mynah__observation_init(&p, &tall, 1, ""), MYNAH_OK);
  assert_int_equal(mynah__observation_read(&p, &m, back), MYNAH_OK);
  assert_int_equal(((const uint8_t *)back[0].data)[(1 * 8 + 4) * 3], 0);
  assert_int_equal(((const uint8_t *)back[0].data)[(8 * 8 + 4) * 3], 200);
  p.is_padded = true;
  assert_int_equal(mynah__observation_read(&p, &m, back), MYNAH_OK);
  int n_bright = 0;
  for (int y = 0; y < 16; y++) n_bright += ((const uint8_t *)back[0].data)[(y * 8 + 4) * 3] > 100;
  assert_int_equal(n_bright, 4); /* half of the 8 rows that the square takes */
  mynah__observation_deinit(&o);
  mynah__observation_deinit(&p);
  mynah__message_deinit(&m);
  mynah_str_deinit(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(as_they_are), cmocka_unit_test(as_another_robot_sends), cmocka_unit_test(squares_are_padded)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
