// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_IO_APIC_H_
#define LIBVMM_DEVICES_INTERRUPT_IO_APIC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/msi.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"
#include "libvmm/devices/interrupt/io_apic_state.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

// What an IOAPIC's pin does, as its redirection entry says.
//
// Thread-safety: immutable value.
struct IoApicRoute {
  // The message that the pin sends. Nothing for delivery mode ExtINT (the PIC's
  // business, see IoApic) and the reserved ones: the pin sends nothing.
  std::optional<Msi> msi = std::nullopt;
  bool masked = true;
  // Sent while the line is high, and waits for the end of interrupt.
  bool level = false;

  friend bool operator==(const IoApicRoute&, const IoApicRoute&) = default;
};

// A PC's IOAPIC, the Intel 82093AA or its version 0x20, with 24 pins
// (io_apic_registers.h): for KVM's split interrupt controller, where local
// APICs are the kernel's and the IOAPIC is not. It sends messages, which
// KVM_SIGNAL_MSI delivers.
//
// Level-triggered pins need the end of interrupt. KVM's split controller
// reserves GSIs for that, one for each pin: it exits with the vector
// (KVM_EXIT_IOAPIC_EOI) when a CPU ends a vector that is in the routing table
// at a reserved GSI as a level-triggered MSI. So for each pin whose Route is
// `level`, masked or not, its msi belongs into the table at GSI = pin, and the
// exit calls EndOfInterrupt. An edge-triggered pin needs a route only for an
// irqfd, and only while it is not masked. A level-triggered pin must not have
// an irqfd that goes around SetLine: its remote IRR would not be seen here.
//
// Pins and messages:
//   - SetLine says whether the pin is asserted; the polarity bit means nothing
//     (as in KVM, KVM_CAP_IOAPIC_POLARITY_IGNORED). A line has one driver;
//     whoever shares one ORs the levels.
//   - An edge at a masked pin is lost. A level is sent when the mask goes.
//   - Remote IRR is set when a level is sent, and cleared by the end of its
//     vector, or by making the pin edge-triggered. If the line is high then,
//     the level is sent again: once for each end.
//   - Delivery modes other than fixed and lowest priority are edges, whatever
//     the trigger bit says. Their trigger bit is not in the message.
//   - ExtINT, which firmware's "virtual wire" has at pin 0, sends nothing: the
//     PIC's output goes to the boot CPU directly, where LINT0 accepts it.
//
// Reads give bytes of the 32-bit register that they touch; where there is no
// register, or no index, all ones. Of a write, IOREGSEL and EOI take the byte
// at their offset, IOWIN takes all of its four bytes or nothing. An access that
// crosses registers does what it does to each, lowest first.
//
// Thread-safety: thread-safe. Any thread may drive lines. Callbacks run outside
//     the lock, on the thread that caused them, maybe on several at once, and
//     may call back.
// Ownership: owns the callbacks. Must outlive its IoRegistration, and every
//     call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: one short lock each, and at most one message for each pin. No
//     allocation.
class IoApic final : public IoDevice {
 public:
  enum class Version : uint8_t {
    k82093Aa = 0x11,
    kWithEoiRegister = 0x20,
  };

  struct Options {
    // Sends a message: IrqChip::SignalMsi.
    absl::AnyInvocable<void(const Msi& msi)> deliver = nullptr;
    // Route(pin) has changed: time to write the routing table. A level is not
    // sent before this has returned, so that the kernel knows of it. When two
    // threads change a pin at once both are told; whoever keeps a table asks
    // for the Route under its own lock, so that the last one is the right one.
    absl::AnyInvocable<void(size_t pin)> route_changed = nullptr;
    Version version = Version::kWithEoiRegister;
    // What the id register is at first, 4 bits (others are dropped); the MADT
    // names it.
    uint8_t id = 0;
    // EntryExtendedDestination counts: CPUs up to id 32767 can be reached. For
    // KVM with KVM_CAP_X2APIC_API, whose form of Msi it uses, and a guest that
    // was told so.
    bool extended_destination_id = false;
  };

  // The state after reset. Callbacks may be null.
  explicit IoApic(Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // The level of a pin, 0 to 23; others are ignored.
  void SetLine(size_t pin, bool level);

  // A CPU has ended an interrupt with this vector.
  void EndOfInterrupt(uint8_t vector);

  // What the pin does now; for a pin that is not there, a default one.
  [[nodiscard]] IoApicRoute Route(size_t pin) const;

  // The state after reset. The lines stay as they are.
  void Reset();

  [[nodiscard]] IoApicState Save() const;
  // Continues from `state`, lines included. Tells of all routes that differ,
  // and sends what is asserted, not masked and not sent yet. On error
  // (IoApicState::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const IoApicState& state);

 private:
  // What is to be told once the lock is given up.
  struct News {
    // Bit n: the route of pin n has changed, and announcing_ counts it.
    uint32_t routes = 0;
    size_t message_count = 0;
    std::array<Msi, io_apic::kPinCount> messages{};
  };

  [[nodiscard]] uint32_t ReadRegister(uint64_t offset) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] uint32_t ReadIndex() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteIndex(uint32_t value, News& news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndOfInterruptLocked(uint8_t vector, News& news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The entry as given, but for remote IRR.
  void SetEntry(size_t pin, uint64_t entry, News& news)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Sends the level of a pin, if it is time.
  void SendLevel(size_t pin, News& news) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tell(News& news) ABSL_LOCKS_EXCLUDED(mutex_);
  [[nodiscard]] IoApicRoute RouteOf(uint64_t entry) const;

  Options options_;

  mutable Mutex mutex_;
  IoApicState state_ ABSL_GUARDED_BY(mutex_);
  // For each pin, how many calls of route_changed are still to return. No level
  // is sent meanwhile: the end of the interrupt might not be heard of.
  std::array<uint32_t, io_apic::kPinCount> announcing_
      ABSL_GUARDED_BY(mutex_){};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_IO_APIC_H_
