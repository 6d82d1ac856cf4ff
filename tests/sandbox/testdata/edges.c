/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object with initializers, for edges_test. */
#include "libvmm/sandbox/guest/sandbox.h"

LIBVMM_IMPORT1(long, host_nested, long)

enum {
  kMmap = 9,
  kMunmap = 11,
  kReadWrite = 3,
  kFixedPrivateAnonymous = 0x32,
  kPage = 4096,
  kPages = 256
};

static volatile char buffer[kPages * kPage];
static int order[4];
static int begun;

/* Takes many exits, and leaves a trace only at its end. */
static __attribute__((constructor(101))) void First(void) {
  for (int i = 0; i < kPages; ++i) buffer[i * kPage] = 1;
  order[begun++] = 1;
}
static __attribute__((constructor(102))) void Second(void) {
  order[begun++] = 2;
}

LIBVMM_EXPORT int initializers_in_order(void) {
  return begun == 2 && order[0] == 1 && order[1] == 2;
}

LIBVMM_EXPORT long nest(long a) { return host_nested(a) + 1; }
LIBVMM_EXPORT long defer(long a) { return host_nested(a); }

/* The same page, new each time; how often it was zero. */
LIBVMM_EXPORT long map_and_unmap(long rounds) {
  const long at = 0x10000000;
  const long size = 1 << 20; /* not populated at once */
  long zero = 0;
  for (long i = 0; i < rounds; ++i) {
    if (libvmm_host_call(kMmap, at, size, kReadWrite, kFixedPrivateAnonymous,
                         -1, 0) != at) {
      return -1;
    }
    zero += *(volatile char*)at == 0;
    *(volatile char*)at = 1;
    if (libvmm_host_call(kMunmap, at, size, 0, 0, 0, 0) != 0) return -1;
  }
  return zero;
}

LIBVMM_EXPORT unsigned long sum(const unsigned char* bytes,
                                unsigned long size) {
  unsigned long total = 0;
  for (unsigned long i = 0; i < size; ++i) total += bytes[i];
  return total;
}
