// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_BUS_H_
#define LIBVMM_DEVICES_PCI_PCI_BUS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_range.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/devices/pci/pci_address.h"
#include "libvmm/devices/pci/pci_bus_state.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/devices/pci/pci_registers.h"

namespace libvmm {

class PciBus;

// A function's place on a PciBus; destroying it takes the function away.
//
// Thread-safety: thread-compatible.
// Ownership: move-only. The bus must outlive it. Once it is gone, no thread is
//     inside the function's configuration space or BARs, and none gets there;
//     the exception is a thread that destroys it from there.
class PciAttachment {
 public:
  // Attaches nothing.
  PciAttachment() = default;
  PciAttachment(PciAttachment&& other) noexcept
      : bus_(std::exchange(other.bus_, nullptr)), address_(other.address_) {}
  PciAttachment& operator=(PciAttachment&& other) noexcept {
    if (this != &other) {
      Detach();
      bus_ = std::exchange(other.bus_, nullptr);
      address_ = other.address_;
    }
    return *this;
  }
  ~PciAttachment() { Detach(); }

  [[nodiscard]] bool attached() const { return bus_ != nullptr; }
  [[nodiscard]] PciAddress address() const { return address_; }

  // Takes the function off the bus now. Harmless when it is not on one. Not
  // from inside a configuration cycle.
  void Detach();

 private:
  friend class PciBus;

  PciAttachment(PciBus& bus, PciAddress address)
      : bus_(&bus), address_(address) {}

  PciBus* bus_ = nullptr;
  PciAddress address_;
};

// Bus 0 of a machine's PCI: up to 32 devices of 8 functions, their
// configuration spaces, and where their BARs appear on the machine's two
// IoBuses. PciConfigPorts and PciEcam carry the guest's accesses here.
//
// A BAR answers while the Command register has its decoding on, its address
// lies inside one of the windows, and no BAR that was there before it overlaps.
// Anything else is the guest's mistake and no error: the BAR does not answer,
// and does when the reason is gone. Where several wait for a place, the lowest
// function and BAR gets it. So sizing, with decoding on or off, shows nothing
// at the addresses that it writes in passing unless these make sense.
//
// Configuration cycles, of all threads, come one after the other, as on the
// wires; each is complete, BARs moved, before the next begins and before the
// guest's access returns. A move waits until no thread is inside the device
// behind the BAR, so such a device must not itself do a configuration cycle,
// nor wait for a thread that does.
//
// Thread-safety: thread-safe.
// Ownership: refers to both IoBuses and the functions. Must outlive its
//     attachments.
// Errors: of Create, Attach and Restore. The guest cannot cause any.
// Cost: a cycle takes one lock, and that of the function. One that moves a BAR
//     costs as much as IoRegistration says, for each region of it; a guest that
//     keeps doing that delays nobody but itself and its own cycles.
class PciBus {
 public:
  struct Options {
    // Where BARs may be; nothing else is registered there. Any number, in any
    // order; they do not overlap.
    std::vector<IoRange> memory_windows = {};
    std::vector<IoRange> io_windows = {};
  };

  // `mmio` and `pio` must outlive the bus. kInvalidArgument: a window is empty
  // or passes the end of its space, two overlap, or an IoBus is of the other
  // space.
  struct Spaces {
    IoBus& mmio;
    IoBus& pio;
  };
  static absl::StatusOr<std::unique_ptr<PciBus>> Create(Spaces spaces,
                                                        Options options);

  PciBus(const PciBus&) = delete;
  PciBus& operator=(const PciBus&) = delete;
  ~PciBus();

  // Puts `function`, which is as after its Create or Reset or Restore, at
  // `address`. Guests find a device by its function 0.
  //   kInvalidArgument: there is no such address.
  //   kAlreadyExists: it is taken.
  [[nodiscard]] absl::StatusOr<PciAttachment> Attach(PciAddress address,
                                                     PciFunction& function);

  // One configuration cycle: `offset` and data.size() lie inside 4096. Absent
  // functions read all ones and drop writes.
  void ReadConfig(PciAddress address, uint64_t offset,
                  std::span<std::byte> data);
  void WriteConfig(PciAddress address, uint64_t offset,
                   std::span<const std::byte> data);

  // Where the BAR answers now.
  [[nodiscard]] std::optional<IoRange> Decoded(PciAddress address,
                                               unsigned bar) const;

  // RST#: PciFunction::Reset for every function, and no BAR answers. Not from
  // inside a BAR's device or a configuration cycle: a device asks its owner.
  void Reset();

  [[nodiscard]] PciBusState Save() const;

  // Every function's state, and BARs where they say. kInvalidArgument: `state`
  // is not of exactly the functions that are here, or as PciFunction::Validate
  // says; then nothing has changed. The same from inside as Reset.
  [[nodiscard]] absl::Status Restore(const PciBusState& state);

 private:
  friend class PciAttachment;

  static constexpr size_t kSlots =
      size_t{PciAddress::kDevices} * PciAddress::kFunctions;

  // What a BAR holds of the IoBus: nothing, or all regions at `range`.
  struct Mapping {
    std::optional<IoRange> range;
    std::vector<IoRegistration> registrations;
  };
  struct Slot {
    PciFunction* function = nullptr;
    std::array<Mapping, pci::kBarCount> bars;
  };

  PciBus(Spaces spaces, Options options);

  void Detach(PciAddress address) ABSL_LOCKS_EXCLUDED(cycle_mutex_);
  void UpdateMultiFunction(uint8_t device)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);

  // What the BAR asks for, if it lies in a window.
  std::optional<IoRange> Wanted(const PciFunction& function,
                                unsigned bar) const;
  bool IsFree(AddressSpace space, const IoRange& range) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);
  // Takes the slot's BARs off that are no longer where it says; true when there
  // was one, whose place others may have waited for.
  bool TakeOff(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);
  // Puts BARs on that do not answer and can.
  void PutOn(Slot& slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);
  void PutOnAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);
  void Unmap(Slot& slot, unsigned bar)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);
  void Map(Slot& slot, unsigned bar, const IoRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cycle_mutex_);

  IoBus& mmio_;
  IoBus& pio_;
  const Options options_;

  // One configuration cycle. Held while BARs move, so while IoRegistrations
  // wait for calls in flight.
  mutable Mutex cycle_mutex_;
  std::array<Slot, kSlots> slots_ ABSL_GUARDED_BY(cycle_mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_BUS_H_
