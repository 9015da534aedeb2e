/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Push-T as gym-pusht 0.1.8 has it: the same engine, the same order of operations, the same numbers. */
#include "pusht.h"

#include <mynah/dataset.h>

#include <chipmunk/chipmunk.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define PUSHT_KEYS(K)                                                                              \
  K(BOOL, image, "image", false, 0, 1, "", "also observe a 96 x 96 picture: observation.images.top") \
  K(INT, max_steps, "max_steps", 300, 1, 1000000, "steps", "an episode ends here at the latest")   \
  K(BOOL, ends_at_success, "ends_at_success", true, 0, 1, "", "an episode ends when coverage is over 0.95")

typedef struct pusht_config {
#define PUSHT_FIELD(type, field, name, value, low, high, unit, help) MYNAH_FIELD_##type(field)
  PUSHT_KEYS(PUSHT_FIELD)
} pusht_config;
#define PUSHT_ROW(type, field, name, value, low, high, unit, help)                                 \
  MYNAH_KEY_OF(pusht_config, type, field, name, value, low, high, unit, help)
static const mynah_key pusht_keys[] = {PUSHT_KEYS(PUSHT_ROW)};
static const mynah_config_table pusht_table = {"sim=pusht", pusht_keys, sizeof pusht_keys / sizeof *pusht_keys,
                                               sizeof(pusht_config)};

#define RATE_HZ 10
#define SUBSTEPS 10
#define DT 0.01   /* s */
#define K_P 100.0 /* 1/s^2 */
#define K_V 20.0  /* 1/s */
#define SUCCESS 0.95
#define TWO_PI 6.283185307179586
#define N_KEYPOINTS 9

/* Keypoints of the demonstrations in the block's frame, px: medians over the 25,650 recorded frames. */
static const double keypoints[N_KEYPOINTS][2] = {
    {9.269787, 90.040974},    {-60.983472, -1.18673},  {60.912755, -1.393363},   {-0.270504, 25.543625}, {-14.064927, 122.815854},
    {39.002738, 32.857404},   {-39.966414, 32.729655}, {-16.824344, 62.863179}, {23.541461, -1.700288}};

typedef struct pusht {
  mynah_device base;
  pusht_config config;
  cpSpace *space;
  cpBody *agent, *block;
  cpShape *shapes[7];
  int contact_points; /* of the present step */
  double coverage, reward, max_reward;
  bool was_success;
  float state[5], points[2 * N_KEYPOINTS];
  uint8_t *canvas, *picture; /* NULL without config.image */
  mynah__pusht_planner *planner; /* NULL in the world that it tries pushes out in */
} pusht;

/* ---- space ----------------------------------------------------------------------------------------------------------- */

/* Debian's Chipmunk prints two lines on standard output when a process makes its first space. That happens here, once,
 * while `stdout` is a stream to nowhere: the file descriptor stays as it is, so nobody else's output is touched. */
static pthread_once_t greeted = PTHREAD_ONCE_INIT;

static void swallow_greeting(void) {
  fflush(stdout);
  FILE *real = stdout, *nowhere = fopen("/dev/null", "w");
  if (nowhere) stdout = nowhere;
  cpSpaceFree(cpSpaceNew());
  stdout = real;
  if (nowhere) fclose(nowhere);
}

static void count_contacts(cpArbiter *arbiter, cpSpace *space, cpDataPointer data) {
  (void)space;
  ((pusht *)data)->contact_points += cpArbiterGetCount(arbiter);
}

static void free_space(pusht *p) {
  if (!p->space) return;
  for (int i = 0; i < 7; i++) {
    cpSpaceRemoveShape(p->space, p->shapes[i]);
    cpShapeFree(p->shapes[i]);
  }
  cpSpaceRemoveBody(p->space, p->block);
  cpSpaceRemoveBody(p->space, p->agent);
  cpBodyFree(p->block);
  cpBodyFree(p->agent);
  cpSpaceFree(p->space);
  p->space = NULL;
}

static cpVect vect(mynah__point v) { return cpv(v.x, v.y); }

/* pymunk's moment of the whole block: the bar's moment about the body's origin, twice (the source passes the bar's corners
 * for the stem too). */
