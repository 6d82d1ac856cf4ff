// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_SEGMENT_DESCRIPTOR_H_
#define LIBVMM_BOOT_SEGMENT_DESCRIPTOR_H_

#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/base/field.h"

struct kvm_segment;

namespace libvmm {

// A segment descriptor as it stands in a GDT or LDT: 8 bytes (Intel SDM volume
// 3, figure 3-8). Base and limit come in two parts.
using DescriptorBaseHigh = Field<uint64_t, 63, 56>;     // base 31:24
using DescriptorGranularity = Field<uint64_t, 55, 55>;  // G: limit in 4 KiB
using DescriptorBig = Field<uint64_t, 54, 54>;          // D/B: 32-bit
using DescriptorLong = Field<uint64_t, 53, 53>;         // L: 64-bit code
using DescriptorAvailable = Field<uint64_t, 52, 52>;    // AVL: for software
using DescriptorLimitHigh = Field<uint64_t, 51, 48>;    // limit 19:16
using DescriptorPresent = Field<uint64_t, 47, 47>;      // P
using DescriptorDpl = Field<uint64_t, 46, 45>;          // privilege level
using DescriptorCodeOrData = Field<uint64_t, 44, 44>;   // S: 0 is a system one
using DescriptorType = Field<uint64_t, 43, 40>;         // TYPE
using DescriptorBaseLow = Field<uint64_t, 39, 16>;      // base 23:0
using DescriptorLimitLow = Field<uint64_t, 15, 0>;      // limit 15:0

// TYPE of a segment, with the accessed bit set as the CPU leaves it (SDM tables
// 3-1 and 3-2). A task-state segment that the task register holds is busy.
enum class SegmentType : uint8_t {
  kLdt = 2,
  kDataReadWrite = 3,
  kTssBusy = 11,
  kCodeExecuteRead = 11,
};

// A selector: index into the table, table, and requested privilege level.
using SelectorIndex = Field<uint16_t, 15, 3>;
using SelectorLdt = Field<uint16_t, 2, 2>;  // TI
using SelectorRpl = Field<uint16_t, 1, 0>;

namespace internal {

// 4 GiB from address zero.
constexpr uint64_t FlatDescriptor(SegmentType type, uint8_t dpl) {
  return DescriptorGranularity::Of(1) | DescriptorLimitHigh::kMask |
         DescriptorPresent::Of(1) | DescriptorDpl::Of(dpl) |
         DescriptorCodeOrData::Of(1) |
         DescriptorType::Of(static_cast<uint64_t>(type)) |
         DescriptorLimitLow::kMask;
}

}  // namespace internal

inline constexpr uint64_t kNullDescriptor = 0;
inline constexpr uint64_t kKernelCode64Descriptor =
    internal::FlatDescriptor(SegmentType::kCodeExecuteRead, 0) |
    DescriptorLong::Of(1);
inline constexpr uint64_t kKernelCode32Descriptor =
    internal::FlatDescriptor(SegmentType::kCodeExecuteRead, 0) |
    DescriptorBig::Of(1);
inline constexpr uint64_t kKernelDataDescriptor =
    internal::FlatDescriptor(SegmentType::kDataReadWrite, 0) |
    DescriptorBig::Of(1);
inline constexpr uint64_t kUserCode64Descriptor =
    internal::FlatDescriptor(SegmentType::kCodeExecuteRead, 3) |
    DescriptorLong::Of(1);
inline constexpr uint64_t kUserCode32Descriptor =
    internal::FlatDescriptor(SegmentType::kCodeExecuteRead, 3) |
    DescriptorBig::Of(1);
inline constexpr uint64_t kUserDataDescriptor =
    internal::FlatDescriptor(SegmentType::kDataReadWrite, 3) |
    DescriptorBig::Of(1);

// Bytes of a task-state segment without an I/O bitmap; the limit is one less.
// The 32-bit and the 64-bit layout have the same size (SDM figures 8-2 and
// 8-11).
inline constexpr uint32_t kTssSize = 0x68;

// Low 8 bytes of a busy TSS descriptor; in 32-bit mode all of it, with `base`
// below 4 GiB. In long mode TssDescriptorHigh follows it. `size` is in bytes,
// I/O bitmap included.
[[nodiscard]] constexpr uint64_t TssDescriptorLow(Gpa base,
                                                  uint32_t size = kTssSize) {
  return DescriptorBaseHigh::Of(base.value() >> 24) | DescriptorPresent::Of(1) |
         DescriptorType::Of(static_cast<uint64_t>(SegmentType::kTssBusy)) |
         DescriptorBaseLow::Of(base.value()) |
         DescriptorLimitHigh::Of((size - 1) >> 16) |
         DescriptorLimitLow::Of(size - 1);
}
[[nodiscard]] constexpr uint64_t TssDescriptorHigh(Gpa base) {
  return base.value() >> 32;
}

// What a segment register holds after `selector` was loaded with `descriptor`.
// `base_high` is the second half of a long mode system descriptor. A descriptor
// that is not present, such as the null one, gives an unusable segment.
[[nodiscard]] kvm_segment ToKvmSegment(uint64_t descriptor, uint16_t selector,
                                       uint64_t base_high = 0);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_SEGMENT_DESCRIPTOR_H_
