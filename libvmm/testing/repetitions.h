// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_REPETITIONS_H_
#define LIBVMM_TESTING_REPETITIONS_H_

#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm::testing {

// How often a test does what it wants to do `full` times: a tenth of that under
// a sanitizer and in the stock-KVM lab, where all is ten times as slow or more.
inline int Repetitions(int full) {
  return kSanitized || StockKvmRequired() ? full / 10 : full;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_REPETITIONS_H_
