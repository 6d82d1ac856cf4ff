// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/deadline_source.h"

#include <poll.h>

#include <algorithm>

#include "libvmm/base/status_macros.h"

namespace libvmm {

absl::StatusOr<std::unique_ptr<DeadlineSource>> DeadlineSource::Create(
    const Clock& clock) {
  LIBVMM_ASSIGN_OR_RETURN(EventFd moved, EventFd::Create());
  return std::unique_ptr<DeadlineSource>(
      new DeadlineSource(clock, std::move(moved)));
}

short DeadlineSource::events() const { return POLLIN; }

absl::Duration DeadlineSource::NextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const TimedDevice* device : devices_) {
    next = std::min(next, device->NextDeadline());
  }
  return next;
}

void DeadlineSource::OnReady(short /*revents*/) { (void)moved_.Drain(); }

void DeadlineSource::OnDeadline() {
  const absl::Duration now = clock_.Monotonic();
  for (TimedDevice* device : devices_) {
    if (device->NextDeadline() <= now) device->OnDeadline();
  }
}

}  // namespace libvmm
