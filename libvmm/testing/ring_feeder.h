// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_RING_FEEDER_H_
#define LIBVMM_TESTING_RING_FEEDER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

// A driver for measurements: it has filled the ring with requests of one
// writable buffer and makes the next of them available again with one store
// through a host pointer, as often as it is asked. It never looks at what the
// device gives back, which must be in order, and wants no interrupt, as one that
// polls (split, an event index is passed once in 65536).
//
// Thread-safety: thread-compatible.
// Ownership: refers to the memory, which keeps its place.
// Errors: aborts when the area is not memory.
class RingFeeder {
 public:
  // `buffer` has kBufferSize bytes.
  static constexpr uint32_t kBufferSize = 512;

  RingFeeder(GuestMemory& memory, Gpa area, Gpa buffer,
             const VirtqueueDriver::Options& options)
      : packed_(options.packed), size_(options.size) {
    VirtqueueDriver driver(memory, area, options);
    for (int i = 0; i < options.size; ++i) {
      LIBVMM_CHECK(
          driver.Add({{.gpa = buffer, .size = kBufferSize, .writable = true}})
              .has_value());
    }
    if (packed_) {
      // Nothing is available yet.
      for (int i = 0; i < options.size; ++i) {
        driver.WriteDescriptor(
            driver.DescriptorAt(static_cast<uint32_t>(i)),
            virtio::PackedDescriptor{.address = buffer.value()});
      }
    }
    driver.DisableInterrupts();
    config_ = driver.config();
    const std::span<std::byte> ring =
        memory.WritableSpan({packed_ ? config_.descriptors : config_.driver,
                             packed_ ? virtio::kDescriptorSize * size_
                                     : virtio::AvailableSize(size_)});
    LIBVMM_CHECK(!ring.empty());
    ring_ = ring.data();
  }

  [[nodiscard]] const VirtqueueConfig& config() const { return config_; }

  // Makes one more request available.
  void Next() {
    if (!packed_) {
      ++next_;
      __atomic_store_n(
          reinterpret_cast<uint16_t*>(ring_ + virtio::kAvailableIndex), next_,
          __ATOMIC_RELEASE);
      return;
    }
    const virtio::PackedDescriptor descriptor = {
        .size = kBufferSize,
        .id = next_,
        .flags = static_cast<uint16_t>(
            virtio::kDescriptorWrite |
            (wrap_ ? virtio::kDescriptorAvailable : virtio::kDescriptorUsed))};
    __atomic_store_n(
        reinterpret_cast<uint64_t*>(ring_ + virtio::kDescriptorSize * next_ +
                                    virtio::kDescriptorSecondWord),
        descriptor.SecondWord(), __ATOMIC_RELEASE);
    if (++next_ == size_) {
      next_ = 0;
      wrap_ = !wrap_;
    }
  }

 private:
  bool packed_;
  uint16_t size_;
  VirtqueueConfig config_;
  std::byte* ring_ = nullptr;
  // Split: the index; packed: a place.
  uint16_t next_ = 0;
  bool wrap_ = true;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_RING_FEEDER_H_
