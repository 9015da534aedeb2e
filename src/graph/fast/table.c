/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of one ISA level's functions. */
#include "level.h"
#include "vec.h"

#define MYNAH__TEXT_(x) #x
#define MYNAH__TEXT(x) MYNAH__TEXT_(x)

extern const mynah__fast LEVEL(fast);
const mynah__fast LEVEL(fast) = {
    .name = MYNAH__TEXT(MYNAH__ISA),
    .lanes = VL,
    .find_unary = LEVEL(find_unary),
    .winograd_plan = LEVEL(winograd_plan),
    .winograd_grad_w_plan = LEVEL(winograd_grad_w_plan),
    .winograd_pack = LEVEL(winograd_pack),
#define MYNAH__RUN_ENTRY(run) .run = LEVEL(run),
    MYNAH__FAST_RUNS(MYNAH__RUN_ENTRY)
#define MYNAH__PRODUCT_ENTRY(name)                                                                 \
  .f32.name = LEVEL(name), .f32.name##_plan = LEVEL(name##_plan), .bf16.name = LEVEL(bf16_##name), \
  .bf16.name##_plan = LEVEL(bf16_##name##_plan),
        MYNAH__FAST_PRODUCTS(MYNAH__PRODUCT_ENTRY)
#define MYNAH__PACK_ENTRY(name) .f32.name##_pack = LEVEL(name##_pack), .bf16.name##_pack = LEVEL(bf16_##name##_pack),
            MYNAH__FAST_PACKS(MYNAH__PACK_ENTRY)
                .sweep_adam = LEVEL(sweep_adam),
    .sweep_sgd = LEVEL(sweep_sgd),
    .sweep_ema = LEVEL(sweep_ema),
    .sweep_tree_sum = LEVEL(sweep_tree_sum),
    .sweep_sum_squares = LEVEL(sweep_sum_squares),
};
