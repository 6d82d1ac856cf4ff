// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_EDGE_LINE_H_
#define LIBVMM_PLATFORM_EDGE_LINE_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"

namespace libvmm {

// An edge-triggered interrupt line that several threads pulse: each pulse goes
// from low to high and back, none inside another, where its edge would be lost.
//
// Thread-safety: thread-safe; the output is called on one thread at a time.
// Ownership: owns the output.
// Errors: none.
// Cost: a lock, held over two calls of the output.
class EdgeLine {
 public:
  explicit EdgeLine(absl::AnyInvocable<void(bool level)> output)
      : output_(std::move(output)) {}
  EdgeLine(const EdgeLine&) = delete;
  EdgeLine& operator=(const EdgeLine&) = delete;

  void Pulse() {
    const MutexLock lock(mutex_);
    output_(true);
    output_(false);
  }

 private:
  Mutex mutex_;
  absl::AnyInvocable<void(bool level)> output_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_EDGE_LINE_H_
