/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* An import that was killed goes on where it was, says the same and makes the same; from other data or settings it does not. */
#include "dataset_case.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EPISODES 7
#define ROWS 80

static char csv[MYNAH_PATH_MAX], out[MYNAH_PATH_MAX], part[MYNAH_PATH_MAX + 8], held[MYNAH_PATH_MAX + 8];

/* Episodes 1 and 4 are bad. */
static void write_csv(int first) {
  mynah_str s = {0};
  mynah_str_printf(&s, "episode,task,action,observation.state\n");
  for (int e = 0; e < EPISODES; e++)
    for (int t = 0; t < ROWS; t++) mynah_str_printf(&s, "%d,go,%d,%s\n", e, first + 100 * e + t, t == 9 && e % 3 == 1 ? "nan" : "1");
  case_ok(mynah_file_write(csv, s.data, s.length));
  mynah_str_deinit(&s);
}

static int set_up(void **state) {
  const char *folder = mynah_test_folder("resume");
  snprintf(csv, sizeof csv, "%s/a.csv", folder);
  snprintf(out, sizeof out, "%s/out.demos", folder);
  snprintf(part, sizeof part, "%s.part", out);
  snprintf(held, sizeof held, "%s.held", out);
  write_csv(0);
  return 0;
}

/* Dies as by SIGKILL when so many rows are done; counts episodes otherwise. */
typedef struct fate {
  double rows;
  int n_told;
} fate;
static void tell(void *context, const char *what, double done, double total, const char *unit, const char *extra) {
  fate *f = context;
  f->n_told++;
  if (f->rows > 0 && done >= f->rows) _exit(9);
}

static mynah_status import(const char *task, fate *f, mynah_import_report *report) {
  const mynah_importer *importer;
  MYNAH_TRY(mynah_importer_find("csv", &importer));
  void *config = mynah_calloc(1, importer->config->bytes);
  if (!config) return MYNAH_NO_MEMORY;
  mynah_config_default(importer->config, config);
  mynah_status status = mynah_config_set(&(mynah_config_bind){importer->config, config}, 1, "task", task);
  mynah_progress p = {tell, f};
  if (status == MYNAH_OK) status = importer->run(csv, out, config, &p, report);
  mynah_free(config);
  return status;
}

static void die_after(double rows) {
  int code;
  pid_t child = fork();
  if (child == 0) {
    mynah_import_report r;
    import("", &(fate){.rows = rows}, &r);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_int_equal(WEXITSTATUS(code), 9);
  assert_true(mynah_file_exists(part));
  assert_false(mynah_file_exists(out));
}

static ino_t inode_of(const char *path) {
  struct stat s;
  assert_int_equal(stat(path, &s), 0);
  return s.st_ino;
}

static void take_result(mynah_import_report *r, char hash[65]) {
  mynah_dataset *d;
  assert_int_equal(r->n_episodes, EPISODES - 2);
  assert_int_equal(r->n_frames, (EPISODES - 2) * ROWS);
  assert_int_equal(r->n_skipped, 2);
  assert_int_equal(mynah_json_size(r->skipped), 2);
  for (int i = 0; i < 2; i++) assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_at(r->skipped, (size_t)i), "episode"), -1), 1 + 3 * i);
  mynah_json_destroy(r->skipped);
  mynah_str note = {0};
  case_ok(mynah_dataset_open(out, MYNAH_OPEN_READ, &d));
  case_verify(d);
  case_ok(mynah_dataset_hash(d, hash));
  assert_int_equal(mynah_dataset_get_note(d, "import progress", &note), MYNAH_NOT_FOUND);
  mynah_dataset_close(d);
  case_ok(mynah_file_remove(out));
  assert_false(mynah_file_exists(part));
}

static void test_goes_on(void **state) {
  mynah_import_report r;
  fate none = {0};
  char whole[65], resumed[65];
  case_ok(import("", &none, &r));
  take_result(&r, whole);
  for (int e = 1; e < EPISODES; e++) {
    die_after(e * ROWS);
    assert_int_equal(link(part, held), 0); /* so that its number is not given to another file */
    ino_t before = inode_of(held);
    if (e % 2) die_after((e + 1) * ROWS); /* twice */
    case_ok(import("", &none, &r));
    assert_int_equal(inode_of(out), before); /* the same file, not another */
    case_ok(mynah_file_remove(held));
    take_result(&r, resumed);
    assert_string_equal(whole, resumed);
  }
}

/* What does not fit to what is there is refused, or begun anew. */
static void test_changed(void **state) {
  mynah_import_report r = {0};
  fate none = {0};
  char hash[65];
  die_after(3 * ROWS);
  static const char other[] = "episode,task,action,observation.state\n0,stay,1,1\n1,stay,1,1\n";
  case_ok(mynah_file_write(csv, other, sizeof other - 1));
  case_fails(import("", &none, &r), MYNAH_MISMATCH, "remove it");
  write_csv(0);
  die_after(3 * ROWS);
  FILE *file = fopen(part, "r+b"); /* damaged by a power cut: begun anew */
  assert_non_null(file);
  for (long at = 0; at < 40000; at += 97) fseek(file, at, SEEK_SET), fputc('x', file);
  fclose(file);
  case_ok(import("", &none, &r));
  take_result(&r, hash);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_goes_on), cmocka_unit_test(test_changed)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
