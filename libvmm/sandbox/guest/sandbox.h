/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LIBVMM_SANDBOX_GUEST_SANDBOX_H_
#define LIBVMM_SANDBOX_GUEST_SANDBOX_H_

/*
 * For code that runs in a sandbox, C11 or C++: which functions the host may call,
 * and which functions of the host it calls.
 *
 *   #include "libvmm/sandbox/guest/sandbox.h"
 *
 *   LIBVMM_IMPORT2(int, host_add, int, int)
 *
 *   LIBVMM_EXPORT int add_twice(int a, int b) { return host_add(host_add(a, b), b); }
 *
 * Parameters and results of imports are integers, enumerations and pointers; a
 * double goes through libvmm_from_double. An import whose name the host has not
 * defined ends the call into the sandbox when it is called.
 *
 * Build without a C library:   cc -O2 -nostdlib -static -ffreestanding -o plugin
 * or as a static program; -fno-stack-protector unless there is a C library.
 */

#ifdef __cplusplus
#define LIBVMM_EXTERN_C extern "C"
#else
#define LIBVMM_EXTERN_C
#endif

/* Keeps a function and its name for the host to find. */
#define LIBVMM_EXPORT \
  LIBVMM_EXTERN_C __attribute__((used, visibility("default")))

/* Registers that a function of the host may change through a nested call. */
#if defined(__AVX512F__)
#define LIBVMM_VECTOR_CLOBBERS                                                \
  , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",   \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",  \
      "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", \
      "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
#elif defined(__SSE__)
#define LIBVMM_VECTOR_CLOBBERS                                              \
  , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
      "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#else
#define LIBVMM_VECTOR_CLOBBERS
#endif

static inline long libvmm_host_call(unsigned long number, long a, long b,
                                    long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
                     "r"(r9)
                   : "rcx", "r11", "memory" LIBVMM_VECTOR_CLOBBERS);
  return result;
}

/* The bits of a double, as an argument of an import, and back from its result. */
static inline long libvmm_from_double(double value) {
  union {
    double value;
    long bits;
  } both = {value};
  return both.bits;
}
static inline double libvmm_to_double(long bits) {
  union {
    long bits;
    double value;
  } both = {bits};
  return both.value;
}

/* The word in which the host writes the function's number; see loader.h. */
#define LIBVMM_IMPORT_WORD(name)                               \
  LIBVMM_EXTERN_C __attribute__((used, visibility("default"))) \
  const volatile unsigned long libvmm_import_##name;           \
  const volatile unsigned long libvmm_import_##name = 0x4c56ffff;

#define LIBVMM_IMPORT0(R, name)                                         \
  LIBVMM_IMPORT_WORD(name)                                              \
  static inline R name(void) {                                          \
    return (R)libvmm_host_call(libvmm_import_##name, 0, 0, 0, 0, 0, 0); \
  }
#define LIBVMM_IMPORT1(R, name, A)                                            \
  LIBVMM_IMPORT_WORD(name)                                                    \
  static inline R name(A a) {                                                 \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, 0, 0, 0, 0, 0); \
  }
#define LIBVMM_IMPORT2(R, name, A, B)                                        \
  LIBVMM_IMPORT_WORD(name)                                                   \
  static inline R name(A a, B b) {                                           \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, (long)b, 0, 0, \
                               0, 0);                                        \
  }
#define LIBVMM_IMPORT3(R, name, A, B, C)                               \
  LIBVMM_IMPORT_WORD(name)                                             \
  static inline R name(A a, B b, C c) {                                \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, (long)b, \
                               (long)c, 0, 0, 0);                      \
  }
#define LIBVMM_IMPORT4(R, name, A, B, C, D)                            \
  LIBVMM_IMPORT_WORD(name)                                             \
  static inline R name(A a, B b, C c, D d) {                           \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, (long)b, \
                               (long)c, (long)d, 0, 0);                \
  }
#define LIBVMM_IMPORT5(R, name, A, B, C, D, E)                         \
  LIBVMM_IMPORT_WORD(name)                                             \
  static inline R name(A a, B b, C c, D d, E e) {                      \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, (long)b, \
                               (long)c, (long)d, (long)e, 0);          \
  }
#define LIBVMM_IMPORT6(R, name, A, B, C, D, E, F)                      \
  LIBVMM_IMPORT_WORD(name)                                             \
  static inline R name(A a, B b, C c, D d, E e, F f) {                 \
    return (R)libvmm_host_call(libvmm_import_##name, (long)a, (long)b, \
                               (long)c, (long)d, (long)e, (long)f);    \
  }

#endif /* LIBVMM_SANDBOX_GUEST_SANDBOX_H_ */
