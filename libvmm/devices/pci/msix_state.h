// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_MSIX_STATE_H_
#define LIBVMM_DEVICES_PCI_MSIX_STATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/base/msi.h"

namespace libvmm {

// All that an Msix remembers.
//
// Thread-safety: thread-compatible value.
struct MsixState {
  struct Vector {
    Msi message;
    bool masked = true;
    bool pending = false;
    friend bool operator==(const Vector&, const Vector&) = default;
  };

  // Message Control's two bits.
  bool enabled = false;
  bool function_masked = false;
  // One for each vector that the function has.
  std::vector<Vector> vectors = {};

  friend bool operator==(const MsixState&, const MsixState&) = default;

  // kInvalidArgument names the first field that no Msix could have reached, and
  // its value: a count of vectors that cannot be, or an address with its low
  // bits set.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_MSIX_STATE_H_
