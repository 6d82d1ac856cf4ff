// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_INTERRUPTS_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_INTERRUPTS_H_

#include <cstdint>

namespace libvmm {

// Where a VirtioFrontEnd's interrupts go: its transport.
//
// Thread-safety: thread-safe.
// Errors: none.
class VirtioInterrupts {
 public:
  // A used buffer notification for the queue (virtio 1.2, section 2.3).
  virtual void QueueInterrupt(uint16_t queue) = 0;
  // A configuration change notification.
  virtual void ConfigInterrupt() = 0;
  // The device was reset: what is pending is forgotten.
  virtual void ResetInterrupts() = 0;

 protected:
  VirtioInterrupts() = default;
  VirtioInterrupts(const VirtioInterrupts&) = default;
  VirtioInterrupts& operator=(const VirtioInterrupts&) = default;
  ~VirtioInterrupts() = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_INTERRUPTS_H_
