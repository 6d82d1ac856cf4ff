// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_
#define LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

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
// Buffers mostly lie in the same region as those before, so the ring keeps that
// as `window` from chain to chain, until the memory map changes.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the memory, the window and the chain.
// Errors: none. Once something was refused the chain is unspecified.
// Cost: a compare for each buffer in the window, else a lookup of its address.
class ChainBuilder {
 public:
  struct Buffer {
    Gpa gpa = {};
    uint32_t size = 0;
    bool writable = false;
  };

  ChainBuilder(GuestMemory& memory, GuestMemory::Window& window,
               DescriptorChain& chain)
      : memory_(memory), window_(window), chain_(chain) {
    chain.count_ = chain.readable_ = 0;
    chain.readable_size_ = chain.writable_size_ = 0;
  }

  // False: a chain with this buffer is malformed.
  //
  // Empty buffers are refused, since a chain of n descriptors then has n
  // segments at least, which bounds every loop over a table. No driver uses
  // them.
  [[nodiscard]] bool Add(const Buffer& buffer);

  // Completes the chain. False: it is malformed as a whole.
  [[nodiscard]] bool Finish(ChainToken token) {
    if (chain_.readable_size_ + chain_.writable_size_ > virtio::kMaxChainSize) {
      return false;
    }
    SetToken(chain_, token);
    return true;
  }

  // All of the above for a chain of one buffer in the window, which most are;
  // false and nothing done for others. In line it is a few stores.
  [[nodiscard]] static bool BuildSingle(const GuestMemory::Window& window,
                                        DescriptorChain& chain,
                                        const Buffer& buffer,
                                        ChainToken token) {
    std::byte* const data = Find(window, buffer);
    if (data == nullptr) [[unlikely]]
      return false;
    SetToken(chain, token);
    chain.count_ = 1;
    chain.readable_ = buffer.writable ? 0 : 1;
    chain.readable_size_ = buffer.writable ? 0 : buffer.size;
    chain.writable_size_ = buffer.writable ? buffer.size : 0;
    chain.segments_[0] = {.data = data, .size = buffer.size, .gpa = buffer.gpa};
    return true;
  }

 private:
  // The buffer in host memory; null when it is not wholly in the window, or
  // empty.
  static std::byte* Find(const GuestMemory::Window& window,
                         const Buffer& buffer) {
    const uint64_t offset = buffer.gpa - window.gpa;
    const uint64_t limit = buffer.writable ? window.writable_size : window.size;
    if (!RangeFits(limit, offset, buffer.size) || buffer.size == 0) {
      return nullptr;
    }
    return window.data + offset;
  }

  // With one store: it is soon loaded in one piece, and a load has to wait for
  // the two stores that compilers make of it otherwise.
  static void SetToken(DescriptorChain& chain, ChainToken token) {
    static_assert(sizeof(ChainToken) == sizeof(uint32_t));
    const uint32_t word = token.id | uint32_t{token.places} << 16;
    std::memcpy(static_cast<void*>(&chain.token_), &word, sizeof word);
  }

  bool AddSegment(const ChainSegment& segment, bool writable);

  GuestMemory& memory_;
  GuestMemory::Window& window_;
  DescriptorChain& chain_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_CHAIN_BUILDER_H_
