/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The learning rate at its corners. */
#include <mynah/learn.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static mynah_train_config config(void) {
  mynah_train_config c;
  mynah_config_default(&mynah_train_table, &c);
  c.lr = 2;
  return c;
}

static void near(double a, double b) { assert_true(fabs(a - b) < 1e-12); }

static void warm_up_then_cosine(void **state) {
  (void)state;
  mynah_train_config c = config();
  c.warmup = 10;
  near(mynah_learning_rate(&c, 0, 110), 0.2);
  near(mynah_learning_rate(&c, 9, 110), 2);
  near(mynah_learning_rate(&c, 10, 110), 2);
  near(mynah_learning_rate(&c, 60, 110), 1);
  near(mynah_learning_rate(&c, 110, 110), 0);
  c.lr_end = 0.1;
  near(mynah_learning_rate(&c, 110, 110), 0.2);
}

static void linear_and_constant(void **state) {
  (void)state;
  mynah_train_config c = config();
  c.schedule = MYNAH_SCHEDULE_LINEAR;
  near(mynah_learning_rate(&c, 25, 100), 1.5);
  c.schedule = MYNAH_SCHEDULE_CONSTANT;
  near(mynah_learning_rate(&c, 99, 100), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(warm_up_then_cosine), cmocka_unit_test(linear_and_constant)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
