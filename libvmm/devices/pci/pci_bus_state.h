// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_BUS_STATE_H_
#define LIBVMM_DEVICES_PCI_PCI_BUS_STATE_H_

#include <vector>

#include "libvmm/devices/pci/pci_address.h"
#include "libvmm/devices/pci/pci_function_state.h"

namespace libvmm {

// All that the functions of a PciBus remember. Where BARs are follows from it,
// but for those that overlap: which of these answers is not saved.
//
// Thread-safety: thread-compatible value.
struct PciBusState {
  struct Function {
    PciAddress address;
    PciFunctionState state;
    friend bool operator==(const Function&, const Function&) = default;
  };
  // In the order of their addresses.
  std::vector<Function> functions;

  friend bool operator==(const PciBusState&, const PciBusState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_BUS_STATE_H_
