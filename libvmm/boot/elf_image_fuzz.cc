// SPDX-License-Identifier: Apache-2.0
// Parses the input as ELF, checks what the parser promises, and loads it into
// memory with read-only pages around: either every segment stands in its place
// and nothing else has changed, or nothing has.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/elf_mappings.h"
#include "libvmm/memory/memory_region.h"

namespace {

using libvmm::ElfImage;
using libvmm::ElfSegment;
using libvmm::Gpa;
using libvmm::GpaRange;
using libvmm::GuestMemory;
using libvmm::MemoryRegion;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMemory = 16 * kPage;
constexpr std::byte kCanary{0xc5};

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckInvariants(const ElfImage& image, std::span<const std::byte> file) {
  const auto segments = image.segments();
  Require(!segments.empty() && segments.size() <= ElfImage::kMaxProgramHeaders);
  const GpaRange range = image.range();
  for (const ElfSegment& segment : segments) {
    Require(segment.memory_size != 0);
    Require(segment.file_bytes.size() <= segment.memory_size);
    Require(segment.file_bytes.empty() ||
            (segment.file_bytes.data() >= file.data() &&
             segment.file_bytes.data() + segment.file_bytes.size() <=
                 file.data() + file.size()));
    Require(range.Contains(segment.gpa, segment.memory_size));
  }
  (void)image.FindNote("Xen", 18);
  (void)libvmm::ElfMappings(image, true);
}

void CheckLoad(const ElfImage& image) {
  // The first and the last page are read-only.
  static const MemoryRegion all = *MemoryRegion::Anonymous({.size = kMemory});
  std::fill(all.bytes().begin(), all.bytes().end(), kCanary);
  const auto memory = GuestMemory::Create();
  const auto add = [&](uint64_t offset, uint64_t size, bool read_only) {
    const MemoryRegion slice = *all.Slice({.offset = offset, .size = size});
    Require(
        memory->Add(Gpa(offset), read_only ? slice.AsReadOnly() : slice).ok());
  };
  add(0, kPage, true);
  add(kPage, kMemory - 2 * kPage, false);
  add(kMemory - kPage, kPage, true);

  const GpaRange writable{Gpa(kPage), kMemory - 2 * kPage};
  const bool fits =
      !image.has_relocations() &&
      std::all_of(image.segments().begin(), image.segments().end(),
                  [&](const ElfSegment& segment) {
                    return writable.Contains(segment.gpa, segment.memory_size);
                  });
  std::vector<std::byte> expected(kMemory, kCanary);
  if (fits) {
    for (const ElfSegment& segment : image.segments()) {
      const auto to = expected.begin() + segment.gpa.value();
      std::fill(to, to + segment.memory_size, std::byte{0});
      std::copy(segment.file_bytes.begin(), segment.file_bytes.end(), to);
    }
  }
  Require(image.Load(*memory).ok() == fits);
  Require(std::equal(expected.begin(), expected.end(), all.data()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  auto image = ElfImage::Parse(file);
  auto image32 = ElfImage::Parse32(file);
  Require(!image.ok() || !image32.ok());
  for (auto* const parsed : {&image, &image32}) {
    if (!parsed->ok()) {
      Require(!parsed->status().message().empty());
      continue;
    }
    CheckInvariants(**parsed, file);
    CheckLoad(**parsed);
    if ((*parsed)->Rebase(3 * kPage).ok()) {
      CheckInvariants(**parsed, file);
      CheckLoad(**parsed);
    }
  }
  return 0;
}
