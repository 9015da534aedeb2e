/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Push-T's expert: a planner that tries pushes out on the simulator itself. What it does depends on the present state alone. */
#include "pusht.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define PI 3.141592653589793
#define RADIUS ((double)MYNAH__PUSHT_AGENT_RADIUS)
#define N_CONTACTS 44
#define N_TURNS 6       /* corners that a way around the block may turn at */
#define N_TRIED 10      /* contacts whose pushes are tried out, of all … */
#define N_GOOD 4        /* … and more until so many gain something */
#define N_DEPTHS 3
#define N_DIRECTIONS 20 /* pushes from where the agent is */
#define PUSH_STEPS 7
#define GAP 4.0         /* px: a push begins so far from the block … */
#define GAIN 0.5        /* steps: what gains less is no push */
#define NEAR 9.0        /* … and an agent that is so near to there need not go there first */
#define KEEP_OFF 18.0   /* px: nearer to the block's outline than this the agent does not pass */
#define STRIDE 32.0     /* px: what it goes in a step */
#define LOOK_AHEAD 90.0 /* px: its target on the way */

/* Where the agent's middle touches the block with the normal pointing to it, in the block's frame. */
typedef struct contact {
  double x, y, nx, ny;
} contact;

/* What may be done: go to `from`, then hold `target`. */
typedef struct push {
  mynah__point from, target;
  double travel, cost; /* steps; steps until the goal in all */
} push;

struct mynah__pusht_planner {
  mynah_device *world; /* where pushes are tried out */
  contact contacts[N_CONTACTS];
  mynah_pusht_state now;
  double keep_off, left; /* px; steps left for the block where it is */
  bool is_stuck;         /* no push gains anything: any that moves the block will do */
  mynah__point turns[N_TURNS];
  double ways[N_TURNS]; /* from the agent to each turn, px */
  int first[N_TURNS];   /* the turn that way begins with */
};

/* ---- geometry -------------------------------------------------------------------------------------------------------- */

static mynah__point to_world(const double *pose, double x, double y) {
  double c = cos(pose[2]), s = sin(pose[2]);
  return (mynah__point){pose[0] + c * x - s * y, pose[1] + s * x + c * y};
}

static mynah__point to_block(const double *pose, mynah__point p) {
  double c = cos(pose[2]), s = sin(pose[2]), x = p.x - pose[0], y = p.y - pose[1];
  return (mynah__point){c * x + s * y, c * y - s * x};
}

static double distance(mynah__point a, mynah__point b) { return hypot(a.x - b.x, a.y - b.y); }

static void pose_of(const mynah_pusht_state *s, double *pose) {
  pose[0] = s->block[0], pose[1] = s->block[1], pose[2] = s->block_angle;
}

/* How far the block is from its goal, a turn counted at its radius of gyration. Unit: px */
static double apart(const double *pose) {
  mynah__point is = to_world(pose, 0, MYNAH__PUSHT_BLOCK_COG), shall = to_world(mynah__pusht_goal, 0, MYNAH__PUSHT_BLOCK_COG);
  double turn = remainder(pose[2] - mynah__pusht_goal[2], 2 * PI);
  return hypot(distance(is, shall), sqrt(MYNAH__PUSHT_BLOCK_MOMENT) * turn);
}

/* Steps that the rest is guessed to take: each halving of the distance costs about as much. */
static double steps_left(const double *pose) {
  return mynah_pusht_coverage(pose) > 0.95 ? 0 : 4 + 22 * log1p(apart(pose) / 2.5);
}

static void list_contacts(contact *c) {
  int n = 0;
  for (int i = 0; i < 13; i++) c[n++] = (contact){-60 + 10 * i, 0, 0, -1}; /* the bar's outside */
  for (int side = -1; side <= 1; side += 2) {
    for (int i = 0; i < 3; i++) c[n++] = (contact){60 * side, 5 + 10 * i, side, 0};           /* its ends */
    for (int i = 0; i < 3; i++) c[n++] = (contact){(35 + 10 * i) * side, 30, 0, 1};           /* its inside */
    for (int i = 0; i < 8; i++) c[n++] = (contact){15 * side, 50 + 9.2 * i, side, 0};         /* the stem's sides */
  }
  for (int i = 0; i < 3; i++) c[n++] = (contact){-10 + 10 * i, 120, 0, 1}; /* its end */
}

