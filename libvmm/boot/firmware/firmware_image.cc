// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/firmware/firmware_image.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

constexpr Gpa kRomEnd(uint64_t{1} << 32);
constexpr Gpa kShadowEnd(uint64_t{1} << 20);

}  // namespace

absl::StatusOr<FirmwareImage> FirmwareImage::Create(
    std::span<const std::byte> image) {
  if (image.empty() || image.size() > kMaxSize ||
      image.size() % kGranule != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "firmware image is ", image.size(), " bytes, expected a multiple of ",
        kGranule, " up to ", kMaxSize));
  }
  LIBVMM_ASSIGN_OR_RETURN(const MemoryRegion region,
                          MemoryRegion::Anonymous({.size = image.size()}));
  std::copy(image.begin(), image.end(), region.bytes().begin());
  return FirmwareImage(region.AsReadOnly());
}

GpaRange FirmwareImage::rom_range() const {
  return {kRomEnd - image_.size(), image_.size()};
}

GpaRange FirmwareImage::shadow_range() const {
  const uint64_t size = std::min(image_.size(), kMaxShadowSize);
  return {kShadowEnd - size, size};
}

absl::Status FirmwareImage::AddRom(VmMemory& memory) const {
  return memory.Add(rom_range().start, image_);
}

absl::Status FirmwareImage::WriteShadow(GuestMemory& memory) const {
  const GpaRange range = shadow_range();
  const std::span<const std::byte> image = image_.bytes();
  if (memory.Write(range.start, image.last(range.size))) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(
      absl::StrCat("firmware copy of ", range.size, " bytes at gpa 0x",
                   absl::Hex(range.start.value()),
                   " is not wholly in writable guest memory"));
}

}  // namespace libvmm
