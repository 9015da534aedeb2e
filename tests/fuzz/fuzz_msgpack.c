/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Messages and frames: what is accepted stays inside its bytes and is packed again into a message that reads the same. */
#include "fuzz.h"

#include "src/serve/msgpack.h"
#include "src/serve/websocket.h"

#include <string.h>

static void read_frames(const uint8_t *data, size_t size) {
  uint8_t *copy = mynah_alloc(size ? size : 1);
  mynah__frame f;
  size_t used = 1, at = 0;
  if (!copy) return;
  if (size) memcpy(copy, data, size);
  while (used > 0 && mynah__frame_read(copy + at, size - at, size % 2, 1 << 16, &f, &used) == MYNAH_OK) {
    FUZZ_CHECK(used <= size - at);
    if (used > 0) FUZZ_CHECK(f.data >= copy + at && f.data + f.bytes <= copy + at + used);
    at += used;
  }
  mynah_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  mynah__message m = {0}, second = {0};
  uint8_t *copy = mynah_alloc(size ? size : 1);
  if (!copy) return 0;
  if (size) memcpy(copy, data, size);
  if (mynah__unpack(copy, size, &m) == MYNAH_OK) {
    mynah_str again = {0}, third = {0};
    mynah__pack_again(&again, &m, m.nodes);
    FUZZ_CHECK(mynah__unpack(again.data, again.length, &second) == MYNAH_OK);
    mynah__pack_again(&third, &second, second.nodes);
    FUZZ_CHECK(third.length == again.length && memcmp(third.data, again.data, again.length) == 0);
    mynah_str_deinit(&again);
    mynah_str_deinit(&third);
  }
  mynah__message_deinit(&m);
  mynah__message_deinit(&second);
  mynah_free(copy);
  read_frames(data, size);
  return 0;
}
