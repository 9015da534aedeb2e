/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The program end to end, as typed: record, look, train, resume, evaluate, and what it says when typed wrongly. */
#include "support/program.h"
#include "support/shared.h"

#include <mynah/base.h>

#include <math.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *folder;

static void take_text(const mynah_json *j, const char *key, char *out, size_t size) {
  snprintf(out, size, "%s", mynah_json_to_string(mynah_json_get(j, key), ""));
}

static int set_up(void **state) {
  (void)state;
  folder = mynah_test_program_folder();
  mynah_json_destroy(mynah_test_run_json("record sim=track out=d.demos episodes=2 seed=1 max_frames=300"));
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  mynah_test_program_remove();
  return 0;
}

#define SMALL "preset=track data=d.demos image.width=40 image.height=32 cnn.filters=8,8 cnn.kernels=5,3 cnn.strides=2,2 widths=16 side.share=0 valid.by=time"

static void dataset_is_there(void **state) {
  (void)state;
  mynah_json *j = mynah_test_run_json("data info d.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "frames"), 0), 300);
  assert_true(mynah_json_to_integer(mynah_json_get(j, "episodes"), 0) >= 1);
  assert_non_null(mynah_json_get(mynah_json_get(j, "features"), "observation.images.front"));
  mynah_json_destroy(j);
  j = mynah_test_run_json("data lint d.demos fail=never");
  assert_true(mynah_json_is_array(mynah_json_get(j, "findings")));
  mynah_json_destroy(j);
  j = mynah_test_run_json("data verify d.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "damaged"), -1), 0);
  mynah_json_destroy(j);
}

static void threads_give_the_same_file(void **state) {
  (void)state;
  char one[80], two[80];
  mynah_json *j = mynah_test_run_json("train mlp " SMALL " out=t1 steps=40 threads=1");
  take_text(j, "sha256", one, sizeof one);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "steps"), 0), 40);
  assert_true(mynah_json_to_number(mynah_json_get(j, "samples_per_s"), 0) > 0);
  assert_true(isfinite(mynah_json_to_number(mynah_json_get(j, "val_loss"), NAN)));
  mynah_json_destroy(j);
  j = mynah_test_run_json("train mlp " SMALL " out=t2 steps=40 threads=2");
  take_text(j, "sha256", two, sizeof two);
  mynah_json_destroy(j);
  assert_int_equal(strlen(one), 64);
  assert_string_equal(one, two);
}

/* In bfloat16, too; the file says so, and a command may act in another precision. */
static void precision_is_chosen(void **state) {
  (void)state;
  char hash[3][80];
  const char *const keys[3] = {"threads=1", "precision=bf16 threads=1", "precision=bf16 threads=2"};
  for (int i = 0; i < 3; i++) {
    mynah_json *j = mynah_test_run_json("train mlp " SMALL " out=b%d steps=20 %s", i, keys[i]);
    take_text(j, "sha256", hash[i], sizeof hash[i]);
    mynah_json_destroy(j);
  }
  assert_string_not_equal(hash[0], hash[1]);
  assert_string_equal(hash[1], hash[2]);
  for (int i = 0; i < 3; i++) {
    mynah_json *j = mynah_test_run_json("bench b1/policy.safetensors runs=10 %s", i == 0 ? "" : i == 1 ? "precision=f32" : "precision=bf16 batch=8");
    assert_string_equal(mynah_json_to_string(mynah_json_get(j, "precision"), ""), i == 1 ? "float32" : "bfloat16");
    mynah_json_destroy(j);
  }
  mynah_json_destroy(mynah_test_run_json("eval b0/policy.safetensors sim=track episodes=1 limit=5 precision=bf16"));
  char score[2][64]; /* one episode by one thread, and its predictions shared by three: the same */
  for (int k = 0; k < 2; k++) {
    mynah_json *j = mynah_test_run_json("eval b0/policy.safetensors sim=track episodes=1 limit=5 threads=%d", k ? 3 : 1);
    snprintf(score[k], sizeof *score, "%.17g", mynah_json_to_number(mynah_json_get(mynah_json_get(j, "offset_m"), "mean"), NAN));
    mynah_json_destroy(j);
  }
  assert_string_equal(score[0], score[1]);
  assert_true(isfinite(strtod(score[0], NULL)));
  mynah_json_destroy(mynah_test_run_json("run b0/policy.safetensors robot=sim:track rate=50 seconds=0.5 threads=2"));
  mynah_json_destroy(mynah_test_run_json("eval b0/policy.safetensors data=d.demos precision=bf16"));
}

