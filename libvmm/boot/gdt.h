// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_GDT_H_
#define LIBVMM_BOOT_GDT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/segment_descriptor.h"

struct kvm_dtable;
struct kvm_segment;

namespace libvmm {

// Builder of a global descriptor table (Intel SDM volume 3, chapter 3.5.1). The
// null descriptor is there from the start; selectors follow in order of Add.
//
//   Gdt gdt;
//   const uint16_t code = gdt.Add(kKernelCode64Descriptor);
//   if (!memory.Write(gpa, gdt.bytes())) ...
//   sregs.gdt = gdt.Register(gva_of_gpa);
//   sregs.cs = *gdt.Segment(code);
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: none; the table holds 8192 entries and Add beyond them aborts.
// Cost: one small allocation.
class Gdt {
 public:
  Gdt() : descriptors_{kNullDescriptor} {}

  // The table of EnterLongMode. Linux's order is kept, so that a guest kernel
  // finds what it would have set up itself.
  static constexpr uint16_t kKernelCode32 = 0x08;
  static constexpr uint16_t kKernelCode64 = 0x10;
  static constexpr uint16_t kKernelData = 0x18;
  static constexpr uint16_t kUserCode32 = 0x23;  // with RPL 3
  static constexpr uint16_t kUserData = 0x2b;
  static constexpr uint16_t kUserCode64 = 0x33;
  static constexpr uint16_t kTss = 0x40;
  [[nodiscard]] static Gdt LongMode(Gpa tss, uint32_t tss_size = kTssSize);

  // Appends a code, data or 32-bit system descriptor and returns its selector,
  // with the descriptor's DPL as RPL.
  uint16_t Add(uint64_t descriptor);
  // Appends a 64-bit task-state segment, which takes two entries.
  uint16_t AddTss64(Gpa base, uint32_t size = kTssSize);

  // The table as it goes into guest memory.
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span(descriptors_));
  }
  // GDTR for a table at linear address `base`.
  [[nodiscard]] kvm_dtable Register(Gva base) const;
  // What loading `selector` leaves in a segment register. Nothing when it lies
  // outside the table or names an LDT.
  [[nodiscard]] std::optional<kvm_segment> Segment(uint16_t selector) const;

 private:
  std::vector<uint64_t> descriptors_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_GDT_H_
