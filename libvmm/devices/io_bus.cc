// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/io_bus.h"

#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/internal/io_bus_state.h"

namespace libvmm {

IoBus::IoBus(AddressSpace space)
    : state_(std::make_shared<internal::IoBusState>(space)) {}

IoBus::~IoBus() = default;

absl::StatusOr<IoRegistration> IoBus::Register(IoRange range,
                                               IoDevice& device) {
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t id, state_->Add(range, device));
  return IoRegistration(state_, id);
}

absl::StatusOr<IoRegistration> IoBus::RegisterDefault(IoDevice& device) {
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t id, state_->AddDefault(device));
  return IoRegistration(state_, id);
}

IoCursor IoBus::MakeCursor() { return IoCursor(state_, state_->AcquireSlot()); }

AddressSpace IoBus::space() const { return state_->space(); }

}  // namespace libvmm