static cpFloat block_moment(void) {
  cpVect bar[4];
  for (int i = 0; i < 4; i++) bar[i] = vect(mynah__pusht_parts[0][i]);
  return 2 * cpMomentForPoly(1, 4, bar, cpvzero, 0);
}

/* Walls, agent, block in this order: contacts are solved in an order that depends on it. */
static void make_space(pusht *p) {
  p->space = cpSpaceNew();
  cpSpaceSetDamping(p->space, 0);
  cpBody *ground = cpSpaceGetStaticBody(p->space);
  int n = 0;
  for (int i = 0; i < 4; i++)
    p->shapes[n++] = cpSpaceAddShape(p->space, cpSegmentShapeNew(ground, vect(mynah__pusht_walls[i][0]), vect(mynah__pusht_walls[i][1]),
                                                                  MYNAH__PUSHT_WALL_RADIUS));
  p->agent = cpSpaceAddBody(p->space, cpBodyNewKinematic());
  cpBodySetPosition(p->agent, cpv(256, 400));
  p->shapes[n++] = cpSpaceAddShape(p->space, cpCircleShapeNew(p->agent, MYNAH__PUSHT_AGENT_RADIUS, cpvzero));
  p->block = cpBodyNew(1, block_moment());
  cpBodySetCenterOfGravity(p->block, cpv(0, MYNAH__PUSHT_BLOCK_COG));
  cpBodySetAngle(p->block, 0);
  cpBodySetPosition(p->block, cpv(256, 300));
  cpSpaceAddBody(p->space, p->block);
  for (int part = 0; part < 2; part++) {
    /* pymunk hands corners over in this order of the hull. */
    static const int order[2][4] = {{3, 2, 1, 0}, {0, 3, 2, 1}};
    cpVect corners[4];
    for (int i = 0; i < 4; i++) corners[i] = vect(mynah__pusht_parts[part][order[part][i]]);
    p->shapes[n++] = cpSpaceAddShape(p->space, cpPolyShapeNew(p->block, 4, corners, cpTransformIdentity, 0));
  }
  cpCollisionHandler *handler = cpSpaceAddCollisionHandler(p->space, 0, 0);
  handler->postSolveFunc = count_contacts;
  handler->userData = p;
}

static void score(pusht *p) {
  double pose[3];
  mynah__pusht_pose(&p->base, pose);
  p->coverage = mynah_pusht_coverage(pose);
  p->reward = fmin(p->coverage / SUCCESS, 1);
}

static void start(pusht *p, const double *state) {
  free_space(p);
  make_space(p);
  cpBodySetPosition(p->agent, cpv(state[0], state[1]));
  cpBodySetPosition(p->block, cpv(state[2], state[3])); /* position first, then the angle, which turns about the cog */
  cpBodySetAngle(p->block, state[4]);
  p->contact_points = 0;
  cpSpaceStep(p->space, DT);
  p->contact_points = 0;
  p->base.step = 0;
  p->base.is_done = false;
  p->max_reward = 0;
  p->was_success = false;
  score(p);
}

/* ---- device ---------------------------------------------------------------------------------------------------------- */

static mynah_status pusht_reset(mynah_device *d, uint64_t seed) {
  double state[5];
  mynah__pusht_initial(seed, state);
  start((pusht *)d, state);
  return MYNAH_OK;
}

mynah_status mynah_pusht_reset_to(mynah_device *d, const double *state) {
  for (int i = 0; i < 5; i++)
    if (!isfinite(state[i])) return mynah_fail(MYNAH_NONFINITE, "pusht: element %d of the state is not finite", i);
  start((pusht *)d, state);
  return MYNAH_OK;
}

static void fill_vectors(pusht *p) {
  cpVect agent = cpBodyGetPosition(p->agent), block = cpBodyGetPosition(p->block);
  double angle = cpBodyGetAngle(p->block), turned = fmod(angle, TWO_PI), c = cos(angle), s = sin(angle);
  if (turned < 0) turned += TWO_PI;
  const double state[5] = {agent.x, agent.y, block.x, block.y, turned};
  for (int i = 0; i < 5; i++) p->state[i] = (float)state[i];
  for (int i = 0; i < N_KEYPOINTS; i++) {
    p->points[2 * i] = (float)(block.x + c * keypoints[i][0] - s * keypoints[i][1]);
    p->points[2 * i + 1] = (float)(block.y + s * keypoints[i][0] + c * keypoints[i][1]);
  }
}

