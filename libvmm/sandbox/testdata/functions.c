/* SPDX-License-Identifier: Apache-2.0 */
/* Functions without a C library, for sandbox_test. */
#include "libvmm/sandbox/guest/sandbox.h"

LIBVMM_IMPORT2(int, host_add, int, int)
LIBVMM_IMPORT1(long, host_text, const char*)
LIBVMM_IMPORT1(long, host_nested, long)
LIBVMM_IMPORT0(long, host_undefined)

static unsigned long counter = 41;
static volatile char buffer[1 << 20];
unsigned long table[4] = {1, 2, 3, 4};

LIBVMM_EXPORT void nothing(void) {}
LIBVMM_EXPORT int add(int a, int b) { return a + b; }
LIBVMM_EXPORT long six(long a, long b, long c, long d, long e, long f) {
  return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f;
}
LIBVMM_EXPORT double mix(double a, int b, double c, float d) {
  return a * b + c - (double)d;
}
LIBVMM_EXPORT float half(float a) { return a / 2; }
LIBVMM_EXPORT unsigned long count(void) { return ++counter; }
LIBVMM_EXPORT unsigned long* get_table(void) { return table; }
LIBVMM_EXPORT unsigned sum(const unsigned char* bytes, unsigned long size) {
  unsigned total = 0;
  for (unsigned long i = 0; i < size; ++i) total += bytes[i];
  return total;
}
LIBVMM_EXPORT void reverse(unsigned char* bytes, unsigned long size) {
  for (unsigned long i = 0; i < size / 2; ++i) {
    const unsigned char byte = bytes[i];
    bytes[i] = bytes[size - 1 - i];
    bytes[size - 1 - i] = byte;
  }
}
LIBVMM_EXPORT unsigned long length(const char* text) {
  unsigned long size = 0;
  while (text[size] != 0) ++size;
  return size;
}
LIBVMM_EXPORT void touch_pages(unsigned long pages) {
  for (unsigned long i = 0; i < pages; ++i) buffer[i << 12] = (char)(i + 1);
}
LIBVMM_EXPORT int use_host(int a, int b) { return host_add(a, b) * 2; }
LIBVMM_EXPORT long use_host_text(void) { return host_text("from the sandbox"); }
LIBVMM_EXPORT long nest(long depth) { return depth + host_nested(depth); }
LIBVMM_EXPORT long undefined(void) { return host_undefined(); }
LIBVMM_EXPORT long raw_syscall(long number, long a) {
  return libvmm_host_call((unsigned long)number, a, 0, 0, 0, 0, 0);
}

LIBVMM_EXPORT void spin(void) {
  for (;;) __asm__ volatile("");
}
LIBVMM_EXPORT void wild_write(unsigned long address) {
  *(volatile char*)address = 1;
}
LIBVMM_EXPORT char wild_read(unsigned long address) {
  return *(volatile char*)address;
}
LIBVMM_EXPORT void wild_jump(unsigned long address) {
  ((void (*)(void))address)();
}
LIBVMM_EXPORT long overflow(long depth) {
  volatile char space[4096];
  space[0] = (char)depth;
  return overflow(depth + 1) + space[0];
}
LIBVMM_EXPORT void undefined_instruction(void) { __asm__ volatile("ud2"); }
LIBVMM_EXPORT void privileged(void) { __asm__ volatile("hlt"); }
