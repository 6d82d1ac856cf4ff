// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/elf_mappings.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

constexpr uint64_t kPageSize = 4096;

// The end of the last page that holds one of `size` bytes at `address`; nothing
// when that is past the end of the space.
template <typename Address>
std::optional<Address> PageEnd(Address address, uint64_t size) {
  const std::optional<Address> end = address.CheckedAdd(size);
  if (!end || !end->CheckedAdd(kPageSize - 1)) return {};
  return end->AlignUp(kPageSize);
}

}  // namespace

absl::StatusOr<std::vector<PageMapping>> ElfMappings(const ElfImage& image,
                                                     bool user) {
  std::vector<PageMapping> mappings;
  for (const ElfSegment& segment : image.segments()) {
    if (!segment.readable && !segment.writable && !segment.executable) continue;
    const Gva first = segment.gva.AlignDown(kPageSize);
    const std::optional<Gva> end = PageEnd(segment.gva, segment.memory_size);
    if (!end || !PageEnd(segment.gpa, segment.memory_size)) {
      return absl::InvalidArgumentError(
          absl::StrCat("ELF segment at gva 0x", absl::Hex(segment.gva.value()),
                       ", gpa 0x", absl::Hex(segment.gpa.value()),
                       " reaches the last page of the address space"));
    }
    if (segment.gva.value() % kPageSize != segment.gpa.value() % kPageSize) {
      return absl::InvalidArgumentError(absl::StrCat(
          "ELF segment at gva 0x", absl::Hex(segment.gva.value()),
          " and gpa 0x", absl::Hex(segment.gpa.value()),
          " cannot be mapped: the addresses differ within a page"));
    }
    mappings.push_back({.gva = first,
                        .gpa = segment.gpa.AlignDown(kPageSize),
                        .size = *end - first,
                        .access = {.writable = segment.writable,
                                   .executable = segment.executable,
                                   .user = user}});
  }
  std::sort(
      mappings.begin(), mappings.end(),
      [](const PageMapping& a, const PageMapping& b) { return a.gva < b.gva; });
  for (size_t i = 1; i < mappings.size(); ++i) {
    const PageMapping& before = mappings[i - 1];
    if (mappings[i].gva - before.gva < before.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("ELF segments share the page at gva 0x",
                       absl::Hex(mappings[i].gva.value()),
                       ": link with -z separate-code or larger alignment"));
    }
  }
  return mappings;
}

}  // namespace libvmm
