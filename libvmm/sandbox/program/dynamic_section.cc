// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/dynamic_section.h"

#include <elf.h>

#include "libvmm/boot/elf_fields.h"

namespace libvmm::sandbox {

DynamicSection::DynamicSection(std::span<const std::byte> bytes) {
  static_assert(kTags == DT_RELRENT + 1);
  for (uint64_t at = 0;; at += sizeof(Elf64_Dyn)) {
    const auto entry = elf::ReadAt<Elf64_Dyn>(bytes, at);
    if (!entry || entry->d_tag == DT_NULL) return;
    if (entry->d_tag == DT_FLAGS_1) {
      flags_1_ = entry->d_un.d_val;
    } else if (entry->d_tag >= 0 &&
               static_cast<uint64_t>(entry->d_tag) < kTags) {
      values_[static_cast<size_t>(entry->d_tag)] = entry->d_un.d_val;
    }
  }
}

std::optional<uint64_t> DynamicSection::Find(int64_t tag) const {
  if (tag == DT_FLAGS_1) return flags_1_;
  if (tag < 0 || static_cast<uint64_t>(tag) >= kTags) return {};
  return values_[static_cast<size_t>(tag)];
}

}  // namespace libvmm::sandbox