/* What is thrown away after a training is named by comparing the policy's version with the present one. */
static void edits_are_versions(void **state) {
  (void)state;
  char out[512];
  mynah_json_destroy(mynah_test_run_json("data select d.demos episodes=all out=edit.demos"));
  mynah_json_destroy(mynah_test_run_json("data tag edit.demos episodes=1 add=good success=yes"));
  mynah_json_destroy(mynah_test_run_json("train mlp preset=track data=edit.demos image.width=40 image.height=32 cnn.filters=8,8 cnn.kernels=5,3 "
                              "cnn.strides=2,2 widths=16 side.share=0 valid.by=time out=v steps=20"));
  mynah_json_destroy(mynah_test_run_json("data trim edit.demos episodes=1 first=5"));
  mynah_json *j = mynah_test_run_json("data diff v/policy.safetensors edit.demos");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes_removed")), 1);
  assert_int_equal(mynah_json_to_integer(mynah_json_at(mynah_json_get(j, "episodes_removed"), 0), 0), 1);
  assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes_added")), 1);
  mynah_json_destroy(j);
  assert_int_equal(mynah_test_run(out, sizeof out, "data trim edit.demos episodes=all first=9999 2>&1"), 1);
  assert_non_null(strstr(out, "has frames 0"));
}

/* A contact sheet, a page and a copy with smaller pictures; what does not exist is named. */
static void episodes_are_shown(void **state) {
  (void)state;
  char out[4096], path[MYNAH_PATH_MAX];
  int64_t before = 0, after = 0;
  mynah_json_destroy(mynah_test_run_json("data play d.demos out=sheet.png frames=4 width=32"));
  mynah_json_destroy(mynah_test_run_json("data play d.demos episode=1 out=page.html frames=5"));
  mynah_json_destroy(mynah_test_run_json("data reencode d.demos out=small.demos quality=20"));
  mynah_image sheet;
  snprintf(path, sizeof path, "%s/sheet.png", folder);
  assert_int_equal(mynah_image_load(path, &sheet), MYNAH_OK);
  assert_int_equal(sheet.width, 4 * 32);
  mynah_image_deinit(&sheet);
  snprintf(path, sizeof path, "%s/d.demos", folder);
  assert_int_equal(mynah_file_size(path, &before), MYNAH_OK);
  snprintf(path, sizeof path, "%s/small.demos", folder);
  assert_int_equal(mynah_file_size(path, &after), MYNAH_OK);
  assert_true(after < before * 3 / 4);
  assert_int_equal(mynah_test_run(out, sizeof out, "data verify small.demos 2>&1"), 0);
  assert_int_equal(mynah_test_run(out, sizeof out, "data play d.demos 2>&1"), 0);
  assert_non_null(strstr(out, "steering"));
  assert_int_equal(mynah_test_run(out, sizeof out, "data play d.demos episode=77 2>&1"), 1);
  assert_non_null(strstr(out, "has no episode 77"));
  assert_int_equal(mynah_test_run(out, sizeof out, "data play d.demos camera=observation.images.none out=x.png 2>&1"), 1);
  assert_non_null(strstr(out, "observation.images.none"));
}

