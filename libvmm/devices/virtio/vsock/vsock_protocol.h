// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PROTOCOL_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PROTOCOL_H_

// The socket device's numbers and structures (virtio 1.2, section 5.10), all of
// them little-endian. For the device, drivers and tests.

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace libvmm::virtio::vsock {

// Virtqueues (5.10.2).
inline constexpr uint16_t kRxQueue = 0;
inline constexpr uint16_t kTxQueue = 1;
inline constexpr uint16_t kEventQueue = 2;
inline constexpr uint16_t kQueueCount = 3;

// Feature bits (5.10.3), as masks.
inline constexpr uint64_t kFeatureStream = uint64_t{1} << 0;
inline constexpr uint64_t kFeatureSeqPacket = uint64_t{1} << 1;

// Configuration (5.10.4): the guest's context ID and nothing else.
inline constexpr uint32_t kConfigSize = 8;

// Context IDs. Those below kFirstGuestCid and the one with all bits set are
// reserved; bits 63:32 are zero.
inline constexpr uint64_t kHostCid = 2;
inline constexpr uint64_t kFirstGuestCid = 3;
inline constexpr uint64_t kLastGuestCid = 0xfffffffe;

// A packet's header (5.10.6); the payload follows it.
struct Header {
  uint64_t src_cid = 0;
  uint64_t dst_cid = 0;
  uint32_t src_port = 0;
  uint32_t dst_port = 0;
  uint32_t len = 0;
  uint16_t type = 0;
  uint16_t op = 0;
  uint32_t flags = 0;
  uint32_t buf_alloc = 0;
  uint32_t fwd_cnt = 0;
};
// What is on the wire: the structure without its padding at the end.
inline constexpr size_t kHeaderSize = 44;
static_assert(offsetof(Header, fwd_cnt) + sizeof(uint32_t) == kHeaderSize);
static_assert(std::is_trivially_copyable_v<Header>);

// Header::type.
enum class Type : uint16_t {
  kStream = 1,
  kSeqPacket = 2,
};

// Header::op.
enum class Op : uint16_t {
  kInvalid = 0,
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kReadWrite = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// Header::flags of Op::kShutdown (5.10.6.5): what the sender will not do any
// more.
inline constexpr uint32_t kShutdownReceive = 1;
inline constexpr uint32_t kShutdownSend = 2;
inline constexpr uint32_t kShutdownBoth = kShutdownReceive | kShutdownSend;

// What the event queue carries (5.10.6.7).
struct Event {
  uint32_t id = 0;
};
static_assert(sizeof(Event) == 4);
inline constexpr uint32_t kTransportReset = 0;

}  // namespace libvmm::virtio::vsock

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PROTOCOL_H_