/* ---- ways around the block --------------------------------------------------------------------------------------------- */

/* Whether a straight way stays off a rectangle, by slabs. */
static bool passes(mynah__point a, mynah__point b, double x0, double x1, double y0, double y1) {
  double from = 0, to = 1, d[2] = {b.x - a.x, b.y - a.y}, at[2] = {a.x, a.y}, low[2] = {x0, y0}, high[2] = {x1, y1};
  for (int k = 0; k < 2; k++) {
    if (fabs(d[k]) < 1e-12) {
      if (at[k] <= low[k] || at[k] >= high[k]) return true;
      continue;
    }
    double t = (low[k] - at[k]) / d[k], u = (high[k] - at[k]) / d[k];
    from = fmax(from, fmin(t, u));
    to = fmin(to, fmax(t, u));
  }
  return from >= to;
}

/* Both ends in the block's frame; off: how far to keep. */
static bool is_free(mynah__point a, mynah__point b, double off) {
  return passes(a, b, -60 - off, 60 + off, -off, 30 + off) && passes(a, b, -15 - off, 15 + off, 30 - off, 120 + off);
}

/* From the block's outline to a point of its frame. */
static double clearance(mynah__point p) {
  double bar = hypot(fmax(0, fabs(p.x) - 60), fmax(0, fabs(p.y - 15) - 15));
  double stem = hypot(fmax(0, fabs(p.x) - 15), fmax(0, fabs(p.y - 75) - 45));
  return fmin(bar, stem);
}

/* The shortest way to each turn (Dijkstra 1959). */
static void find_ways(mynah__pusht_planner *p) {
  const double off = KEEP_OFF + 3;
  const mynah__point turns[N_TURNS] = {{-60 - off, -off},      {60 + off, -off},        {60 + off, 30 + off},
                                       {15 + off, 120 + off}, {-15 - off, 120 + off}, {-60 - off, 30 + off}};
  double pose[3];
  bool is_done[N_TURNS] = {false};
  pose_of(&p->now, pose);
  mynah__point agent = to_block(pose, (mynah__point){p->now.agent[0], p->now.agent[1]});
  p->keep_off = fmin(KEEP_OFF, fmax(0, clearance(agent) - 0.5));
  memcpy(p->turns, turns, sizeof turns);
  for (int i = 0; i < N_TURNS; i++) {
    p->ways[i] = is_free(agent, turns[i], p->keep_off) ? distance(agent, turns[i]) : INFINITY;
    p->first[i] = i;
  }
  for (int round = 0; round < N_TURNS; round++) {
    int best = -1;
    for (int i = 0; i < N_TURNS; i++)
      if (!is_done[i] && (best < 0 || p->ways[i] < p->ways[best])) best = i;
    is_done[best] = true;
    for (int i = 0; i < N_TURNS; i++) {
      double way = p->ways[best] + distance(turns[best], turns[i]);
      if (way >= p->ways[i] || !is_free(turns[best], turns[i], KEEP_OFF)) continue;
      p->ways[i] = way;
      p->first[i] = p->first[best];
    }
  }
}

/* The length of the way to a point of the block's frame and what it turns at first; the point itself when nothing is between. */
static double way_to(const mynah__pusht_planner *p, mynah__point agent, mynah__point to, mynah__point *first) {
  double best = INFINITY;
  *first = to;
  if (is_free(agent, to, p->keep_off)) return distance(agent, to);
  for (int i = 0; i < N_TURNS; i++) {
    double way = p->ways[i] + distance(p->turns[i], to);
    if (way >= best || !is_free(p->turns[i], to, KEEP_OFF)) continue;
    best = way;
    *first = p->turns[p->first[i]];
  }
  return best;
}

