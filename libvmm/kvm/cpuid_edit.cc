// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/cpuid_edit.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_registers.h"

namespace libvmm {
namespace {

bool VendorIs(const Cpuid& cpuid, absl::string_view vendor) {
  const std::array<char, 12> found = CpuidVendor(cpuid);
  return absl::string_view(found.data(), found.size()) == vendor;
}

}  // namespace

bool EditLeaf(Cpuid& cpuid, CpuidLeaf leaf,
              absl::FunctionRef<void(CpuidWords)> edit) {
  const kvm_cpuid_entry2* const found = cpuid.Find(leaf);
  if (found == nullptr) return false;
  kvm_cpuid_entry2 entry = *found;
  edit({entry.eax, entry.ebx, entry.ecx, entry.edx});
  // Not Cpuid::Set, which would look for the entry's own index: one that does
  // not count may be another entry's.
  const std::pair<CpuidRegister, uint32_t> words[] = {
      {CpuidRegister::kEax, entry.eax},
      {CpuidRegister::kEbx, entry.ebx},
      {CpuidRegister::kEcx, entry.ecx},
      {CpuidRegister::kEdx, entry.edx},
  };
  for (const auto& [which, word] : words) {
    cpuid.ClearBits(leaf, which, ~word);
    cpuid.SetBits(leaf, which, word);
  }
  return true;
}

uint32_t ReadLeaf(const Cpuid& cpuid, CpuidLeaf leaf, CpuidRegister which) {
  const kvm_cpuid_entry2* const entry = cpuid.Find(leaf);
  if (entry == nullptr) return 0;
  switch (which) {
    case CpuidRegister::kEax:
      return entry->eax;
    case CpuidRegister::kEbx:
      return entry->ebx;
    case CpuidRegister::kEcx:
      return entry->ecx;
    case CpuidRegister::kEdx:
      break;
  }
  return entry->edx;
}

uint32_t MaxLeaf(const Cpuid& cpuid, uint32_t base) {
  return std::max(base,
                  ReadLeaf(cpuid, {.function = base}, CpuidRegister::kEax));
}

void RaiseMax(Cpuid& cpuid, uint32_t base, uint32_t leaf) {
  EditLeaf(cpuid, {.function = base},
           [&](CpuidWords words) { words.eax = std::max(words.eax, leaf); });
}

std::array<char, 12> CpuidVendor(const Cpuid& cpuid) {
  std::array<char, 12> vendor = {};
  const kvm_cpuid_entry2* const entry =
      cpuid.Find({.function = cpuid::kVendor});
  if (entry == nullptr) return vendor;
  const uint32_t words[] = {entry->ebx, entry->edx, entry->ecx};
  static_assert(sizeof(words) == sizeof(vendor));
  std::memcpy(vendor.data(), words, sizeof(words));
  return vendor;
}

bool IsIntel(const Cpuid& cpuid) { return VendorIs(cpuid, "GenuineIntel"); }

bool IsAmd(const Cpuid& cpuid) {
  return VendorIs(cpuid, "AuthenticAMD") || VendorIs(cpuid, "HygonGenuine");
}

}  // namespace libvmm
