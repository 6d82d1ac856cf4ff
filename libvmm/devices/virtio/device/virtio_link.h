// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_LINK_H_
#define LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_LINK_H_

#include <cstdint>

#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// What an active VirtioDevice has of its driver: the queues, the features they
// agreed on, and the ways to be heard. The VirtioFrontEnd implements it; a test
// of a device has the one of libvmm/testing.
//
// Thread-safety: queue() and what it returns in Serve of its lane; the rest is
//     thread-safe.
// Ownership: lent to the device from Activate until Reset.
// Errors: none.
class VirtioLink {
 public:
  // The negotiated features.
  [[nodiscard]] virtual uint64_t features() const = 0;

  [[nodiscard]] virtual GuestMemory& memory() = 0;
  // What deadlines count by.
  [[nodiscard]] virtual const Clock& clock() const = 0;

  // The queue, or null if the driver did not enable it or there is none.
  [[nodiscard]] virtual Virtqueue* queue(uint16_t index) = 0;

  // Interrupts for the queue: Virtqueue::Publish said so.
  virtual void Interrupt(uint16_t index) = 0;

  // The configuration space has changed: the generation is counted up and the
  // driver interrupted (virtio 1.2, section 2.5).
  virtual void ConfigChanged() = 0;

  // The driver broke the rules, or the device cannot go on: DEVICE_NEEDS_RESET
  // (section 2.1). Nothing is served until the driver resets it.
  virtual void Fail() = 0;

  // Serve(lane) is called once more: by this thread before this returns, or by
  // the one that is in it now, or after some rounds of that by the lane's loop.
  // So it is called without locks that Serve takes. Nothing happens before the
  // end of Activate, behind which every lane is served, and in Reset.
  virtual void Wake(uint16_t lane) = 0;

  // Serve(lane) is called when the clock's Monotonic has reached `when`; each
  // call replaces the lane's last one. absl::InfiniteDuration(): never.
  virtual void SetDeadline(uint16_t lane, absl::Duration when) = 0;

 protected:
  VirtioLink() = default;
  VirtioLink(const VirtioLink&) = default;
  VirtioLink& operator=(const VirtioLink&) = default;
  ~VirtioLink() = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_LINK_H_
