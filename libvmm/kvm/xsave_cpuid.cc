// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xsave_cpuid.h"

#include <algorithm>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"

namespace libvmm {

void LimitXsave(Cpuid& cpuid, uint32_t mask) {
  const CpuidLeaf main = {.function = cpuid::kXsave};
  const uint32_t had = ReadLeaf(cpuid, main, CpuidRegister::kEax);
  if ((had & ~mask) == 0) return;
  uint32_t size = cpuid::kXsaveBaseSize;
  for (uint32_t i = cpuid::kFirstXsaveComponent; i < cpuid::kXsaveComponents;
       ++i) {
    if ((had >> i & 1) == 0) continue;
    const CpuidLeaf leaf = {.function = cpuid::kXsave, .index = i};
    const kvm_cpuid_entry2* const component = cpuid.Find(leaf);
    // An entry whose index does not count is the main one and answers for all.
    if (component == nullptr ||
        (component->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0) {
      continue;
    }
    if ((mask >> i & 1) == 0) {
      cpuid.Remove(leaf);
    } else {
      size = std::max(size, component->eax + component->ebx);
    }
  }
  EditLeaf(cpuid, main, [&](CpuidWords words) {
    words.eax &= mask;
    // What XCR0 has switched on at the time; KVM keeps it.
    words.ebx = std::min(words.ebx, size);
    words.ecx = size;
  });
}

}  // namespace libvmm
