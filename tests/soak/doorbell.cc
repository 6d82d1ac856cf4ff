// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/doorbell.h"

#include "libvmm/base/status_macros.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {

absl::StatusOr<std::unique_ptr<Doorbell>> Doorbell::Create(uint16_t port) {
  LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  return std::unique_ptr<Doorbell>(new Doorbell(port, std::move(event)));
}

absl::Status Doorbell::Toggle(const Vm& vm) {
  MutexLock lock(mutex_);
  if (bound_.has_value()) {
    bound_.reset();
    return absl::OkStatus();
  }
  const IoEventFd::Options options = {.space = IoSpace::kPio, .address = port_};
  LIBVMM_ASSIGN_OR_RETURN(bound_, IoEventFd::Create(vm, event_, options));
  return ExpectCode("a second ioeventfd at a port",
                    IoEventFd::Create(vm, event_, options).status(),
                    absl::StatusCode::kAlreadyExists);
}

uint64_t Doorbell::Events() {
  MutexLock lock(mutex_);
  return events_ += event_.Drain();
}

}  // namespace libvmm::soak
