/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of one ISA level's functions. */
#include "level.h"
#include "vec.h"

#define MYNAH__TEXT_(x) #x
#define MYNAH__TEXT(x) MYNAH__TEXT_(x)

extern const mynah__fast FAST(fast);
const mynah__fast FAST(fast) = {
    .name = MYNAH__TEXT(MYNAH__ISA),
    .lanes = VL,
    .find_unary = FAST(find_unary),
#define MYNAH__RUN_ENTRY(run) .run = FAST(run),
    MYNAH__FAST_RUNS(MYNAH__RUN_ENTRY)
#define MYNAH__PLAN_ENTRY(name) .name##_plan = FAST(name##_plan),
        MYNAH__FAST_PLANS(MYNAH__PLAN_ENTRY)
#define MYNAH__PACK_ENTRY(name) .name##_pack = FAST(name##_pack),
            MYNAH__FAST_PACKS(MYNAH__PACK_ENTRY)
                .sweep_adam = FAST(sweep_adam),
    .sweep_sgd = FAST(sweep_sgd),
    .sweep_ema = FAST(sweep_ema),
    .sweep_tree_sum = FAST(sweep_tree_sum),
    .sweep_sum_squares = FAST(sweep_sum_squares),
};
