// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/io_registration.h"

#include "libvmm/devices/internal/io_bus_state.h"

namespace libvmm {

void IoRegistration::Unregister() {
  if (state_ == nullptr) return;
  // Empty from here on, also for a callback that looks at this object
  // meanwhile.
  const std::shared_ptr<internal::IoBusState> state = std::move(state_);
  state->Remove(std::exchange(id_, 0));
}

}  // namespace libvmm
