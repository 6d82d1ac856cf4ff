// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_FAULTS_H_
#define TESTS_SOAK_FAULTS_H_

#include <atomic>

#include "absl/status/status.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {

// What went wrong inside a device's callback, which can return no Status: kept
// for the vCPU thread that dispatched, or for the VM's end.
//
// Thread-safety: thread-safe.
class Faults {
 public:
  // `what` is a literal. The first one stays.
  void Note(const char* what) {
    const char* none = nullptr;
    first_.compare_exchange_strong(none, what);
  }
  [[nodiscard]] absl::Status status() const {
    const char* const what = first_.load();
    return what == nullptr ? absl::OkStatus() : Mismatch(what);
  }

 private:
  std::atomic<const char*> first_ = nullptr;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_FAULTS_H_
