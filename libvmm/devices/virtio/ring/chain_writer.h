// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_CHAIN_WRITER_H_
#define LIBVMM_DEVICES_VIRTIO_RING_CHAIN_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Writes a chain's device-writable bytes from the front, and marks them dirty.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the segments and the memory that they are of.
// Errors: none.
// Cost: a copy, and a step for each segment passed.
class ChainWriter {
 public:
  ChainWriter(std::span<const ChainSegment> segments, GuestMemory& memory);

  // Bytes of room left.
  [[nodiscard]] uint64_t remaining() const { return remaining_; }
  // Bytes written or passed over so far: the length that Virtqueue::Push tells
  // the driver.
  [[nodiscard]] uint32_t written() const { return written_; }

  // Writes all of `from`; false, and nothing is written, when there is less
  // room.
  [[nodiscard]] bool Write(std::span<const std::byte> from);

  // Writes as much of `from` as there is room for; returns how much.
  size_t WriteSome(std::span<const std::byte> from);

  // Zeroes up to `size` bytes; returns how many.
  uint64_t Fill(uint64_t size);

  // Passes over up to `size` bytes, which stay as they are.
  uint64_t Skip(uint64_t size);

 private:
  // Calls visit(piece, bytes before it) for the next `size` bytes, or as many
  // as there are; returns how many.
  template <typename Visit>
  uint64_t ForEachPiece(uint64_t size, Visit visit);

  std::span<const ChainSegment> segments_;
  GuestMemory& memory_;
  // Into segments_.front().
  uint64_t offset_ = 0;
  uint64_t remaining_ = 0;
  uint32_t written_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_CHAIN_WRITER_H_
