// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_HEAP_COUNT_H_
#define LIBVMM_TESTING_HEAP_COUNT_H_

#include <cstdint>

namespace libvmm::testing {

// What the program holds on the heap now. A test that links this library has
// its malloc family replaced by counting front doors to glibc's, operator new
// included. Under a sanitizer, which has a malloc of its own, the sanitizer is
// asked instead: bytes only.
//
// Thread-safety: thread-safe. A snapshot while other threads allocate is not of
//     one moment.
// Cost: of a snapshot two loads; of each malloc one or two atomic additions.
struct HeapUse {
  // Usable bytes of live blocks.
  int64_t bytes = 0;
  // Live blocks; always zero under a sanitizer.
  int64_t blocks = 0;

  static HeapUse Now();

  friend bool operator==(const HeapUse&, const HeapUse&) = default;
};

// False under a sanitizer: ThreadHeapCalls then stays zero.
extern const bool kHeapCallsCounted;

// Calls of the malloc family that this thread has made so far, free included.
// No change over a piece of code proves that it does not touch the heap.
[[nodiscard]] uint64_t ThreadHeapCalls();

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_HEAP_COUNT_H_
