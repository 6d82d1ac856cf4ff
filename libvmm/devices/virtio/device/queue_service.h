// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_DEVICE_QUEUE_SERVICE_H_
#define LIBVMM_DEVICES_VIRTIO_DEVICE_QUEUE_SERVICE_H_

#include <cstdint>

#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"

namespace libvmm {

// What a device made of a chain that ServeQueue gave it.
enum class ChainResult : uint8_t {
  // It is pushed, or will be by a completion.
  kTaken,
  // Not now: it stays available, and ServeQueue ends. Whoever said so calls
  // VirtioLink::Wake or sets a deadline when that changes.
  kLater,
  // The request breaks a rule of the device's kind that leaves nothing to go on
  // with: VirtioLink::Fail, and ServeQueue ends.
  kFail,
};

// The loop that every device runs over an available ring: takes chains, gives
// them to `handle(chain)`, shows the driver what was pushed and interrupts it
// when it wants that, asks for notifications at the end, and looks again if
// something came in between. Malformed chains end in VirtioLink::Fail. After so
// many chains as the ring has places it calls Wake(lane) and ends, so that no
// driver keeps a thread. A ring that is memory no more ends in Fail, too.
//
// `chain` is the caller's buffer, filled anew for each call of `handle`.
//
// Thread-safety: on the thread that is in the lane.
// Errors: none; a guest's are the link's Fail.
// Cost: no allocation, lock or system call but those of `handle` and Interrupt.
template <typename Handle>
void ServeQueue(VirtioLink& link, uint16_t index, uint16_t lane,
                DescriptorChain& chain, Handle handle) {
  Virtqueue* const queue = link.queue(index);
  if (queue == nullptr) return;
  if (!queue->Refresh()) return link.Fail();
  uint32_t budget = queue->config().size;
  bool more = true;
  queue->DisableNotifications();
  while (more) {
    PopResult result = PopResult::kEmpty;
    ChainResult outcome = ChainResult::kTaken;
    while (budget > 0 && (result = queue->Pop(chain)) == PopResult::kChain) {
      --budget;
      outcome = handle(chain);
      if (outcome != ChainResult::kTaken) break;
    }
    if (outcome == ChainResult::kLater) queue->Unpop(chain.token());
    if (queue->Publish()) link.Interrupt(index);
    if (result == PopResult::kMalformed || outcome == ChainResult::kFail) {
      return link.Fail();
    }
    if (outcome == ChainResult::kLater) return;
    if (budget == 0) return link.Wake(lane);
    more = queue->EnableNotifications();
    // So that a driver that only seems to add something keeps no thread.
    if (more && --budget == 0) return link.Wake(lane);
  }
}

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_DEVICE_QUEUE_SERVICE_H_
