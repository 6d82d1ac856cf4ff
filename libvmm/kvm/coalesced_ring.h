// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_COALESCED_RING_H_
#define LIBVMM_KVM_COALESCED_RING_H_

// The consumer's side of kvm_coalesced_mmio_ring, apart from where its page
// comes from, so that tests and fuzzing can make pages of their own. Embedders
// use CoalescedMmio.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "libvmm/kvm/io_space.h"

namespace libvmm {

// A guest write that KVM put into the ring instead of exiting for it.
struct CoalescedWrite {
  IoSpace space = IoSpace::kMmio;
  // Port number or guest-physical address.
  uint64_t address = 0;
  // Bytes written, 1 to 8; data beyond them is zero.
  uint32_t size = 0;
  std::array<std::byte, 8> data = {};

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::span(data).first(size);
  }
};

namespace internal {

// CoalescedMmio::Drain on one page shared with a producer that is not trusted.
// `page` is aligned for the ring and holds at least one entry.
size_t DrainCoalescedRing(std::span<std::byte> page,
                          absl::FunctionRef<void(const CoalescedWrite&)> write);

}  // namespace internal
}  // namespace libvmm

#endif  // LIBVMM_KVM_COALESCED_RING_H_
