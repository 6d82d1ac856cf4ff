// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_FUNCTION_STATE_H_
#define LIBVMM_DEVICES_PCI_PCI_FUNCTION_STATE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/devices/pci/msix_state.h"

namespace libvmm {

// All that a PciFunction remembers. What is right for one function is wrong for
// another, so PciFunction::Validate checks it.
//
// Thread-safety: thread-compatible value.
struct PciFunctionState {
  // Configuration space, byte by byte: 256 or 4096.
  std::vector<uint8_t> config = {};
  // What SetInterrupt was told last.
  bool interrupt = false;
  // There if and only if the function has MSI-X. The two bits of Message
  // Control are in `config` too, and agree.
  std::optional<MsixState> msix = std::nullopt;

  friend bool operator==(const PciFunctionState&,
                         const PciFunctionState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_FUNCTION_STATE_H_
