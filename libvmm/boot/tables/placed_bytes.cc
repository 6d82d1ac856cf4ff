// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/tables/placed_bytes.h"

#include "absl/strings/str_cat.h"

namespace libvmm {

absl::Status PlacedBytes::Write(GuestMemory& memory) const {
  if (!memory.Write(gpa, bytes)) {
    return absl::OutOfRangeError(absl::StrCat(
        "firmware tables of ", bytes.size(), " bytes at gpa 0x",
        absl::Hex(gpa.value()), " are not wholly in writable guest memory"));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
