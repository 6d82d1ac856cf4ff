// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/flat_image.h"

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace libvmm {

absl::StatusOr<GpaRange> LoadFlatImage(std::span<const std::byte> image,
                                       Gpa gpa, GuestMemory& memory) {
  if (image.empty()) {
    return absl::InvalidArgumentError("flat image is empty");
  }
  const std::optional<GpaRange> range = GpaRange::Create(gpa, image.size());
  if (!range) {
    return absl::InvalidArgumentError(absl::StrCat(
        "flat image of ", image.size(), " bytes at gpa 0x",
        absl::Hex(gpa.value()), " passes the end of the address space"));
  }
  if (!memory.Write(gpa, image)) {
    return absl::OutOfRangeError(absl::StrCat(
        "flat image of ", image.size(), " bytes at gpa 0x",
        absl::Hex(gpa.value()), " is not wholly in writable guest memory"));
  }
  return *range;
}

}  // namespace libvmm