/* ---- pushes ------------------------------------------------------------------------------------------------------------ */

/* Where the block comes to when a contact is pushed in by `depth`: without friction, and at rest when nobody pushes, it moves as an
 * impulse at the contact says. */
static void predict(const double *pose, mynah__point at, double nx, double ny, double depth, double *out) {
  mynah__point cog = to_world(pose, 0, MYNAH__PUSHT_BLOCK_COG);
  double arm = (at.x - cog.x) * -ny - (at.y - cog.y) * -nx, impulse = depth / (1 + arm * arm / MYNAH__PUSHT_BLOCK_MOMENT);
  out[2] = pose[2] + impulse * arm / MYNAH__PUSHT_BLOCK_MOMENT;
  mynah__point moved = {cog.x - nx * impulse, cog.y - ny * impulse};
  const double turned[3] = {0, 0, out[2]};
  mynah__point back = to_world(turned, 0, MYNAH__PUSHT_BLOCK_COG);
  out[0] = moved.x - back.x;
  out[1] = moved.y - back.y;
}

/* Tries a push out; its cost is the least over the steps that it may be ended at, infinite if it gains nothing. */
static void try_out(mynah__pusht_planner *p, push *c) {
  mynah_pusht_state start = p->now;
  const double target[2] = {fmax(0, fmin(MYNAH__PUSHT_SIZE, c->target.x)), fmax(0, fmin(MYNAH__PUSHT_SIZE, c->target.y))};
  if (c->travel > 0) {
    start.agent[0] = c->from.x, start.agent[1] = c->from.y;
    start.agent_velocity[0] = start.agent_velocity[1] = 0;
  }
  mynah__pusht_restore(p->world, &start);
  c->cost = INFINITY;
  for (int t = 1; t <= PUSH_STEPS; t++) {
    double pose[3];
    mynah__pusht_move(p->world, target);
    mynah__pusht_pose(p->world, pose);
    double left = steps_left(pose), moved = hypot(pose[0] - start.block[0], pose[1] - start.block[1]) + 50 * fabs(pose[2] - start.block_angle);
    if (p->is_stuck ? moved > 4 : left < p->left - GAIN) c->cost = fmin(c->cost, c->travel + t + left);
  }
}

static void keep_better(push *best, const push *c) {
  if (c->cost < best->cost) *best = *c;
}

/* A contact's push as deep as is predicted to be best, and the cost that this predicts. */
typedef struct option {
  double cost, depth, travel;
  mynah__point at, normal, before;
} option;

static option consider(const mynah__pusht_planner *p, const contact *c, const double *pose, mynah__point agent) {
  static const double depths[] = {1, 2, 3, 5, 8, 12, 18, 26, 38, 55};
  option o = {.cost = INFINITY, .at = to_world(pose, c->x, c->y)};
  mynah__point first, before = {c->x + c->nx * (RADIUS + GAP), c->y + c->ny * (RADIUS + GAP)};
  o.normal = to_world((const double[]){0, 0, pose[2]}, c->nx, c->ny);
  o.before = to_world(pose, before.x, before.y);
  if (o.before.x < 1 || o.before.y < 1 || o.before.x > 511 || o.before.y > 511) return o;
  double way = way_to(p, agent, before, &first);
  o.travel = way <= NEAR ? 0 : 3 + way / STRIDE;
  for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
    double after[3];
    predict(pose, o.at, o.normal.x, o.normal.y, depths[i], after);
    double cost = o.travel + 3 + depths[i] / STRIDE + steps_left(after);
    if (cost >= o.cost) continue;
    o.cost = cost;
    o.depth = depths[i];
  }
  return o;
}