/* A trained policy, its expert and a recorded episode at a fixed rate; what was commanded is recorded. */
static void policies_run(void **state) {
  (void)state;
  char out[4096];
  mynah_json_destroy(mynah_test_run_json("train mlp " SMALL " out=r steps=10"));
  mynah_json *j = mynah_test_run_json("run r/policy.safetensors robot=sim:track rate=100 seconds=0.5 limit.low=-1 limit.high=1 record=run.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "steps"), 0), 50);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "allocations"), -1), 0);
  assert_true(mynah_json_to_integer(mynah_json_get(j, "chunks"), 0) > 0);
  const mynah_json *period = mynah_json_get(j, "period_ms");
  assert_true(mynah_json_to_number(mynah_json_get(period, "p50"), 0) > 5);
  assert_true(mynah_json_to_number(mynah_json_get(period, "max"), 0) >= mynah_json_to_number(mynah_json_get(period, "p99"), 1e9));
  assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_get(j, "recorded"), "frames"), 0), 50);
  mynah_json_destroy(j);
  assert_int_equal(mynah_test_run(out, sizeof out, "data verify run.demos 2>&1"), 0);
  j = mynah_test_run_json("run replay=run.demos robot=sim:track rate=500 seconds=10");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "steps"), 0), 50);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("run expert robot=sim:track rate=500 seconds=0.1"));
  assert_int_equal(mynah_test_run(out, sizeof out, "run r/policy.safetensors robot=sim:pusht seconds=0.1 2>&1"), 1);
  assert_non_null(strstr(out, "observation.images.front"));
  assert_int_equal(mynah_test_run(out, sizeof out, "run robot=sim:pusht 2>&1"), 2);
}

/* Typed at a terminal: one saved and marked, one done again, one thrown away, one saved as a failure. */
static void people_record(void **state) {
  static const char *const typed[] = {"\x1b[C", "y\r", "a", "\x7f", "d", "x", "d", "n\r", "a", "\x1b"};
  (void)state;
  int master, slave, code;
  char path[128], command[256];
  assert_int_equal(openpty(&master, &slave, path, NULL, NULL), 0);
  snprintf(command, sizeof command, "record sim=track source=person person=%s rate=50 reset.seconds=0.1 out=person.demos", path);
  pid_t child = mynah_test_start("person.log", command);
  usleep(1000000); /* it has begun */
  for (size_t i = 0; i < sizeof typed / sizeof *typed; i++, usleep(400000)) assert_true(write(master, typed[i], strlen(typed[i])) > 0);
  assert_int_equal(waitpid(child, &code, 0), child);
  assert_int_equal(code, 0);
  close(master);
  close(slave);
  mynah_json *j = mynah_test_run_json("data list person.demos");
  const mynah_json *list = mynah_json_get(j, "episodes"), *one = mynah_json_at(list, 0), *two = mynah_json_at(list, 1);
  assert_int_equal(mynah_json_size(list), 3); /* what was open at the end is kept, too */
  assert_true(mynah_json_to_bool(mynah_json_get(one, "success"), false));
  assert_false(mynah_json_to_bool(mynah_json_get(two, "success"), true));
  assert_string_equal(mynah_json_to_string(mynah_json_get(one, "expert"), ""), "a person");
  mynah_json_destroy(j);
}

/* Actions from a text file, from a command that sees what there is, and from another dataset: which gives the same frames again. */
static void scripts_record(void **state) {
  (void)state;
  char out[4096];
  mynah_json *j = mynah_test_run_json("record sim=track source=script script=d.demos out=again.demos");
  int64_t n = mynah_json_to_integer(mynah_json_get(j, "episodes"), 0);
  mynah_json_destroy(j);
  j = mynah_test_run_json("data diff d.demos again.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "episodes_kept"), 0), n);
  assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes_added")), 0);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("record sim=track source=script script=\"|printf 'steer,go\\n0.1,1\\n0.2 1\\n\\n0.3 1\\n'\" out=s.demos"));
  j = mynah_test_run_json("record sim=track source=script out=s.demos script=\"|while read x; do echo \\$x >> seen; "
                          "case \\$x in *'step\\\":4'*) echo;; *'episode\\\":2'*) exit;; *) echo 0 1;; esac; done\"");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "episodes"), 0), 2);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "frames"), 0), 8);
  mynah_json_destroy(j);
  j = mynah_test_run_json("data list s.demos");
  assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes")), 4); /* added to what was there */
  mynah_json_destroy(j);
  assert_int_equal(mynah_test_run(out, sizeof out, "record sim=track source=script out=s.demos script='|echo 1' 2>&1"), 1);
  assert_non_null(strstr(out, "line 1: number 2 of 2 is missing"));
  assert_int_equal(mynah_test_run(out, sizeof out, "record sim=track source=script out=s.demos script='|echo 1 2 3' 2>&1"), 1);
  assert_int_equal(mynah_test_run(out, sizeof out, "record sim=track source=script out=s.demos script='|false' 2>&1"), 1);
  assert_int_equal(mynah_test_run(out, sizeof out, "record robot=x.json out=s.demos 2>&1"), 2);
}

