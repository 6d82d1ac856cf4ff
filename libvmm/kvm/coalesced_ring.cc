// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/coalesced_ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "libvmm/kvm/abi.h"

namespace libvmm::internal {
namespace {

CoalescedWrite Decode(const kvm_coalesced_mmio& entry) {
  CoalescedWrite write;
  write.space = entry.pio != 0 ? IoSpace::kPio : IoSpace::kMmio;
  write.address = entry.phys_addr;
  write.size = std::min<uint32_t>(entry.len, sizeof(entry.data));
  std::memcpy(write.data.data(), entry.data, write.size);
  return write;
}

}  // namespace

size_t DrainCoalescedRing(
    std::span<std::byte> page,
    absl::FunctionRef<void(const CoalescedWrite&)> write) {
  auto* const ring = reinterpret_cast<kvm_coalesced_mmio_ring*>(page.data());
  const std::byte* const entries = page.data() + sizeof(*ring);
  const auto capacity = static_cast<uint32_t>((page.size() - sizeof(*ring)) /
                                              sizeof(kvm_coalesced_mmio));
  std::atomic_ref<uint32_t> first_index(ring->first);
  std::atomic_ref<uint32_t> last_index(ring->last);
  size_t count = 0;
  while (count < capacity) {
    // Only this side writes `first`, but `write` may have drained on.
    const uint32_t first = first_index.load(std::memory_order_relaxed);
    // Pairs with the kernel's barrier between filling an entry and moving
    // `last`.
    const uint32_t last = last_index.load(std::memory_order_acquire);
    if (first >= capacity || last >= capacity || first == last) break;
    kvm_coalesced_mmio entry;
    std::memcpy(&entry, entries + first * sizeof(entry), sizeof(entry));
    // The entry is copied: the kernel may overwrite it from here on.
    first_index.store((first + 1) % capacity, std::memory_order_release);
    ++count;
    write(Decode(entry));
  }
  return count;
}

}  // namespace libvmm::internal
