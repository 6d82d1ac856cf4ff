// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_FUNCTION_H_
#define LIBVMM_DEVICES_PCI_PCI_FUNCTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/msi.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/config_space.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/pci/pci_function_state.h"
#include "libvmm/devices/pci/pci_registers.h"

namespace libvmm {

// A part of a BAR's addresses and the device that answers there. An access that
// leaves it is nobody's, so a device is called with what lies inside only.
struct PciBarRegion {
  uint64_t offset = 0;
  uint64_t size = 0;
  IoDevice* device = nullptr;
};

// A Base Address Register and what stands behind it.
struct PciBar {
  enum class Kind : uint8_t {
    kAbsent,
    kIo,
    kMemory32,
    kMemory64,  // Takes the next register too.
  };
  Kind kind = Kind::kAbsent;
  bool prefetchable = false;
  // A power of two: for I/O 4 to 256, for memory 16 up to 2 GiB, or up to 2^62
  // with 64 bits.
  uint64_t size = 0;
  // Disjoint, inside the size, in any order. The rest of the BAR is taken from
  // others, and unclaimed.
  std::vector<PciBarRegion> regions = {};
};

// A capability in the list, and what the device does when the guest gets to it.
struct PciCapability {
  uint8_t id = 0;
  // Behind id and next pointer.
  std::vector<uint8_t> body = {};
  // Which bits of the body the guest can write; shorter than it: read-only.
  std::vector<uint8_t> writable = {};
  // Some of the body is about to be read: `body` is what it holds, for the
  // device to look at and change. What it changes stays there.
  absl::AnyInvocable<void(std::span<uint8_t> body, uint64_t offset,
                          uint64_t size)>
      read = nullptr;
  // Some of the body was written: `offset` and `size` say what.
  absl::AnyInvocable<void(std::span<const uint8_t> body, uint64_t offset,
                          uint64_t size)>
      written = nullptr;
};

// A register, or several in a row, with a value and bits that the guest can
// write, for what the header has not and no capability covers: the device
// specific bytes from 0x40 on.
struct PciExtraRegister {
  uint16_t offset = 0;
  // At most 8 bytes, little-endian.
  uint8_t size = 1;
  uint64_t value = 0;
  uint64_t writable = 0;
};

// One PCI function with a type 0 header (PCI Local Bus 3.0, chapter 6): its
// configuration space, BARs, interrupt pin and MSI-X. A device model has one
// and puts itself behind the BARs; a PciBus shows it to the guest.
//
//   PciFunction::Options options{.vendor_id = 0x1af4, .device_id = 0x1044};
//   options.bars[0] = {.kind = PciBar::Kind::kMemory32,
//                      .size = 4096,
//                      .regions = {{.size = 4096, .device = &registers}}};
//   LIBVMM_ASSIGN_OR_RETURN(auto function,
//                           PciFunction::Create(std::move(options)));
//   LIBVMM_ASSIGN_OR_RETURN(PciAttachment place,
//                           bus->Attach({.device = 3}, *function));
//
// Interrupts: SetInterrupt is the level that the device wants. It reaches the
// pin, and with it the callback, unless the guest disabled it in the Command
// register or switched MSI-X on. The Status register shows it in any case.
//
// There is no expansion ROM, no BIST and no power management; the error bits of
// the Status register are never set.
//
// Thread-safety: thread-safe. No callback runs under this object's lock. The
//     interrupt callback runs on one thread at a time and in order, as
//     InterruptPin says: it may call back into this object, and no thread waits
//     for another one's callback. The callbacks of capabilities and bar_moved
//     run in the guest's configuration cycle, of which a bus has one at a time;
//     the interrupt callback and those of Msix may. So all of them may use this
//     object, but not the bus. For Msix's callbacks see also there.
// Ownership: owns the callbacks; refers to the devices of the BARs. Must
//     outlive its PciAttachment.
// Errors: of Create and Restore only. The guest cannot cause any.
// Cost: a configuration access takes a lock for some instructions, and once
//     more for each callback.
class PciFunction {
 public:
  struct Options {
    // Not all ones, which says that no function is there.
    uint16_t vendor_id = 0;
    uint16_t device_id = 0;
    uint16_t subsystem_vendor_id = 0;
    uint16_t subsystem_id = 0;
    uint8_t revision = 0;
    // PCI Local Bus 3.0, appendix D.
    uint8_t base_class = 0;
    uint8_t sub_class = 0;
    uint8_t interface = 0;
    // 4 KiB of configuration space instead of 256 bytes. Guests look there only
    // in functions with a PCI Express capability.
    bool extended_config = false;

