/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Runs a fuzz target over its seeds and kept crash files, and over a few changed copies of each: fuzzing as a test.
 *
 * usage: fuzz_NAME FOLDER...      (files in the folders, in order of name) */
#include "fuzz.h"

#include <mynah/base.h>

#include <stdio.h>
#include <string.h>

#define MAX_BYTES ((size_t)4 << 20)
#define N_CHANGED 200

/* Its own block each time, so that a sanitizer sees a read past the end. */
static int run(const char *data, size_t n) {
  uint8_t *copy = mynah_alloc(n);
  if (!copy) return 1;
  if (n > 0) memcpy(copy, data, n);
  LLVMFuzzerTestOneInput(copy, n);
  mynah_free(copy);
  return 0;
}

/* Cuts, overwrites, inserts and repeats at random places: the same ones each time. */
static int run_changed(mynah_rng *r, const char *data, size_t n) {
  size_t capacity = 2 * n + 16, length = n;
  char *changed = mynah_alloc(capacity);
  if (!changed) return 1;
  memcpy(changed, data, n);
  for (uint64_t i = 0, n_edits = 1 + mynah_rng_below(r, 4); i < n_edits && length > 0; i++) {
    size_t at = (size_t)mynah_rng_below(r, length);
    uint32_t kind = mynah_rng_u32(r) % 5, byte = mynah_rng_u32(r);
    if (kind == 0) changed[at] = (char)byte;
    else if (kind == 1) changed[at] = (char)(changed[at] ^ 1 << byte % 8);
    else if (kind == 2) length = at;
    else if (kind == 3 && length + 1 < capacity) {
      memmove(changed + at + 1, changed + at, length - at);
      changed[at] = (char)byte;
      length++;
    } else if (kind == 4) {
      size_t from = (size_t)mynah_rng_below(r, length), span = length - (at > from ? at : from);
      memmove(changed + at, changed + from, span < 16 ? span : 16);
    }
  }
  int status = run(changed, length);
  mynah_free(changed);
  return status;
}

static int run_folder(const char *folder) {
  char **names, path[MYNAH_PATH_MAX], *data;
  size_t n_names, n;
  if (mynah_list_dir(folder, &names, &n_names) != MYNAH_OK) return fprintf(stderr, "%s\n", mynah_error()), 1;
  int status = n_names == 0;
  for (size_t i = 0; i < n_names; i++) {
    if (mynah_path_join(path, sizeof path, folder, names[i]) != MYNAH_OK ||
        mynah_file_read(path, MAX_BYTES, &data, &n) != MYNAH_OK) {
      fprintf(stderr, "%s\n", mynah_error());
      status = 1;
      continue;
    }
    mynah_rng r = mynah_rng_make(1, i);
    status |= run(data, n);
    for (int k = 0; k < N_CHANGED; k++) status |= run_changed(&r, data, n);
    mynah_free(data);
  }
  printf("%s: %zu files, %d changed copies of each\n", folder, n_names, N_CHANGED);
  mynah_names_free(names, n_names);
  return status;
}

int main(int argc, char **argv) {
  int status = argc < 2;
  for (int i = 1; i < argc; i++) status |= run_folder(argv[i]);
  if (mynah_alloc_count().live_blocks != 0) {
    fprintf(stderr, "%lld blocks leaked\n", (long long)mynah_alloc_count().live_blocks);
    status = 1;
  }
  return status;
}