/* A day's use: record, throw away, mark, split, train; the policy names the version that it saw, and later edits are told from it. */
static void a_day(void **state) {
  (void)state;
  char out[4096], hash[80], path[MYNAH_PATH_MAX], *text;
  size_t n;
  mynah_json *j = mynah_test_run_json("record sim=track source=expert episodes=20 limit=5 seed=1 out=day.demos");
  assert_int_equal(mynah_json_to_integer(mynah_json_get(j, "episodes"), 0), 20);
  mynah_json_destroy(j);
  assert_int_equal(mynah_test_run(out, sizeof out, "data lint day.demos fail=error 2>&1"), 0);
  mynah_json_destroy(mynah_test_run_json("data delete day.demos episodes=3,7-8"));
  mynah_json_destroy(mynah_test_run_json("data tag day.demos episodes=1,2,4-6 add=good success=yes"));
  mynah_json_destroy(mynah_test_run_json("data split day.demos valid=0.2 test=0.1 seed=4 by=success"));
  j = mynah_test_run_json("data list day.demos");
  const mynah_json *list = mynah_json_get(j, "episodes");
  int n_parts[3] = {0};
  for (size_t i = 0; i < mynah_json_size(list); i++) {
    const char *part = mynah_json_to_string(mynah_json_get(mynah_json_at(list, i), "part"), "");
    for (int k = 0; k < 3; k++) n_parts[k] += strcmp(part, (const char *const[]){"train", "valid", "test"}[k]) == 0;
  }
  assert_int_equal(n_parts[0] + n_parts[1] + n_parts[2], 17);
  assert_true(n_parts[1] >= 2 && n_parts[2] >= 1);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("train mlp data=day.demos inputs=observation.state widths=16 chunk=2 steps=20 batch=16 out=day"));
  j = mynah_test_run_json("data version day.demos name=first");
  take_text(j, "hash", hash, sizeof hash);
  mynah_json_destroy(j);
  snprintf(path, sizeof path, "%s/day/policy.safetensors", folder);
  assert_int_equal(mynah_file_read(path, (size_t)64 << 20, &text, &n), MYNAH_OK);
  assert_int_equal(strlen(hash), 64);
  assert_non_null(memmem(text, n, hash, 64));
  mynah_free(text);
  mynah_json_destroy(mynah_test_run_json("data undelete day.demos episodes=3"));
  mynah_json_destroy(mynah_test_run_json("data delete day.demos episodes=good"));
  const char *const froms[] = {"day/policy.safetensors", "day.demos@first"};
  for (int k = 0; k < 2; k++) {
    j = mynah_test_run_json("data diff %s day.demos", froms[k]);
    assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes_removed")), 5);
    assert_int_equal(mynah_json_size(mynah_json_get(j, "episodes_added")), 1);
    mynah_json_destroy(j);
  }
}

/* Killed in the middle and resumed, a run ends in the same file as one left alone. */
static void killed_runs_resume(void **state) {
  (void)state;
  char whole[80], resumed[80], out[512];
  mynah_json *j = mynah_test_run_json("train mlp " SMALL " out=w steps=200 checkpoint.every=10");
  take_text(j, "sha256", whole, sizeof whole);
  mynah_json_destroy(j);
  int status = mynah_test_run(out, sizeof out, "train mlp " SMALL " out=k steps=200 checkpoint.every=10 --quiet & sleep 0.3; kill -9 $!; wait 2>/dev/null; "
                                    "test -f k/config.json");
  if (status != 0) { /* killed before it began: begin again */
    j = mynah_test_run_json("train mlp " SMALL " out=k2 steps=200 checkpoint.every=10");
  } else {
    j = mynah_test_run_json("train resume=k");
  }
  take_text(j, "sha256", resumed, sizeof resumed);
  mynah_json_destroy(j);
  assert_string_equal(whole, resumed);
}

