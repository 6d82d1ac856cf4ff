// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/start_pages.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

// From the linker: the program's first byte and the end of its code.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace vmm {

void ReleaseStartPages() {
  malloc_trim(0);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t start =
      reinterpret_cast<uintptr_t>(&__executable_start) & ~(page - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(&etext) & ~(page - 1);
  // Nothing was ever written to these pages, so all of them can come back from
  // the file. A failure only leaves them where they are.
  (void)madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
}

void LimitThreadStacks() {
  constexpr size_t kStackSize = size_t{1} << 20;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return;
  // A failure only leaves the stacks large.
  if (pthread_attr_setstacksize(&attributes, kStackSize) == 0) {
    (void)pthread_setattr_default_np(&attributes);
  }
  pthread_attr_destroy(&attributes);
}

}  // namespace vmm
