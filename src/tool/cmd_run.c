/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* mynah run: a policy, an expert or a recorded episode at a fixed rate on a robot or simulator, and how well the rate was kept. */
#include "tool.h"

#include <math.h>
#include <string.h>

#define RUN_KEYS(K)                                                                                                  \
  K(STRING, policy, "policy", "", 0, 0, "", "instead of the first argument: a policy file, ws://HOST:PORT, or expert") \
  K(STRING, token, "token", "", 0, 0, "", "policy=ws://…: sent to the server")                                     \
  K(STRING, keys, "keys", "", 0, 0, "", "policy=ws://…: what observations are called there: FEATURE:KEY,…; KEY a>b: b in a map a") \
  K(STRING, prompt, "prompt", "", 0, 0, "", "policy=ws://…: what shall be done, in words, for policies that read it") \
  K(CHOICE, images, "images", "hwc", 0, 0, "hwc|chw", "policy=ws://…: how pictures are sent") \
  K(INT, image_side, "images.size", 0, 0, 2048, "px", "policy=ws://…: pictures are sent as squares, their proportions kept between black bars; 0: as they are") \
  K(FLOAT, timeout_s, "timeout", 5, 0.01, 600, "s", "policy=ws://…: a reply that takes longer has failed")         \
  K(STRING, robot, "robot", "", 0, 0, "", "sim:NAME, or a robot's JSON file (docs/formats.md)")                                                               \
  K(STRING, record, "record", "", 0, 0, "", "what is seen and commanded goes into this dataset")                    \
  K(CHOICE, record_only, "record.only", "all", 0, 0, "all|person", "person: only what the person commands, each stretch an episode") \
  K(STRING, person, "person", "", 0, 0, "", "/dev/input/eventN or terminal; shoulder, space: takes over; start, enter: saves; select, backspace: redoes; north, x: discards; south, y and east, n: mark success, failure; mode, escape: ends") \
  K(STRING, person_map, "person.map", "", 0, 0, "", "CONTROL:ELEMENT[:SCALE],… of axes x y z rx ry rz gas brake hat_x hat_y and keys left/right down/up a/d s/w; empty: x:0,y:1:-1 and the keys alike") \
  K(FLOAT, person_speed, "person.speed", 0, 0, 1e12, "/s", "0: the person's -1 … 1 are the action; else they move it by so much a second") \
  K(CHOICE, view, "view", "none", 0, 0, "none|terminal", "terminal: what the first camera sees, or the numbers, are drawn there") \
  K(STRING, replay, "replay", "", 0, 0, "", "instead of a policy: the actions of an episode of this dataset")       \
  K(INT, replay_episode, "replay.episode", 0, 0, 9.0e15, "", "its id; 0: the first")                                \
  K(FLOAT, low, "limit.low", -1e15, -1e15, 1e15, "", "actions below become this")                       \
  K(FLOAT, high, "limit.high", 1e15, -1e15, 1e15, "", "actions above become this")                      \
  K(FLOAT, velocity, "limit.velocity", 0, 0, 1e12, "/s", "change of an action a second at most; 0: unlimited")      \
  K(FLOAT, acceleration, "limit.acceleration", 0, 0, 1e12, "/s^2", "and of that; 0: unlimited")                     \
  K(FLOAT, jerk, "limit.jerk", 0, 0, 1e12, "/s^3", "and of that; 0: unlimited")

typedef struct run_config {
#define RUN_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  RUN_KEYS(RUN_FIELD)
} run_config;
#define RUN_ROW(type, field, name, value, low, high, unit, help) MYNAH_KEY_OF(run_config, type, field, name, value, low, high, unit, help)
static const mynah_key run_keys[] = {RUN_KEYS(RUN_ROW)};
static const mynah_config_table run_table = {"run", run_keys, sizeof run_keys / sizeof *run_keys, sizeof(run_config)};

