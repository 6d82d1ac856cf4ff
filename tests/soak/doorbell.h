// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_DOORBELL_H_
#define TESTS_SOAK_DOORBELL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/io_event_fd.h"
#include "libvmm/kvm/vm.h"

namespace libvmm::soak {

// A vCPU's doorbell port, which at times is an ioeventfd. Each ring of it comes
// either as an exit or through the eventfd, never as both or neither.
//
// Thread-safety: thread-safe.
class Doorbell {
 public:
  static absl::StatusOr<std::unique_ptr<Doorbell>> Create(uint16_t port);

  absl::Status Toggle(const Vm& vm);

  // Rings that came through the eventfd since the beginning.
  [[nodiscard]] uint64_t Events();

 private:
  Doorbell(uint16_t port, EventFd event)
      : port_(port), event_(std::move(event)) {}

  const uint16_t port_;
  const EventFd event_;
  Mutex mutex_;
  std::optional<IoEventFd> bound_ ABSL_GUARDED_BY(mutex_);
  uint64_t events_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_DOORBELL_H_
