// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_interrupts.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_state.h"

namespace libvmm {

// The registers of virtio over MMIO, version 2 (virtio 1.2, section 4.2): 512
// bytes that show a VirtioFrontEnd to a driver, and one edge-triggered
// interrupt.
//
// Registers are 32 bits wide and want aligned accesses of 4 bytes; other reads
// of them give zeroes, other writes are dropped. So do those that begin in them
// and end in the device's configuration, which from 0x100 on takes any size.
// There is no shared memory and no queue reset. A queue is only made not ready
// before DRIVER_OK; later a write of 0 to QueueReady is dropped, as reading it
// back shows.
//
// Thread-safety: thread-safe. `interrupt` runs on the thread that has something
//     to tell, several at once.
// Ownership: owns the callback; refers to the front end, whose interrupts it
//     is; leaves it when destroyed. Where a back-end completes on threads of its
//     own, VirtioFrontEnd::Reset comes first: it waits for them.
// Errors: of Restore only.
// Cost: an access is that of the front end. An interrupt is an atomic OR and
//     the callback.
class VirtioMmio final : public IoDevice, private VirtioInterrupts {
 public:
  static constexpr uint64_t kSize = 0x200;
  // QueueNotify: where an ioeventfd of 4 bytes that matches the queue's number
  // replaces VirtioFrontEnd::Notify.
  static constexpr uint64_t kNotifyOffset = 0x50;

  struct Options {
    // An edge on the interrupt line.
    absl::AnyInvocable<void()> interrupt = nullptr;
  };

  VirtioMmio(VirtioFrontEnd& front_end, Options options);
  ~VirtioMmio() override;
  VirtioMmio(const VirtioMmio&) = delete;
  VirtioMmio& operator=(const VirtioMmio&) = delete;

  [[nodiscard]] VirtioMmioState Save() const;

  // Before the front end's Restore. An interrupt that is pending is told once
  // more. kInvalidArgument: interrupt_status; then nothing has changed.
  [[nodiscard]] absl::Status Restore(const VirtioMmioState& state);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  void QueueInterrupt(uint16_t queue) override;
  void ConfigInterrupt() override;
  void ResetInterrupts() override;

  // Sets a bit of InterruptStatus and gives an edge.
  void Interrupt(uint32_t cause);
  uint32_t ReadRegister(uint64_t offset);
  void WriteRegister(uint64_t offset, uint32_t value);

  VirtioFrontEnd& front_end_;
  Options options_;
  std::atomic<uint32_t> interrupt_status_ = 0;

  // Two vCPUs that select at the same time are in each other's way on a real
  // device too.
  std::atomic<uint32_t> device_features_select_ = 0;
  std::atomic<uint32_t> driver_features_select_ = 0;
  std::atomic<uint32_t> queue_select_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_H_
