// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_ADDRESS_H_
#define LIBVMM_BASE_ADDRESS_H_

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>

namespace libvmm {

// True when [offset, offset + size) lies inside [0, total), with no overflow
// whatever the arguments are. An empty range may start at `total`. The one
// check on which every bounded access in libvmm rests.
[[nodiscard]] constexpr bool RangeFits(uint64_t total, uint64_t offset,
                                       uint64_t size) {
  return size <= total && offset <= total - size;
}

// An address in one of the guest's two spaces. `Space` keeps guest-physical and
// guest-virtual addresses from being mixed; a host address stays a pointer.
//
// Address - Address is a distance in bytes, Address + bytes an Address. Plain +
// wraps as the hardware's adder does; CheckedAdd is for sums that guest or
// embedder can choose.
//
// Thread-safety: immutable value.
// Cost: one word, passed in a register.
template <typename Space>
class GuestAddress {
 public:
  constexpr GuestAddress() = default;
  explicit constexpr GuestAddress(uint64_t value) : value_(value) {}

  [[nodiscard]] constexpr uint64_t value() const { return value_; }

  // Nothing when the sum does not fit 64 bits.
  [[nodiscard]] constexpr std::optional<GuestAddress> CheckedAdd(
      uint64_t bytes) const {
    if (bytes > std::numeric_limits<uint64_t>::max() - value_) return {};
    return GuestAddress(value_ + bytes);
  }

  // `alignment` is a power of two. AlignUp wraps to zero above the last
  // multiple.
  [[nodiscard]] constexpr GuestAddress AlignDown(uint64_t alignment) const {
    return GuestAddress(value_ & ~(alignment - 1));
  }
  [[nodiscard]] constexpr GuestAddress AlignUp(uint64_t alignment) const {
    return GuestAddress((value_ + alignment - 1) & ~(alignment - 1));
  }
  [[nodiscard]] constexpr bool IsAligned(uint64_t alignment) const {
    return (value_ & (alignment - 1)) == 0;
  }

  friend constexpr GuestAddress operator+(GuestAddress a, uint64_t bytes) {
    return GuestAddress(a.value_ + bytes);
  }
  friend constexpr GuestAddress operator-(GuestAddress a, uint64_t bytes) {
    return GuestAddress(a.value_ - bytes);
  }
  // Bytes from `b` up to `a`; wraps when b is the higher.
  friend constexpr uint64_t operator-(GuestAddress a, GuestAddress b) {
    return a.value_ - b.value_;
  }
  friend constexpr bool operator==(GuestAddress, GuestAddress) = default;
  friend constexpr auto operator<=>(GuestAddress, GuestAddress) = default;

 private:
  uint64_t value_ = 0;
};

struct GuestPhysicalSpace;
struct GuestVirtualSpace;

// Guest-physical address: what memory slots, DMA and MMIO exits speak.
using Gpa = GuestAddress<GuestPhysicalSpace>;
// Guest-virtual address: what guest code and its page tables speak.
using Gva = GuestAddress<GuestVirtualSpace>;

// A run of guest-physical bytes, [start, start + size). It may reach the last
// byte of the 64-bit space but not past it.
//
// Thread-safety: immutable value.
struct GpaRange {
  Gpa start;
  uint64_t size = 0;

  // Nothing when start + size - 1 does not fit 64 bits. Empty ranges are valid.
  [[nodiscard]] static constexpr std::optional<GpaRange> Create(Gpa start,
                                                                uint64_t size) {
    if (size != 0 &&
        size - 1 > std::numeric_limits<uint64_t>::max() - start.value()) {
      return {};
    }
    return GpaRange{start, size};
  }

  // True when `size` bytes at `gpa` all lie inside.
  [[nodiscard]] constexpr bool Contains(Gpa gpa, uint64_t bytes = 1) const {
    return gpa >= start && RangeFits(size, gpa - start, bytes);
  }
  // True when at least one byte is in both. An empty range overlaps nothing.
  [[nodiscard]] constexpr bool Overlaps(const GpaRange& other) const {
    if (size == 0 || other.size == 0) return false;
    return start <= other.start ? other.start - start < size
                                : start - other.start < other.size;
  }

  friend constexpr bool operator==(const GpaRange&, const GpaRange&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_ADDRESS_H_