    std::array<PciBar, pci::kBarCount> bars = {};
    // Listed in this order, before MSI-X.
    std::vector<PciCapability> capabilities = {};
    // Set before the capabilities are placed, and not moved: they must not
    // cover the list that begins at 0x40, unless there is none.
    std::vector<PciExtraRegister> registers = {};

    // 0: none; 1 to 4: INTA# to INTD#.
    uint8_t interrupt_pin = 0;
    // The pin, active high: called with the new level when it changes, low at
    // first. What it did and took back during a call follows as a pulse.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;

    struct MsixOptions {
      Msix::Options vectors;
      // A memory BAR with room at these multiples of 8. The regions are added
      // to it.
      uint8_t bar = 0;
      uint32_t table_offset = 0;
      uint32_t pba_offset = 0;
    };
    std::optional<MsixOptions> msix = std::nullopt;

    // The BAR now answers at `address`; nothing: at none, told before it stops.
    // For what must follow it, such as an ioeventfd.
    absl::AnyInvocable<void(unsigned bar,
                            const std::optional<uint64_t>& address)>
        bar_moved = nullptr;
  };

  // kInvalidArgument names the option; kResourceExhausted: the capabilities do
  // not fit.
  static absl::StatusOr<std::unique_ptr<PciFunction>> Create(Options options);

  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;
  ~PciFunction();

  // ---- The device's side ----------------------------------------------------

  // The device's interrupt, active high.
  void SetInterrupt(bool level);

  // Null without Options::msix.
  [[nodiscard]] Msix* msix() { return msix_.get(); }

  // Command.BusMaster: the guest lets the device reach memory and send
  // messages. Nothing here enforces it.
  [[nodiscard]] bool bus_master() const;

  // The offset of capabilities[i]'s header.
  [[nodiscard]] uint16_t capability_offset(size_t i) const {
    return capability_offsets_[i];
  }

  // ---- The bus's side -------------------------------------------------------

  // Configuration accesses: `offset` up to 4095, any size. Registers that are
  // not there read zero, those behind the space all ones. PciBus calls these,
  // in its configuration cycle, and moves the BARs afterwards.
  void ReadConfig(uint64_t offset, std::span<std::byte> data);
  void WriteConfig(uint64_t offset, std::span<const std::byte> data);

  // What the BAR claims by its register and the Command register: nothing while
  // decoding is off, or where there is no such BAR. Whether it gets that is up
  // to the bus.
  [[nodiscard]] std::optional<uint64_t> BarAddress(unsigned bar) const;
  // As in Options, with the regions of MSI-X.
  [[nodiscard]] const PciBar& bar(unsigned bar) const { return bars_[bar]; }
  // Runs bar_moved.
  void TellBarMoved(unsigned bar, const std::optional<uint64_t>& address);

  // Whether Header Type says that the device has several functions.
  void SetMultiFunction(bool multi_function);

  // RST#: all registers as after Create, the pin low until SetInterrupt says
  // high again, MSI-X as Msix::Reset.
  // While attached, use PciBus::Reset, which also takes the BARs away.
  void Reset();

  [[nodiscard]] PciFunctionState Save() const;

  // kInvalidArgument names what in `state` this function could not have
  // reached: its sizes, bits that are read-only here, MSI-X.
  [[nodiscard]] absl::Status Validate(const PciFunctionState& state) const;

  // As Validate, and then nothing has changed. While attached, use
  // PciBus::Restore, which also moves the BARs.
  [[nodiscard]] absl::Status Restore(const PciFunctionState& state);

 private:
  struct Parts;

  explicit PciFunction(Parts parts);

  bool PinLevel() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Follows every change of interrupt_level_ or config_, before the lock is
  // given up: shows it in Status and tells the pin's level, unless another
  // thread is about to. Gives the lock up meanwhile.
  void SettlePin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Passes Message Control on.
  void SettleMsix() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::array<PciBar, pci::kBarCount> bars_;
  // The space after reset.
  const PciConfigSpace initial_;
  std::vector<uint16_t> capability_offsets_;
  // Called in configuration cycles only.
  std::vector<PciCapability> capabilities_;
  absl::AnyInvocable<void(unsigned bar, const std::optional<uint64_t>& address)>
      bar_moved_;
  const uint16_t msix_offset_;
  const std::unique_ptr<Msix> msix_;

  mutable Mutex mutex_;
  PciConfigSpace config_ ABSL_GUARDED_BY(mutex_);
  // What the device wants, and the pin.
  bool interrupt_level_ ABSL_GUARDED_BY(mutex_) = false;
  InterruptPin pin_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_FUNCTION_H_