static void draw(const pusht *p, uint8_t *canvas, uint8_t *rgb, int size) {
  cpVect agent = cpBodyGetPosition(p->agent), block = cpBodyGetPosition(p->block);
  mynah__pusht_draw((double[]){agent.x, agent.y}, (double[]){block.x, block.y, cpBodyGetAngle(p->block)}, canvas, rgb, size);
}

static void pusht_observe(mynah_device *d, mynah_value *values) {
  pusht *p = (pusht *)d;
  int64_t time_ns = d->step * (1000000000 / RATE_HZ);
  fill_vectors(p);
  values[0] = (mynah_value){p->state, sizeof p->state, time_ns};
  values[1] = (mynah_value){p->points, sizeof p->points, time_ns};
  if (!p->picture) return;
  draw(p, p->canvas, p->picture, MYNAH__PUSHT_PICTURE);
  values[2] = (mynah_value){p->picture, MYNAH__PUSHT_PICTURE * MYNAH__PUSHT_PICTURE * 3, time_ns};
}

/* Ten sub-steps of a PD controller on the agent: v += (K_P (action - x) - K_V v) dt, then one step of the space. */
void mynah__pusht_move(mynah_device *d, const double *action) {
  pusht *p = (pusht *)d;
  cpVect target = cpv(action[0], action[1]);
  for (int i = 0; i < SUBSTEPS; i++) {
    cpVect x = cpBodyGetPosition(p->agent), v = cpBodyGetVelocity(p->agent);
    cpVect a = cpvadd(cpvmult(cpvsub(target, x), K_P), cpvmult(v, -K_V));
    cpBodySetVelocity(p->agent, cpvadd(v, cpvmult(a, DT)));
    cpSpaceStep(p->space, DT);
  }
}

void mynah_pusht_act(mynah_device *d, const double *action) {
  pusht *p = (pusht *)d;
  p->contact_points = 0;
  mynah__pusht_move(d, action);
  score(p);
  d->step++;
  p->max_reward = fmax(p->max_reward, p->reward);
  if (p->coverage > SUCCESS) p->was_success = true;
  d->is_done = d->step >= d->max_steps || (p->config.ends_at_success && p->was_success);
}

static void pusht_act(mynah_device *d, const float *action) {
  mynah_pusht_act(d, (double[]){(double)action[0], (double)action[1]});
}

/* ---- for the planner ------------------------------------------------------------------------------------------------- */

void mynah__pusht_restore(mynah_device *d, const mynah_pusht_state *s) {
  pusht *p = (pusht *)d;
  free_space(p);
  make_space(p);
  cpBodySetPosition(p->agent, cpv(s->agent[0], s->agent[1]));
  cpBodySetVelocity(p->agent, cpv(s->agent_velocity[0], s->agent_velocity[1]));
  cpBodySetAngle(p->block, s->block_angle);
  cpBodySetPosition(p->block, cpv(s->block[0], s->block[1]));
}

void mynah__pusht_pose(const mynah_device *d, double *pose) {
  const pusht *p = (const pusht *)d;
  cpVect at = cpBodyGetPosition(p->block);
  pose[0] = at.x, pose[1] = at.y, pose[2] = cpBodyGetAngle(p->block);
}

static void pusht_expert(mynah_device *d, float *action) {
  mynah_pusht_state now;
  mynah_pusht_state_get(d, &now);
  mynah__pusht_plan(((pusht *)d)->planner, &now, action);
}

static int pusht_metrics(const mynah_device *d, mynah_metric *out) {
  const pusht *p = (const pusht *)d;
  out[0] = (mynah_metric){"mean_max_reward", MYNAH_METRIC_MEAN, p->max_reward, 1};
  out[1] = (mynah_metric){"success_coverage", MYNAH_METRIC_RATE, p->was_success, 1};
  out[2] = (mynah_metric){"success_reward", MYNAH_METRIC_RATE, p->max_reward >= 0.95, 1};
  return 3;
}

static const char *const trace_names[] = {"agent_x_px", "agent_y_px", "block_x_px", "block_y_px", "block_angle_rad",
                                          "coverage", "reward", "contacts", NULL};