/* Pushes at the contacts that promise most, and at more when these gain nothing. */
static void try_contacts(mynah__pusht_planner *p, const double *pose, mynah__point agent, push *best) {
  option options[N_CONTACTS];
  for (int i = 0; i < N_CONTACTS; i++) options[i] = consider(p, &p->contacts[i], pose, agent);
  int n_good = 0;
  for (int k = 0; k < N_CONTACTS && (k < N_TRIED || n_good < N_GOOD); k++) {
    int most = k;
    for (int i = k + 1; i < N_CONTACTS; i++)
      if (options[i].cost < options[most].cost) most = i;
    option o = options[most];
    options[most] = options[k];
    options[k] = o;
    if (!isfinite(o.cost)) return;
    bool is_good = false;
    for (int i = 0; i < N_DEPTHS; i++) {
      double deep = o.depth * (0.7 + 0.3 * i) - RADIUS; /* of the agent's middle, from the outline */
      push c = {.from = o.before, .target = {o.at.x - o.normal.x * deep, o.at.y - o.normal.y * deep}, .travel = o.travel};
      try_out(p, &c);
      is_good |= isfinite(c.cost);
      keep_better(best, &c);
    }
    n_good += is_good;
  }
}

/* Pushes from where the agent is, to all sides. */
static void try_sides(mynah__pusht_planner *p, push *best) {
  static const double lengths[] = {5, 14, 40};
  mynah__point at = {p->now.agent[0], p->now.agent[1]};
  for (int i = 0; i < N_DIRECTIONS; i++)
    for (int k = 0; k < 3; k++) {
      double angle = 2 * PI * i / N_DIRECTIONS;
      push c = {.from = at, .target = {at.x + lengths[k] * cos(angle), at.y + lengths[k] * sin(angle)}};
      try_out(p, &c);
      keep_better(best, &c);
    }
}

/* ---- the planner ------------------------------------------------------------------------------------------------------- */

mynah_status mynah__pusht_planner_create(mynah__pusht_planner **out) {
  mynah__pusht_planner *p = mynah_calloc(1, sizeof *p);
  if (!p) return MYNAH_NO_MEMORY;
  mynah_status status = mynah__pusht_open_world(NULL, &p->world);
  if (status != MYNAH_OK) {
    mynah_free(p);
    return status;
  }
  list_contacts(p->contacts);
  *out = p;
  return MYNAH_OK;
}

void mynah__pusht_planner_destroy(mynah__pusht_planner *p) {
  if (!p) return;
  mynah_sim_pusht.close(p->world);
  mynah_free(p);
}

/* What to do now: the target of the push, or a place on the way to where it begins. */
static mynah__point target_of(const mynah__pusht_planner *p, const push *best, const double *pose, mynah__point agent) {
  mynah__point first, at = {p->now.agent[0], p->now.agent[1]};
  if (isinf(best->cost)) return at;
  if (best->travel <= 0) return best->target;
  way_to(p, agent, to_block(pose, best->from), &first);
  mynah__point target = to_world(pose, first.x, first.y);
  double share = fmin(1, LOOK_AHEAD / fmax(distance(at, target), 1e-9));
  return (mynah__point){at.x + (target.x - at.x) * share, at.y + (target.y - at.y) * share};
}

void mynah__pusht_plan(mynah__pusht_planner *p, const mynah_pusht_state *now, float *action) {
  double pose[3];
  push best = {.cost = INFINITY};
  p->now = *now;
  pose_of(now, pose);
  p->left = steps_left(pose);
  find_ways(p);
  mynah__point agent = to_block(pose, (mynah__point){now->agent[0], now->agent[1]});
  for (int stuck = 0; stuck < 2 && isinf(best.cost); stuck++) {
    p->is_stuck = stuck;
    try_contacts(p, pose, agent, &best);
    if (clearance(agent) < RADIUS + 2 * GAP) try_sides(p, &best);
  }
  mynah__point target = target_of(p, &best, pose, agent);
  action[0] = (float)fmax(0, fmin(MYNAH__PUSHT_SIZE, target.x));
  action[1] = (float)fmax(0, fmin(MYNAH__PUSHT_SIZE, target.y));
}
