// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/msix_state.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "libvmm/devices/pci/msix_registers.h"

namespace libvmm {

using namespace msix;  // NOLINT: the specification's names.

absl::Status MsixState::Validate() const {
  if (vectors.empty() || vectors.size() > kMaxVectors) {
    return absl::InvalidArgumentError(
        absl::StrCat("MsixState.vectors has ", vectors.size(),
                     " elements: 1 to ", kMaxVectors, " can be"));
  }
  for (size_t i = 0; i < vectors.size(); ++i) {
    const Vector& vector = vectors[i];
    if ((vector.message.address & ~uint64_t{kAddressLowMask} & 0xffffffff) !=
        0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "MsixState.vectors[", i, "].message.address is 0x",
          absl::Hex(vector.message.address), ": not a multiple of 4"));
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm
