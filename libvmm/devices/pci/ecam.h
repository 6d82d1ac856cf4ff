// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_ECAM_H_
#define LIBVMM_DEVICES_PCI_ECAM_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_registers.h"

namespace libvmm {

// Enhanced Configuration Access Mechanism: memory addresses that are
// configuration space, 4 KiB for each function (PCI Express Base 3.0, section
// 7.2.2). Bus 0 is the first MiB of the window; the rest, if the embedder maps
// more, is of buses where nothing is.
//
// An access of any size and alignment inside a function's 4 KiB is one
// configuration cycle, 8 bytes too. One that leaves them reads all ones and
// writes nothing.
//
// Thread-safety: thread-safe.
// Ownership: refers to the bus.
// Errors: none.
// Cost: PciBus's.
class PciEcam final : public IoDevice {
 public:
  // Bytes of the window for `buses` buses, 1 to 256. The window's base is a
  // multiple of that.
  static constexpr uint64_t Size(uint64_t buses) {
    return buses * pci::kEcamBusSize;
  }

  explicit PciEcam(PciBus& bus) : bus_(bus) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  PciBus& bus_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_ECAM_H_
