/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Denormal numbers flushed to zero, thread by thread. */
#include <mynah/base.h>

#if defined(__x86_64__)

/* MXCSR: bit 15 makes small results 0, bit 6 reads small operands as 0 (Intel SDM vol. 1, 10.2.3). */
uint64_t mynah_flush_denormals(void) {
  unsigned before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before | 1u << 15 | 1u << 6);
  return before;
}

void mynah_restore_denormals(uint64_t before) { __builtin_ia32_ldmxcsr((unsigned)before); }

#elif defined(__aarch64__)

/* FPCR.FZ, bit 24 (Arm ARM, C5.2). */
uint64_t mynah_flush_denormals(void) {
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" ::"r"(before | UINT64_C(1) << 24));
  return before;
}

void mynah_restore_denormals(uint64_t before) { __asm__ volatile("msr fpcr, %0" ::"r"(before)); }

#else

uint64_t mynah_flush_denormals(void) { return 0; }
void mynah_restore_denormals(uint64_t before) { (void)before; }

#endif