#define TINY "data=d.demos inputs=observation.state steps=40 batch=32 checkpoint.every=10 valid.by=time "
#define ACT "act " TINY "chunk=8 dim=16 heads=2 feed_forward=24 encoder.layers=1 vae.layers=1 vae.latent=4 mask=true"
#define UNET "n_obs=2 chunk=7 unet.widths=16,16,16 diffusion.step.width=8 "
#define TRANSFORMER "denoiser=transformer width=16 heads=2 hidden=24 blocks=1 "

/* One thread, two, and killed as soon as there is a checkpoint and resumed: the same file, by every policy. */
static void every_policy_trains_alike(void **state) {
  static const char *const policies[] = {"mlp " TINY "chunk=4 widths=16 head=gmm modes=2 members=2",
                                         "rnn " TINY "sequence=4 hidden=12 layers=2 head=gmm modes=2",
                                         ACT,
                                         "diffusion " TINY UNET,
                                         "flow " TINY "n_obs=2 chunk=8 flow.prefix=3 " TRANSFORMER};
  char hash[3][80], out[2048];
  (void)state;
  for (size_t k = 0; k < sizeof policies / sizeof *policies; k++) {
    for (int t = 1; t <= 2; t++) {
      mynah_json *j = mynah_test_run_json("train %s out=p%zu-%d threads=%d", policies[k], k, t, t);
      take_text(j, "sha256", hash[t - 1], sizeof hash[0]);
      mynah_json_destroy(j);
    }
    mynah_test_run(out, sizeof out, "train %s out=p%zu --quiet & p=$!; while kill -0 $p && ! ls p%zu/checkpoints/*; do sleep 0.005; done; kill -9 $p; wait",
        policies[k], k, k);
    mynah_json *j = mynah_test_run_json("train resume=p%zu", k);
    take_text(j, "sha256", hash[2], sizeof hash[0]);
    mynah_json_destroy(j);
    for (int i = 1; i < 3; i++)
      if (strcmp(hash[0], hash[i]) != 0) fail_msg("%s: %s differs", policies[k], i == 1 ? "two threads" : "resumed");
    mynah_json_destroy(mynah_test_run_json("eval p%zu-1/policy.safetensors sim=track episodes=1 limit=5", k));
  }
}

/* A checkpoint written for LeRobot and read again is the same policy; what is missing or unknown is named. */
static void lerobot_and_back(void **state) {
  (void)state;
  static const struct {
    const char *damage, *says;
  } cases[] = {{"rm policy_preprocessor_step_3_normalizer_processor.safetensors", "policy_preprocessor_step_3_normalizer_processor.safetensors"},
               {"sed -i 's/\"dim_model\": 16/\"dim_model\": 24/' config.json", "model.vae_encoder_cls_embed.weight"},
               {"sed -i 's/\"dim_model\"/\"dim_modle\"/' config.json", "dim_modle"},
               {"sed -i 's/to_batch_processor/to_space_processor/' policy_preprocessor.json", "to_space_processor"},
               {"sed -i 's/resnet18/resnet101/' config.json", "vision_backbone"},
               {"sed -i 's/\"n_encoder_layers\": 1/\"n_encoder_layers\": 2/' config.json", "lacks 'model.encoder.layers.1."},
               {"sed -i 's/\"use_vae\": true/\"use_vae\": false/' config.json", "has no place in the policy"},
               {"head -c 3000 model.safetensors > m && mv m model.safetensors", "model.safetensors"},
               {"echo '{' > config.json", "config.json"}};
  char out[4096];
  mynah_json_destroy(mynah_test_run_json("train %s out=l", ACT));
  mynah_json_destroy(mynah_test_run_json("export-policy lerobot l/policy.safetensors out=lr"));
  mynah_json *j = mynah_test_run_json("import-policy lerobot lr out=l2.safetensors");
  assert_string_equal(mynah_json_to_string(mynah_json_get(j, "type"), ""), "act");
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("selfcheck l2.safetensors"));
  mynah_json *pair = mynah_test_run_json("eval l/policy.safetensors l2.safetensors sim=track episodes=1 limit=5");
  const mynah_json *autonomy = mynah_json_get(mynah_json_get(pair, "difference"), "autonomy");
  assert_true(fabs(mynah_json_to_number(mynah_json_get(autonomy, "difference"), 9)) < 1e-6);
  mynah_json_destroy(pair);
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    int status = mynah_test_run(out, sizeof out,
                     "--help > /dev/null; rm -rf bad; cp -r lr bad && cd bad && %s; cd ..; $MYNAH_PROGRAM "
                     "import-policy lerobot bad out=b.safetensors 2>&1",
                     cases[k].damage);
    if (status != 1 || !strstr(out, cases[k].says)) fail_msg("%s: status %d: %s", cases[k].damage, status, out);
  }
  assert_int_equal(mynah_test_run(out, sizeof out, "--help > /dev/null; test -e b.safetensors"), 1);
}

