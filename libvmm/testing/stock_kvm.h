// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_STOCK_KVM_H_
#define LIBVMM_TESTING_STOCK_KVM_H_

#include <cstdlib>

#include "gtest/gtest.h"

namespace libvmm::testing {

// True when the run is known to be on an unmodified KVM with hardware
// virtualization (the laboratory sets it), where no test may find a quirk.
inline bool StockKvmRequired() {
  const char* const value = std::getenv("LIBVMM_STOCK_KVM");
  return value != nullptr && value[0] == '1';
}

}  // namespace libvmm::testing

// For a test of what some KVMs do otherwise: one with shadow page tables that
// emulates the guest's kernel mode lacks instructions, paging modes and ways
// into the kernel. `condition` is what the test has just seen of the KVM, or
// asked of Features; where it is false the test skips and says `quirk`, and
// fails instead under LIBVMM_STOCK_KVM=1.
#define LIBVMM_NEEDS_STOCK_KVM(condition, quirk)                            \
  if (!(condition)) {                                                       \
    if (::libvmm::testing::StockKvmRequired()) {                            \
      FAIL() << "a KVM with a quirk under LIBVMM_STOCK_KVM=1: " << (quirk); \
    }                                                                       \
    GTEST_SKIP() << "quirk of this KVM: " << (quirk);                       \
  }                                                                         \
  static_assert(true)

#endif  // LIBVMM_TESTING_STOCK_KVM_H_