static void pusht_trace(const mynah_device *d, double *row) {
  const pusht *p = (const pusht *)d;
  cpVect agent = cpBodyGetPosition(p->agent), block = cpBodyGetPosition(p->block);
  const double values[] = {agent.x, agent.y, block.x, block.y, cpBodyGetAngle(p->block), p->coverage, p->reward,
                           (double)p->contact_points};
  memcpy(row, values, sizeof values);
}

void mynah_pusht_state_get(const mynah_device *d, mynah_pusht_state *out) {
  const pusht *p = (const pusht *)d;
  cpVect x = cpBodyGetPosition(p->agent), v = cpBodyGetVelocity(p->agent);
  cpVect b = cpBodyGetPosition(p->block), u = cpBodyGetVelocity(p->block);
  *out = (mynah_pusht_state){{x.x, x.y}, {v.x, v.y}, {b.x, b.y}, cpBodyGetAngle(p->block), {u.x, u.y},
                             cpBodyGetAngularVelocity(p->block), p->contact_points, p->coverage, p->reward,
                             p->coverage > SUCCESS};
}

mynah_status mynah_pusht_render(const mynah_device *d, uint8_t *rgb, int size) {
  if (size < 1 || size > MYNAH__PUSHT_SIZE) return mynah_fail(MYNAH_INVALID, "pusht: a picture of %d px", size);
  uint8_t *canvas = mynah_alloc((size_t)MYNAH__PUSHT_SIZE * MYNAH__PUSHT_SIZE * 3);
  if (!canvas) return MYNAH_NO_MEMORY;
  draw((const pusht *)d, canvas, rgb, size);
  mynah_free(canvas);
  return MYNAH_OK;
}

static void pusht_close(mynah_device *d) {
  pusht *p = (pusht *)d;
  free_space(p);
  mynah__pusht_planner_destroy(p->planner);
  mynah_free(p->canvas);
  mynah_free(p);
}

static void describe(pusht *p) {
  mynah_device *d = &p->base;
  d->type = &mynah_sim_pusht;
  mynah_feature action;
  mynah_pusht_features(&d->features[0], &d->features[1], &action);
  d->n_observations = 2;
  if (p->config.image)
    d->features[d->n_observations++] =
        mynah_feature_image("observation.images.top", MYNAH__PUSHT_PICTURE, MYNAH__PUSHT_PICTURE);
  d->features[d->n_observations] = action;
  d->n_features = d->n_observations + 1;
  d->rate_hz = RATE_HZ;
  d->max_steps = p->config.max_steps;
}

mynah_status mynah__pusht_open_world(const void *config, mynah_device **out) {
  pthread_once(&greeted, swallow_greeting);
  pusht *p = mynah_calloc(1, sizeof *p);
  if (!p) return MYNAH_NO_MEMORY;
  if (config) p->config = *(const pusht_config *)config;
  else mynah_config_default(&pusht_table, &p->config);
  describe(p);
  if (p->config.image) {
    size_t bytes = (size_t)MYNAH__PUSHT_SIZE * MYNAH__PUSHT_SIZE * 3;
    p->canvas = mynah_alloc(bytes + MYNAH__PUSHT_PICTURE * MYNAH__PUSHT_PICTURE * 3);
    if (!p->canvas) {
      mynah_free(p);
      return MYNAH_NO_MEMORY;
    }
    p->picture = p->canvas + bytes;
  }
  (void)!pusht_reset(&p->base, 0);
  *out = &p->base;
  return MYNAH_OK;
}

static mynah_status pusht_open(const void *config, mynah_device **out) {
  mynah_device *d;
  MYNAH_TRY(mynah__pusht_open_world(config, &d));
  mynah_status status = mynah__pusht_planner_create(&((pusht *)d)->planner);
  if (status == MYNAH_OK) *out = d;
  else pusht_close(d);
  return status;
}

const mynah_device_type mynah_sim_pusht = {.name = "pusht",
                                           .summary = "push a T-shaped block onto its goal (gym-pusht 0.1.8)",
                                           .config = &pusht_table,
                                           .open = pusht_open,
                                           .close = pusht_close,
                                           .reset = pusht_reset,
                                           .observe = pusht_observe,
                                           .act = pusht_act,
                                           .expert = pusht_expert,
                                           .metrics = pusht_metrics,
                                           .trace_names = trace_names,
                                           .trace = pusht_trace};