/* All of a run; what is NULL was not asked for. */
typedef struct job {
  run_config c;
  mynah_loop_config loop;
  mynah_execute_config execute;
  mynah_clone *clone;
  mynah_predictor *predictor;
  mynah_device *device;
  mynah_person *person;
  float *replay;
  int64_t n_replay;
  mynah_limits *limits;
  view *view;
} job;

static mynah_status load_replay(job *j) {
  mynah_dataset *d;
  if (!j->c.replay[0]) return MYNAH_OK;
  MYNAH_TRY(mynah_dataset_open(j->c.replay, MYNAH_OPEN_READ, &d));
  int64_t i = 0, n = mynah_dataset_n_episodes(d), size = mynah_feature_size(mynah_device_action(j->device));
  while (j->c.replay_episode > 0 && i < n && mynah_dataset_episode(d, i)->id != j->c.replay_episode) i++;
  const mynah_feature *action = mynah_dataset_find(d, "action");
  mynah_status status = MYNAH_OK;
  if (i >= n) status = mynah_fail(MYNAH_NOT_FOUND, "%s: has no such episode", j->c.replay);
  else if (!action || mynah_feature_size(action) != size)
    status = mynah_fail(MYNAH_MISMATCH, "%s: its actions are not the robot's, which have %lld elements", j->c.replay, (long long)size);
  if (status == MYNAH_OK) {
    j->n_replay = mynah_dataset_episode(d, i)->n_frames;
    j->replay = mynah_calloc((size_t)(j->n_replay * size), sizeof(float));
    status = j->replay ? mynah_dataset_read(d, i, "action", 0, j->n_replay, j->replay) : MYNAH_NO_MEMORY;
  }
  mynah_dataset_close(d);
  return status;
}

static double tighter(double a, double b) { return a > 0 && b > 0 ? fmin(a, b) : fmax(a, b); } /* 0: none */

/* What was typed, and what the robot's file says of each joint. */
static mynah_status make_limits(job *j) {
  int64_t n = mynah_feature_size(mynah_device_action(j->device));
  const mynah_joint *joints = j->device->type == &mynah_robot ? mynah_robot_joints(j->device) : NULL;
  const run_config *c = &j->c;
  j->limits = mynah_calloc((size_t)n, sizeof *j->limits);
  if (!j->limits) return MYNAH_NO_MEMORY;
  for (int64_t i = 0; i < n; i++) {
    mynah_limits *l = &j->limits[i];
    *l = (mynah_limits){c->low, c->high, c->velocity, c->acceleration, c->jerk};
    if (joints)
      *l = (mynah_limits){fmax(l->low, joints[i].low), fmin(l->high, joints[i].high), tighter(l->velocity, joints[i].velocity),
                          tighter(l->acceleration, joints[i].acceleration), tighter(l->jerk, joints[i].jerk)};
  }
  return MYNAH_OK;
}

static double number_at(const mynah_json *j, const char *key, const char *part) {
  return mynah_json_to_number(mynah_json_get(mynah_json_get(j, key), part), NAN);
}

