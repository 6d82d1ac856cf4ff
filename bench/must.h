// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_MUST_H_
#define LIBVMM_BENCH_MUST_H_

#include <utility>

#include "absl/status/statusor.h"
#include "libvmm/base/check.h"

namespace libvmm::bench {

// The value of a call that a benchmark cannot go on without; aborts on an error.
template <typename T>
T Must(absl::StatusOr<T> result) {
  LIBVMM_CHECK(result.ok());
  return *std::move(result);
}

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_MUST_H_
