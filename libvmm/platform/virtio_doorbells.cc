// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/virtio_doorbells.h"

#include <utility>

#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/devices/virtio/transport/virtio_mmio.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"

namespace libvmm {

void VirtioDoorbells::PlaceMmio(uint64_t address) {
  doorbells_.clear();
  for (uint16_t queue = 0; queue < front_end_.queue_count(); ++queue) {
    // Queues share the register: the value tells which is meant.
    Add(queue, {.address = address + VirtioMmio::kNotifyOffset,
                .size = sizeof(uint32_t),
                .data_match = queue});
  }
}

void VirtioDoorbells::PlacePci(const std::optional<uint64_t>& address) {
  doorbells_.clear();
  if (!address.has_value()) return;
  for (uint16_t queue = 0; queue < front_end_.queue_count(); ++queue) {
    // Any size: KVM need not look at the guest's instruction where the processor
    // tells the address.
    Add(queue, {.address = *address + VirtioPci::kNotifyOffset +
                           queue * VirtioPci::kNotifyStride,
                .size = 0});
  }
}

void VirtioDoorbells::Add(uint16_t queue, const IoEventFd::Options& options) {
  const EventFd* const event = front_end_.queue_doorbell(queue);
  if (event == nullptr) return;
  absl::StatusOr<IoEventFd> doorbell = IoEventFd::Create(vm_, *event, options);
  if (doorbell.ok()) doorbells_.push_back(*std::move(doorbell));
}

}  // namespace libvmm
