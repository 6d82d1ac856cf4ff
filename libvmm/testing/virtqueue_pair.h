// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_VIRTQUEUE_PAIR_H_
#define LIBVMM_TESTING_VIRTQUEUE_PAIR_H_

#include <cstdint>
#include <memory>

#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

// A queue and its driver in 2 MiB of guest memory
// at address zero. The ring is near the start, buffers are in the second half.
//
// Thread-safety: thread-compatible.
struct VirtqueuePair {
  static constexpr uint64_t kMemorySize = 2 << 20;
  static constexpr Gpa kRing{0x1000};
  static constexpr Gpa kBuffers{1 << 20};

  explicit VirtqueuePair(const VirtqueueDriver::Options& options)
      : driver(*memory, kRing, options),
        queue(*Virtqueue::Create(*memory, driver.config())) {}

  static std::unique_ptr<GuestMemory> Memory() {
    std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
    auto region = MemoryRegion::Anonymous({.size = kMemorySize});
    LIBVMM_CHECK(region.ok() && memory->Add(Gpa(0), *region).ok());
    return memory;
  }

  // Buffers at an offset.
  static VirtqueueDriver::Buffer Readable(uint64_t offset, uint32_t size) {
    return {.gpa = kBuffers + offset, .size = size};
  }
  static VirtqueueDriver::Buffer Writable(uint64_t offset, uint32_t size) {
    return {.gpa = kBuffers + offset, .size = size, .writable = true};
  }

  // Takes the next chain, which there is.
  ChainToken Take() {
    LIBVMM_CHECK(queue.Pop(chain) == PopResult::kChain);
    return chain.token();
  }

  std::unique_ptr<GuestMemory> memory = Memory();
  VirtqueueDriver driver;
  Virtqueue queue;
  DescriptorChain chain;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_VIRTQUEUE_PAIR_H_
