// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_CHAIN_READER_H_
#define LIBVMM_DEVICES_VIRTIO_RING_CHAIN_READER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// Reads a chain's device-readable bytes from the front, whatever pieces the
// driver cut them into (virtio 1.2, section 2.7.4: a device makes no assumption
// about that).
//
// Thread-safety: thread-compatible.
// Ownership: refers to the segments.
// Errors: none.
// Cost: a copy, and a step for each segment passed.
class ChainReader {
 public:
  explicit ChainReader(std::span<const ChainSegment> segments);

  // Bytes not read yet.
  [[nodiscard]] uint64_t remaining() const { return remaining_; }

  // Fills `to` with the next bytes; false, and nothing is read, when there are
  // fewer.
  [[nodiscard]] bool Read(std::span<std::byte> to);

  // Fills `to` as far as there are bytes; returns how many.
  size_t ReadSome(std::span<std::byte> to);

  // Passes over up to `size` bytes; returns how many.
  uint64_t Skip(uint64_t size);

  // The next bytes that lie together, at most `size`; empty at the end. They
  // are passed over.
  [[nodiscard]] std::span<const std::byte> Next(uint64_t size);

 private:
  std::span<const ChainSegment> segments_;
  // Into segments_.front().
  uint64_t offset_ = 0;
  uint64_t remaining_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_CHAIN_READER_H_
