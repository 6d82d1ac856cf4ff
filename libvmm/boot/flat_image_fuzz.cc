// SPDX-License-Identifier: Apache-2.0
// Loads the input, behind an 8-byte gpa, into memory with read-only pages on
// both sides of it: either the image stands there and nothing else has changed,
// or nothing has.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "libvmm/boot/flat_image.h"
#include "libvmm/memory/memory_region.h"

namespace {

constexpr uint64_t kPage = 4096;
constexpr std::byte kCanary{0xc5};

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using libvmm::Gpa;
  using libvmm::MemoryRegion;
  uint64_t gpa;
  if (size < sizeof gpa) return 0;
  std::memcpy(&gpa, data, sizeof gpa);
  const auto image = std::as_bytes(std::span(data, size)).subspan(sizeof gpa);

  // Pages 0 and 3 are read-only, 1 and 2 may be written.
  static const MemoryRegion all = *MemoryRegion::Anonymous({.size = 4 * kPage});
  std::fill(all.bytes().begin(), all.bytes().end(), kCanary);
  const auto memory = libvmm::GuestMemory::Create();
  const auto add = [&](uint64_t offset, uint64_t bytes, bool read_only) {
    const MemoryRegion slice = *all.Slice({.offset = offset, .size = bytes});
    Require(
        memory->Add(Gpa(offset), read_only ? slice.AsReadOnly() : slice).ok());
  };
  add(0, kPage, true);
  add(kPage, 2 * kPage, false);
  add(3 * kPage, kPage, true);

  std::vector<std::byte> expected(4 * kPage, kCanary);
  const bool fits = !image.empty() && gpa >= kPage && gpa < 3 * kPage &&
                    image.size() <= 3 * kPage - gpa;
  if (fits) std::copy(image.begin(), image.end(), expected.begin() + gpa);
  Require(libvmm::LoadFlatImage(image, Gpa(gpa), *memory).ok() == fits);
  Require(std::equal(expected.begin(), expected.end(), all.data()));
  return 0;
}
