// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_CONFIG_PORTS_H_
#define LIBVMM_DEVICES_PCI_CONFIG_PORTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_registers.h"

namespace libvmm {

// Configuration mechanism #1: the ports 0xcf8 to 0xcff, through which a PC's
// software has always reached the first 256 bytes of configuration spaces (PCI
// Local Bus 3.0, section 3.2.2.3.2).
//
// Offsets 0 to 3 are CONFIG_ADDRESS, for dwords only; offsets 4 to 7 are
// CONFIG_DATA, for any bytes among them, as one configuration cycle. While
// CONFIG_ADDRESS is not enabled, or names another bus than 0, CONFIG_DATA reads
// all ones and drops writes.
//
// Smaller accesses to offsets 0 to 3 pass the host bridge by. One byte at
// offset 1 goes to Options::reset_control. Everything else, accesses that cross
// from address to data included, reads all ones and drops writes.
//
// Thread-safety: thread-safe. As with the real ports, the guest makes sure that
//     no other CPU gets between its address and its data.
// Ownership: refers to the bus and to reset_control.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a lock for some instructions, and PciBus's.
class PciConfigPorts final : public IoDevice {
 public:
  static constexpr uint16_t kPort = pci::kConfigPort;
  static constexpr uint16_t kSize = pci::kConfigPortSize;

  struct Options {
    // The device behind port 0xcf9, which lies in the middle of this one's and
    // cannot be registered for itself: the Reset Control Register of Intel's
    // chipsets. It sees one byte at offset 0. Null: nothing is there.
    IoDevice* reset_control = nullptr;
  };

  PciConfigPorts(PciBus& bus, Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // CONFIG_ADDRESS is zero.
  void Reset();

  // CONFIG_ADDRESS.
  [[nodiscard]] uint32_t Save() const;
  // kInvalidArgument: bits that no write sets.
  [[nodiscard]] absl::Status Restore(uint32_t config_address);

 private:
  PciBus& bus_;
  IoDevice* const reset_control_;

  mutable Mutex mutex_;
  uint32_t address_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_CONFIG_PORTS_H_