static void evaluation_has_the_contract(void **state) {
  (void)state;
  mynah_json_destroy(mynah_test_run_json("train mlp " SMALL " out=e steps=30"));
  mynah_json *j = mynah_test_run_json("eval e/policy.safetensors sim=track episodes=2 limit=5");
  const char *const keys[] = {"autonomy", "finished", "offset_m", "departures_per_km", "seconds", "infer_ms"};
  for (size_t i = 0; i < 6; i++)
    if (!mynah_json_get(j, keys[i])) fail_msg("'%s' is missing", keys[i]);
  assert_int_equal(mynah_json_size(mynah_json_get(mynah_json_get(j, "autonomy"), "ci")), 2);
  assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_get(j, "finished"), "n"), 0), 2);
  mynah_json_destroy(j);
  j = mynah_test_run_json("eval e/policy.safetensors expert sim=track episodes=2 limit=5");
  assert_non_null(mynah_json_get(mynah_json_get(j, "difference"), "autonomy"));
  mynah_json_destroy(j);
  j = mynah_test_run_json("eval e/policy.safetensors data=d.demos");
  assert_non_null(mynah_json_get(mynah_json_get(j, "steering"), "correlation"));
  mynah_json_destroy(j);
  char out[4096];
  assert_int_equal(mynah_test_run(out, sizeof out, "eval e/policy.safetensors sim=pusht episodes=1 2>&1"), 1);
  assert_non_null(strstr(out, "observation.images.front"));
}

/* Closed-loop evaluation while training gives the same files for any number of threads; an evaluation may execute chunks
 * otherwise than the file says. */
static void evaluated_while_training(void **state) {
  (void)state;
  char one[80], two[80];
  const char *typed = "train mlp data=pole.demos widths=8 chunk=4 steps=20 eval.sim=cartpole eval.every=10 eval.episodes=2 checkpoint.policies=3";
  mynah_json_destroy(mynah_test_run_json("record sim=cartpole out=pole.demos episodes=4 max_frames=600"));
  mynah_json *j = mynah_test_run_json("%s out=v1 threads=1", typed);
  take_text(j, "sha256", one, sizeof one);
  assert_true(isfinite(mynah_json_to_number(mynah_json_get(j, "best_score"), NAN)));
  mynah_json_destroy(j);
  j = mynah_test_run_json("%s out=v2 threads=2", typed);
  take_text(j, "sha256", two, sizeof two);
  mynah_json_destroy(j);
  assert_string_equal(one, two);
  j = mynah_test_run_json("selfcheck v1/policy.safetensors");
  assert_true(mynah_json_to_number(mynah_json_get(j, "error"), 1) == 0);
  mynah_json_destroy(j);
  mynah_json_destroy(mynah_test_run_json("eval v1/policies/20.safetensors sim=cartpole episodes=1"));
  j = mynah_test_run_json("eval v1/policy-last.safetensors sim=cartpole episodes=2 execute.mode=blend execute.steps=2 execute.delay_steps=1");
  assert_true(mynah_json_to_number(mynah_json_get(j, "stale_share"), 0) > 0.4); /* each second action is behind */
  assert_true(mynah_json_to_number(mynah_json_get(j, "seam_jump"), -1) >= 0);
  assert_true(mynah_json_to_number(mynah_json_get(j, "jerk"), -1) >= 0);
  mynah_json_destroy(j);
}

