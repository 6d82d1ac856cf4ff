// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_CPUID_EDIT_H_
#define LIBVMM_KVM_CPUID_EDIT_H_

#include <array>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "libvmm/kvm/cpuid.h"

namespace libvmm {

// Small steps of which the edits of a CPUID list consist.
//
// Thread-safety: thread-compatible, as Cpuid.
// Errors: none.

// The four registers of an entry, to be changed in place.
struct CpuidWords {
  uint32_t& eax;
  uint32_t& ebx;
  uint32_t& ecx;
  uint32_t& edx;
};

// Calls `edit` with the registers of the entry that answers `leaf`. False when
// none does: nothing is added.
bool EditLeaf(Cpuid& cpuid, CpuidLeaf leaf,
              absl::FunctionRef<void(CpuidWords)> edit);

// One register of the entry that answers `leaf`; zero when none does, which is
// what the guest would read.
[[nodiscard]] uint32_t ReadLeaf(const Cpuid& cpuid, CpuidLeaf leaf,
                                CpuidRegister which);

// The highest leaf of a range, as EAX of its first leaf `base` says
// (0, 0x40000000 or 0x80000000); `base` itself when that is absent.
[[nodiscard]] uint32_t MaxLeaf(const Cpuid& cpuid, uint32_t base);
// Makes it at least `leaf`; nothing when `base` is absent.
void RaiseMax(Cpuid& cpuid, uint32_t base, uint32_t leaf);

// The twelve characters of leaf 0, "GenuineIntel"; zero bytes when absent.
[[nodiscard]] std::array<char, 12> CpuidVendor(const Cpuid& cpuid);
[[nodiscard]] bool IsIntel(const Cpuid& cpuid);
// AMD, or Hygon, whose processors are AMD's by another name.
[[nodiscard]] bool IsAmd(const Cpuid& cpuid);

}  // namespace libvmm

#endif  // LIBVMM_KVM_CPUID_EDIT_H_
