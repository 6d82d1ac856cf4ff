// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_SLOT_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_SLOT_H_

#include <atomic>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "libvmm/devices/virtio/vsock/byte_ring.h"
#include "libvmm/devices/virtio/vsock/internal/call_gate.h"

namespace libvmm::internal {

// VsockSlot::wanted: what the stream's owner has asked for. Bits are only set.
inline constexpr uint32_t kWantConnect = 1 << 0;
inline constexpr uint32_t kWantAccept = 1 << 1;
inline constexpr uint32_t kWantNoWrite = 1 << 2;
inline constexpr uint32_t kWantNoRead = 1 << 3;
inline constexpr uint32_t kWantClose = 1 << 4;
inline constexpr uint32_t kWantReset = 1 << 5;

// VsockSlot::found: what the device knows. Bits are only set.
// The device has taken the slot into its table.
inline constexpr uint32_t kFoundStarted = 1 << 0;
inline constexpr uint32_t kFoundOpen = 1 << 1;
// The guest will not send, or not receive, any more.
inline constexpr uint32_t kFoundNoData = 1 << 2;
inline constexpr uint32_t kFoundNoReader = 1 << 3;
inline constexpr uint32_t kFoundEnded = 1 << 4;
inline constexpr uint32_t kFoundReset = 1 << 5;
// Either: the stream has no connection any more.
inline constexpr uint32_t kFoundOver = kFoundEnded | kFoundReset;

// What a VsockStream and the device share of one connection. It is used again
// for another one when both have let go of it.
struct VsockSlot {
  // Constant from VsockPool::Claim until the slot is free again.
  uint32_t index = 0;
  uint32_t guest_port = 0;
  // The host asked for the connection, not the guest.
  bool outgoing = false;

  // The stream, and the device.
  std::atomic<uint32_t> references = 0;
  // Written by the stream's owner.
  std::atomic<uint32_t> wanted = 0;
  // The owner found no room in to_guest.
  std::atomic<bool> wants_room = false;
  // Written by the device.
  std::atomic<uint32_t> found = 0;
  std::atomic<uint32_t> host_port = 0;
  // to_host.read_total() as the guest was told it last (fwd_cnt).
  std::atomic<uint32_t> told_read = 0;

  // Made by the owner before kWantConnect or kWantAccept. The device is the
  // reader of to_guest, and the writer of to_host.
  ByteRing to_guest;
  ByteRing to_host;
  absl::AnyInvocable<void()> ready;
  CallGate ready_gate;
};

// So much of to_host is to be read before the guest is told: enough that it is
// not told of each byte, little enough that it need not stop.
[[nodiscard]] inline bool IsCreditWorthTelling(const VsockSlot& slot) {
  constexpr uint32_t kPart = 4;
  const uint32_t untold = slot.to_host.read_total() -
                          slot.told_read.load(std::memory_order_relaxed);
  return untold != 0 && untold >= slot.to_host.capacity() / kPart;
}

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_SLOT_H_
