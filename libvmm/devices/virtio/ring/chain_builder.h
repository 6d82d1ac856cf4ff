// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_
#define LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Fills a DescriptorChain from copies of descriptors, and checks what does not
// depend on the layout: a buffer is not empty and all of it is memory, one to
// be written is writable, those to be read come first, the chain is neither too
// long nor too large.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the memory and the chain.
// Errors: none. Once something was refused the chain is unspecified.
// Cost: a lookup of the address for each buffer.
class ChainBuilder {
 public:
  struct Buffer {
    Gpa gpa;
    uint32_t size = 0;
    bool writable = false;
  };

  ChainBuilder(GuestMemory& memory, DescriptorChain& chain)
      : memory_(memory), chain_(chain) {}

  // False: a chain with this buffer is malformed.
  //
  // Empty buffers are refused, since a chain of n descriptors then has n
  // segments at least, which bounds every loop over a table. No driver uses
  // them.
  [[nodiscard]] bool Add(const Buffer& buffer) {
    return buffer.writable ? AddWritable(buffer) : AddReadable(buffer);
  }

  // Completes the chain. False: it is malformed as a whole.
  [[nodiscard]] bool Finish(ChainToken token) {
    if (readable_size_ + writable_size_ > virtio::kMaxChainSize) return false;
    chain_.token_ = token;
    chain_.count_ = count_;
    chain_.readable_ = readable_;
    chain_.readable_size_ = readable_size_;
    chain_.writable_size_ = writable_size_;
    return true;
  }

 private:
  bool AddReadable(const Buffer& buffer) {
    if (readable_ != count_) [[unlikely]]
      return false;
    readable_size_ += buffer.size;
    const std::span<const std::byte> span =
        memory_.ReadableSpan({buffer.gpa, buffer.size});
    if (buffer.size == 0 || span.size() != buffer.size ||
        count_ == DescriptorChain::kMaxSegments) [[unlikely]] {
      return AddReadablePieces(buffer);
    }
    // Never written: the builder put it before `readable_`.
    chain_.segments_[count_] = {.data = const_cast<std::byte*>(span.data()),
                                .size = buffer.size,
                                .gpa = buffer.gpa};
    readable_ = ++count_;
    return true;
  }

  bool AddWritable(const Buffer& buffer) {
    writable_size_ += buffer.size;
    const std::span<std::byte> span =
        memory_.WritableSpan({buffer.gpa, buffer.size});
    if (buffer.size == 0 || span.size() != buffer.size ||
        count_ == DescriptorChain::kMaxSegments) [[unlikely]] {
      return AddWritablePieces(buffer);
    }
    chain_.segments_[count_] = {
        .data = span.data(), .size = buffer.size, .gpa = buffer.gpa};
    ++count_;
    return true;
  }

  // For what is not one piece, or cannot be.
  bool AddReadablePieces(const Buffer& buffer);
  bool AddWritablePieces(const Buffer& buffer);
  template <typename FindSpan>
  bool AddPieces(const Buffer& buffer, FindSpan find_span);

  GuestMemory& memory_;
  DescriptorChain& chain_;
  uint32_t count_ = 0;
  uint32_t readable_ = 0;
  uint64_t readable_size_ = 0;
  uint64_t writable_size_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_
