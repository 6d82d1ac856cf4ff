// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_HOST_BRIDGE_H_
#define LIBVMM_DEVICES_PCI_HOST_BRIDGE_H_

#include <cstdint>

#include "libvmm/devices/pci/pci_function.h"

namespace libvmm {

// Which host bridge sits at device 0, function 0. It is a function like any
// other, without BARs or interrupts, by which software recognises the machine.
enum class PciHostBridgeModel : uint8_t {
  // 1b36:0008, a generic PCI Express host bridge without registers of its own.
  // Linux needs no more.
  kGeneric,
  // 8086:1237, the 82441FX (PMC) of the Intel 440FX chipset.
  k440Fx,
  // 8086:29c0, the 82G33 (MCH), as in the machine that is called Q35.
  kQ35,
};

// The options of a PciFunction that is such a bridge; change them as you like
// before Create. The two Intel ones have the subsystem ids 1af4:1100, by which
// SeaBIOS knows a virtual machine, and what firmware writes there as plain
// storage: the registers that make the BIOS area memory (PAM) and hide SMRAM,
// and for kQ35 the base of ECAM (PCIEXBAR). Nothing moves when they are
// written: the embedder has memory under the BIOS area from the start, and ECAM
// where that firmware expects it.
//
// Datasheets: Intel 290549 (82441FX), sections 3.2.18 and 3.2.22; Intel 317607
// (G33), sections 5.1.13, 5.1.16 and 5.1.25.
[[nodiscard]] PciFunction::Options PciHostBridge(PciHostBridgeModel model);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_HOST_BRIDGE_H_
