// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_DESCRIPTOR_CHAIN_H_
#define LIBVMM_DEVICES_VIRTIO_RING_DESCRIPTOR_CHAIN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"

namespace libvmm {

// A piece of a chain's buffers that lies together in host memory. Its bytes are
// guest memory: they change at any time, so what matters is copied out once and
// then looked at.
struct ChainSegment {
  std::byte* data = nullptr;
  // Not zero.
  uint64_t size = 0;
  // Where the guest has it: for GuestMemory::MarkDirty after a write.
  Gpa gpa = {};
};

// What gives a chain back to the driver: the buffer id of the used ring, and
// how many places of the ring the chain took (virtio 1.2, sections 2.7.8 and
// 2.8.6). Copied into requests that are completed later.
struct ChainToken {
  uint16_t id = 0;
  uint16_t places = 1;

  friend constexpr bool operator==(const ChainToken&,
                                   const ChainToken&) = default;
};

// One descriptor chain that a Virtqueue gave out (virtio 1.2, section 2.6): the
// driver's buffers, those for the device to read first and those for it to
// write behind them. A copy of the descriptors, made once, each one checked and
// translated; the buffers themselves stay the guest's.
//
// Thread-safety: thread-compatible.
// Ownership: a buffer that Virtqueue::Pop fills again and again; neither Pop nor
//     anything here allocates. The segments' memory may be touched until
//     GuestMemory::Reclaim, as that of GuestMemory::WritableSpan.
// Errors: none; a chain that is not well formed is none that Pop gives out.
// Cost: 24 bytes for each segment there is room for; Pop touches only those in
//     use.
class DescriptorChain {
 public:
  // A chain may have so many segments: descriptors, and one more wherever a
  // buffer crosses from one memory region into the next. Longer ones are not
  // well formed to this library: devices tell drivers limits below it (seg_max
  // of a block device), or have a driver that stays far below.
  static constexpr size_t kMaxSegments = 272;

  DescriptorChain() = default;
  DescriptorChain(const DescriptorChain&) = delete;
  DescriptorChain& operator=(const DescriptorChain&) = delete;

  [[nodiscard]] ChainToken token() const { return token_; }

  // The buffers that the driver filled, in order; then those to be filled.
  // Either may be empty, both are not.
  [[nodiscard]] std::span<const ChainSegment> readable() const {
    return {segments_.data(), readable_};
  }
  [[nodiscard]] std::span<const ChainSegment> writable() const {
    return {segments_.data() + readable_, count_ - readable_};
  }
  // Their sizes in bytes.
  [[nodiscard]] uint64_t readable_size() const { return readable_size_; }
  [[nodiscard]] uint64_t writable_size() const { return writable_size_; }

 private:
  friend class ChainBuilder;

  ChainToken token_;
  uint32_t count_ = 0;
  uint32_t readable_ = 0;
  uint64_t readable_size_ = 0;
  uint64_t writable_size_ = 0;
  std::array<ChainSegment, kMaxSegments> segments_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_DESCRIPTOR_CHAIN_H_