static void say_report(const mynah_json *j) {
  tool_say("%lld steps at %.6g Hz: period p50 %.3f ms, p99 %.3f, p99.9 %.3f, max %.3f; %lld deadlines missed",
           (long long)mynah_json_to_integer(mynah_json_get(j, "steps"), 0), mynah_json_to_number(mynah_json_get(j, "rate_hz"), NAN),
           number_at(j, "period_ms", "p50"), number_at(j, "period_ms", "p99"), number_at(j, "period_ms", "p99.9"),
           number_at(j, "period_ms", "max"), (long long)mynah_json_to_integer(mynah_json_get(j, "misses"), 0));
  if (mynah_json_get(j, "infer_ms"))
    tool_say("predictions: %lld, p50 %.3f ms, p99 %.3f; a chunk acts at an age of p50 %.1f ms, p99 %.1f; %lld steps without one",
             (long long)mynah_json_to_integer(mynah_json_get(j, "chunks"), 0), number_at(j, "infer_ms", "p50"),
             number_at(j, "infer_ms", "p99"), number_at(j, "chunk_age_ms", "p50"), number_at(j, "chunk_age_ms", "p99"),
             (long long)mynah_json_to_integer(mynah_json_get(j, "held_steps"), 0));
  tool_say("control thread: %lld allocations, %lld page faults", (long long)mynah_json_to_integer(mynah_json_get(j, "allocations"), 0),
           (long long)mynah_json_to_integer(mynah_json_get(j, "page_faults"), 0));
  const mynah_json *recorded = mynah_json_get(j, "recorded");
  if (recorded)
    tool_say("recorded: %lld episodes, %lld frames; %lld frames dropped, %lld samples late",
             (long long)mynah_json_to_integer(mynah_json_get(recorded, "episodes"), 0), (long long)mynah_json_to_integer(mynah_json_get(recorded, "frames"), 0),
             (long long)mynah_json_to_integer(mynah_json_get(recorded, "dropped"), 0), (long long)mynah_json_to_integer(mynah_json_get(recorded, "late"), 0));
  const char *name;
  const mynah_json *value;
  for (size_t i = 0; mynah_json_entry(mynah_json_get(j, "faults"), i, &name, &value); i++)
    tool_say("fault %s: %lld steps", name, (long long)mynah_json_to_integer(value, 0));
  if ((value = mynah_json_get(j, "first_fault")))
    tool_say("faults %#llx, the first at step %lld (%s); response: %s", (unsigned long long)mynah_json_to_integer(mynah_json_get(j, "fault_code"), 0),
             (long long)mynah_json_to_integer(mynah_json_get(value, "step"), 0),
             mynah_json_to_string(mynah_json_at(mynah_json_get(value, "reasons"), 0), ""), mynah_json_to_string(mynah_json_get(j, "response"), ""));
  for (size_t i = 0; i < mynah_json_size(mynah_json_get(j, "notes")); i++)
    tool_say("%s", mynah_json_to_string(mynah_json_at(mynah_json_get(j, "notes"), i), ""));
}

static bool is_url(const char *path) { return strncmp(path, "ws://", 5) == 0; }

/* What a server sees and commands is what the robot has. */
static mynah_status call_policy(const char *url, job *j) {
  if (!is_url(url)) return MYNAH_OK;
  mynah_remote_config c = {.url = url, .token = j->c.token, .keys = j->c.keys, .prompt = j->c.prompt, .is_planar = j->c.images == 1,
                           .image_side = (int)j->c.image_side, .inputs = j->device->features,
                           .n_inputs = j->device->n_observations, .action = *mynah_device_action(j->device), .timeout_s = j->c.timeout_s};
  return mynah_predictor_remote(&c, &j->predictor);
}

/* "expert", nothing beside replay=, a server, or a policy file. */
static mynah_status load_policy(const tool_args *args, const char *path, job *j) {
  if (!path || strcmp(path, "expert") == 0 || strcmp(path, "person") == 0 || is_url(path)) return MYNAH_OK;
  MYNAH_TRY(tool_load_clone(args, path, &j->clone));
  j->execute = mynah_clone_policy(j->clone)->common.execute;
  return mynah_predictor_of_clone(j->clone, &j->predictor);
}

/* By the recorder's thread: only when the episode is safe. */
static void saved(void *context, int64_t episode, int64_t frames) {
  (void)context;
  tool_say("saved episode %lld: %lld frames", (long long)episode, (long long)frames);
}

static void resetting(void *context, double seconds) {
  (void)context;
  tool_say("reset: %g s, save begins at once", seconds);
}

