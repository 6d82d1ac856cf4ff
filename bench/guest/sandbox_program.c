/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandbox's benchmarks call. */
#include "libvmm/sandbox/guest/sandbox.h"

LIBVMM_IMPORT2(long, host_add, long, long)

enum { kPageSize = 4096, kDataPages = 12288 };

/* 48 MiB that make the program large. */
static volatile unsigned char data[kDataPages * kPageSize];

LIBVMM_EXPORT void fill_data(void) {
  for (unsigned long i = 0; i < kDataPages; ++i) {
    data[i * kPageSize] = (unsigned char)(i + 1);
  }
}

LIBVMM_EXPORT void nothing(void) {}

LIBVMM_EXPORT long call_host(long times) {
  long sum = 0;
  for (long i = 0; i < times; ++i) sum = host_add(sum, 1);
  return sum;
}

/* Takes bytes, and gives bytes, without time of its own. */
LIBVMM_EXPORT long take(const volatile unsigned char* bytes,
                        unsigned long size) {
  return bytes[0] + bytes[size - 1];
}
LIBVMM_EXPORT void give(volatile unsigned char* bytes, unsigned long size) {
  bytes[0] = bytes[size - 1] = 1;
}

/* Writes to so many pages of data. */
LIBVMM_EXPORT void touch(unsigned long pages) {
  for (unsigned long i = 0; i < pages; ++i) ++data[i * kPageSize];
}

LIBVMM_EXPORT void spin(void) {
  for (;;) __asm__ volatile("");
}