#define TINY_CAR "image.width=16 image.height=16 cnn.filters=4 cnn.kernels=5 cnn.strides=2 widths=8 steps=5"

/* Rounds of driving and labelling; the same seed gives the same policies. */
static void dagger_repairs(void **state) {
  (void)state;
  char hash[2][70];
  for (int k = 0; k < 2; k++) {
    mynah_json *j = mynah_test_run_json("dagger sim=track out=dagger%d " TINY_CAR " rounds=1 frames=60 round.episodes=3 eval.episodes=2 threads=%d", k, k + 1);
    const mynah_json *rounds = mynah_json_get(j, "rounds"), *last = mynah_json_at(rounds, 1);
    assert_int_equal(mynah_json_size(rounds), 2);
    assert_int_equal(mynah_json_to_integer(mynah_json_get(last, "frames"), 0), 120);
    assert_int_equal(mynah_json_to_integer(mynah_json_get(mynah_json_get(last, "finished"), "n"), 0), 2);
    assert_non_null(mynah_json_get(mynah_json_get(j, "plain"), "autonomy"));
    char path[192];
    snprintf(path, sizeof path, "%s/%s", folder, mynah_json_to_string(mynah_json_get(last, "policy"), ""));
    assert_int_equal(mynah_sha256_file(path, hash[k]), MYNAH_OK);
    mynah_json_destroy(j);
  }
  assert_string_equal(hash[0], hash[1]);
  mynah_json *j = mynah_test_run_json("drift dagger0/round-0/policy.safetensors dagger0/round-1/policy.safetensors sim=track limit=10 "
                           "data=dagger0/labelled.demos episodes=3 stress.episodes=1 neighbours=2 out=drift");
  const char *const keys[] = {"own_states", "growth", "distance", "recovery", "stress", "alarm"};
  for (size_t i = 0; i < 6; i++)
    if (!mynah_json_get(mynah_json_get(j, "after"), keys[i])) fail_msg("'%s' is missing", keys[i]);
  mynah_json_destroy(j);
  char path[192], page[192];
  snprintf(path, sizeof path, "%s/drift/drift.json", folder);
  snprintf(page, sizeof page, "%s/drift/drift.html", folder);
  assert_int_equal(mynah_json_load(path, &j), MYNAH_OK);
  mynah_json_destroy(j);
  assert_true(mynah_file_exists(page));
}

/* Rollouts of other people's experts, imported, cloned in a second, measured in our ports. */
static double clone_rollouts(const char *sim, const char *npz, const char *settings) {
  char source[MYNAH_PATH_MAX];
  if (!realpath(mynah_test_shared(npz), source)) fail();
  mynah_json_destroy(mynah_test_run_json("import rollouts %s out=%s.demos", source, sim));
  mynah_json_destroy(mynah_test_run_json("train mlp data=%s.demos out=%s normalize=meanstd %s", sim, sim, settings));
  mynah_json *j = mynah_test_run_json("eval %s/policy.safetensors sim=%s episodes=200", sim, sim);
  double mean = mynah_json_to_number(mynah_json_get(mynah_json_get(j, "return"), "mean"), NAN);
  mynah_json_destroy(j);
  return mean;
}

static void rollouts_are_cloned(void **state) {
  (void)state;
  assert_true(clone_rollouts("cartpole", "data/imitation_rollouts/cartpole_0_rollouts_final.npz",
                             "head=categorical act=best widths=64,64 epochs=10") >= 475);
  assert_true(clone_rollouts("pendulum", "data/imitation_rollouts/pendulum_0_rollouts_final.npz",
                             "normalize.action=meanstd widths=128,128 epochs=40") >= -189.4 * 1.1); /* the expert's mean */
}