static mynah_status run_job(const tool_args *args, sim_choice *sim, job *j, mynah_json *result) {
  mynah_config_default(&run_table, &j->c);
  mynah_config_default(&mynah_loop_table, &j->loop);
  mynah_config_default(&mynah_execute_table, &j->execute);
  const char *policy = args->n_positional > 0 ? args->positional[0] : tool_setting(args, "policy");
  MYNAH_TRY(load_policy(args, policy, j));
  if (j->predictor) MYNAH_TRY(sim_choice_fit(sim, j->predictor->policy));
  tool_acting_config acting;
  mynah_config_bind binds[5] = {{&run_table, &j->c}, {&mynah_loop_table, &j->loop}, {&mynah_execute_table, &j->execute}};
  int n = 3;
  if (sim->config) binds[n++] = (mynah_config_bind){sim->type->config, sim->config};
  binds[n++] = (mynah_config_bind){&tool_acting_table, &acting};
  MYNAH_TRY(tool_apply(args, binds, n));
  if (!policy && !j->c.replay[0]) return tool_usage_error("name a policy, or expert, or replay=X.demos");
  MYNAH_TRY(sim->type == &mynah_robot ? mynah_robot_open(j->c.robot, &j->device) : sim->type->open(sim->config, &j->device));
  if (policy) MYNAH_TRY(call_policy(policy, j));
  MYNAH_TRY(load_replay(j));
  MYNAH_TRY(make_limits(j));
  bool is_person_only = policy && strcmp(policy, "person") == 0;
  if (is_person_only && !j->c.person[0]) return tool_usage_error("person=terminal or person=/dev/input/eventN is missing; mynah doctor lists what there is");
  const char *person = strcmp(j->c.person, "terminal") == 0 ? "/dev/tty" : j->c.person;
  if (j->c.view == 1) MYNAH_TRY(view_open(j->device, &j->view));
  if (person[0]) MYNAH_TRY(mynah_person_open(person, j->c.person_map, mynah_feature_size(mynah_device_action(j->device)), &j->person));
  mynah_loop_task task = {.device = j->device,
                          .predictor = j->predictor,
                          .execute = &j->execute,
                          .limits = j->limits,
                          .records_person_only = j->c.record_only == 1, .saved = saved, .resetting = resetting,
                          .watch = j->view ? view_watch : NULL, .watch_context = j->view, .person = j->person,
                          .is_person_only = is_person_only, .person_speed = j->c.person_speed,
                          .stop = sim->type == &mynah_robot ? mynah_robot_stop : NULL,
                          .stop_context = j->device,
                          .replay = j->replay,
                          .n_replay = j->n_replay,
                          .record_path = j->c.record[0] ? j->c.record : NULL};
  MYNAH_TRY(mynah_loop_run(&j->loop, &task, result));
  say_report(result);
  return MYNAH_OK;
}

mynah_status tool_run_robot(const tool_args *args, mynah_json *result) {
  const char *robot = tool_setting(args, "robot");
  sim_choice sim;
  job j = {0};
  if (args->n_positional > 1) return tool_usage_error("takes one policy");
  if (!robot) return tool_usage_error("robot=sim:NAME is missing");
  if (strncmp(robot, "sim:", 4) == 0) MYNAH_TRY(sim_choice_init(&sim, robot + 4));
  else sim = (sim_choice){&mynah_robot, NULL};
  mynah_status status = run_job(args, &sim, &j, result);
  mynah_person_close(j.person);
  view_close(j.view);
  if (j.device) sim.type->close(j.device);
  if (j.predictor) j.predictor->destroy(j.predictor);
  mynah_clone_destroy(j.clone);
  mynah_free(j.replay);
  mynah_free(j.limits);
  sim_choice_deinit(&sim);
  return status;
}

static int tables(const tool_args *args, const mynah_config_table **out) {
  (void)args;
  out[0] = &run_table;
  out[1] = &mynah_loop_table;
  out[2] = &mynah_execute_table;
  out[3] = &tool_acting_table;
  return 4;
}

const tool_command tool_run = {"run",
                               "run POLICY|expert|person robot=sim:NAME|FILE.json [rate=50] [seconds=60] "
                               "[record=X.demos] [replay=X.demos] [key=value ...]",
                               "run a policy at a fixed rate, within limits", tool_run_robot, tables};