static void mistakes_are_named(void **state) {
  (void)state;
  static const struct {
    const char *typed;
    int status;
    const char *says;
  } cases[] = {
      {"trian", 2, "train"},
      {"train mlp data=d.demos out=x lernrate=1", 2, "unknown key"},
      {"train mlp data=d.demos out=x bacth=1", 2, "batch"},
      {"train mlp data=d.demos out=x batch=-1", 2, "batch"},
      {"train mlp out=x", 2, "data="},
      {"train mpl data=d.demos out=x", 2, "mlp"},
      {"train mlp data=none.demos out=x", 1, "none.demos"},
      {"train mlp preset=trak data=d.demos out=x", 2, "track"},
      {"train mlp data=d.demos out=x eval.sim=track eval.seed=99990", 1, "testing"},
      {"eval none.safetensors sim=track execute.mode=quick", 2, "receding"},
      {"train mlp data=d.demos out=x precision=f16", 2, "bf16"},
      {"eval none.safetensors sim=track precision=f16", 2, "bf16"},
      {"run none.safetensors robot=sim:track precision=f16", 2, "bf16"},
      {"bench none.safetensors precision=f16", 2, "bf16"},
      {"eval none.safetensors sim=track", 1, "none.safetensors"},
      {"eval none.safetensors sim=trak", 2, "track"},
      {"import zarr none out=x.demos", 1, "none"},
      {"import zaar none out=x.demos", 2, "zarr"},
      {"import rollouts none out=x.demos", 1, "none"},
      {"data info none.demos", 1, "none.demos"},
      {"data inof d.demos", 2, "info"},
      {"dagger sim=track", 2, "out="},
      {"drift none.safetensors sim=track", 1, "none.safetensors"},
      {"drift sim=track", 2, "policy"},
      {"dagger sim=track out=x method=dager", 2, "dagger"},
      {"dagger sim=track out=x policy=mpl", 2, "mlp"},
      {"record sim=track out=x.demos cameras=7", 2, "cameras"},
  };
  char out[8192];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int status = mynah_test_run(out, sizeof out, "%s 2>&1", cases[i].typed);
    if (status != cases[i].status || !strstr(out, cases[i].says))
      fail_msg("mynah %s: exit status %d (expected %d), said: %s", cases[i].typed, status, cases[i].status, out);
  }
  char path[128];
  snprintf(path, sizeof path, "%s/x.demos", folder);
  assert_false(mynah_file_exists(path));
}

static void help_everywhere(void **state) {
  (void)state;
  static const char *const commands[] = {"demo", "import", "data", "record", "train", "eval", "bench", "doctor", "dagger", "drift", "selfcheck"};
  static char out[1 << 16];
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    assert_int_equal(mynah_test_run(out, sizeof out, "%s --help", commands[i]), 0);
    assert_non_null(strstr(out, "usage: mynah"));
  }
  assert_int_equal(mynah_test_run(out, sizeof out, "--version"), 0);
  assert_int_equal(mynah_test_run(out, sizeof out, "doctor --json --quiet"), 0);
  assert_null(strstr(out, "\"ref:"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(dataset_is_there),         cmocka_unit_test(threads_give_the_same_file),
      cmocka_unit_test(precision_is_chosen),
      cmocka_unit_test(episodes_are_shown),       cmocka_unit_test(a_day),
      cmocka_unit_test(people_record), cmocka_unit_test(scripts_record), cmocka_unit_test(policies_run),
      cmocka_unit_test(killed_runs_resume),       cmocka_unit_test(every_policy_trains_alike),
      cmocka_unit_test(lerobot_and_back),         cmocka_unit_test(evaluation_has_the_contract),
      cmocka_unit_test(evaluated_while_training), cmocka_unit_test(edits_are_versions),
      cmocka_unit_test(dagger_repairs),           cmocka_unit_test(rollouts_are_cloned),
      cmocka_unit_test(mistakes_are_named),       cmocka_unit_test(help_everywhere)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
