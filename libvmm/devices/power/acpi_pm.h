// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_ACPI_PM_H_
#define LIBVMM_DEVICES_POWER_ACPI_PM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/acpi_pm_registers.h"
#include "libvmm/devices/power/acpi_pm_state.h"
#include "libvmm/devices/timed_device.h"

namespace libvmm {

// ACPI's power management hardware (ACPI 6.4, section 4.8): PM1a events and
// control, the PM timer, sixteen general-purpose events, and the SMI command
// port by which an operating system takes over (acpi_pm_registers.h). This
// device is the block of registers, kSize bytes at any address that FADT is
// told; smi_port() is a second one, of acpi_pm::kSmiSize bytes.
//
// A write with SLP_EN ends in the sleep callback and kStop, whatever the sleep
// type: which of them is S5 is what the embedder put into _S5. What happens to
// the machine then is up to the embedder, as is wake-up (Wake, and the firmware
// vector).
//
// The SCI is high while SCI_EN is set and an event has both its status and its
// enable bit. The timer's event comes when its top bit changes (section
// 4.8.3.3), every 2.3 seconds with 24 bits, 10 minutes with 32.
//
// Registers are little-endian bytes: accesses of any size and alignment do what
// their bytes do, lowest first, at one moment. Unused bits read zero, offsets
// without a register all ones; writes to both are dropped.
//
// Thread-safety: thread-safe. Callbacks run outside the lock and may call back
//     into this object; sleep, global_release and deadline_moved may run on
//     several threads at once.
// Ownership: owns the callbacks, refers to the clock. Must outlive its
//     IoRegistrations, and every call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a short lock for each access. No allocation.
class AcpiPm final : public IoDevice, public TimedDevice {
 public:
  static constexpr uint16_t kSize = acpi_pm::kSize;
  // Where a PC's chipset has the SMI command port.
  static constexpr uint16_t kSmiPort = 0xb2;
  // Where a PC has the SCI.
  static constexpr uint8_t kIrq = 9;

  struct Options {
    // The SCI, a level: called with the new one, only when it changes; low at
    // first.
    absl::AnyInvocable<void(bool level)> sci = nullptr;
    // The guest has written SLP_EN with this SLP_TYP (0 to 7). On the vCPU's
    // thread, within the access, which then answers kStop.
    absl::AnyInvocable<void(uint8_t type)> sleep = nullptr;
    // The guest has written GBL_RLS: it gives back ACPI's global lock, which
    // firmware waits for (section 5.2.10.1).
    absl::AnyInvocable<void()> global_release = nullptr;
    // See TimedDevice.
    absl::AnyInvocable<void()> deadline_moved = nullptr;
    // FADT's TMR_VAL_EXT: the timer has 32 bits, else 24.
    bool timer_32bit = true;
    // SCI_EN is always set, as for a FADT whose SMI_CMD is zero. Otherwise the
    // guest sets and clears it by kAcpiEnable and kAcpiDisable.
    bool always_acpi = false;
  };

  AcpiPm(const Clock& clock, Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // The SMI command port. Lives as long as this object.
  [[nodiscard]] IoDevice& smi_port() { return smi_port_; }

  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // Fixed events by their PM1 status bits (kPm1Events, others ignored): the
  // guest is told if it has enabled them.
  void Raise(uint16_t pm1_events);
  void PressPowerButton() { Raise(acpi_pm::Pm1PowerButton::kMask); }
  void PressSleepButton() { Raise(acpi_pm::Pm1SleepButton::kMask); }

  // General-purpose event `gpe`, below acpi_pm::kGpe0Count, others ignored.
  // Edge-triggered: the guest clears the status, and it stays clear.
  void RaiseGpe(uint8_t gpe);

  // The machine comes out of a sleep state: sets WAK_STS.
  void Wake();

  // As after power-on. The timer runs on.
  void Reset();

  // All that the guest can see, at one moment between two register accesses.
  [[nodiscard]] AcpiPmState Save() const;

  // Continues from `state`; the SCI callback runs if the level differs from
  // now, deadline_moved if there is a deadline. The timer continues from where
  // it was. On error (AcpiPmState::Validate, and kInvalidArgument when `timer`
  // is wider than this timer, or SCI_EN clear against always_acpi) nothing has
  // changed.
  [[nodiscard]] absl::Status Restore(const AcpiPmState& state);

 private:
  // The SMI command port as a device of its own.
  class SmiPort final : public IoDevice {
   public:
    explicit SmiPort(AcpiPm& pm) : pm_(pm) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    AcpiPm& pm_;
  };

  // What the guest asked for by one access, besides register contents.
  struct Requests {
    bool sleep = false;
    uint8_t sleep_type = 0;
    bool global_release = false;
  };

  using Image = std::array<uint8_t, acpi_pm::kSize>;

  unsigned TimerBits() const { return timer_32bit_ ? 32 : 24; }
  // The timer as if it had 64 bits.
  uint64_t Ticks(absl::Duration monotonic) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Notes the overflow events up to now.
  void Advance(absl::Duration monotonic) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Image ReadImage(absl::Duration monotonic) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteByte(uint64_t offset, uint8_t value, Requests& requests)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SmiCommand(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SciLevel() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration Deadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the pin, and deadline_moved if the deadline is before `before`.
  void Settle(absl::Duration before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const bool timer_32bit_;
  const bool always_acpi_;
  // Called without the lock.
  absl::AnyInvocable<void(uint8_t)> sleep_;
  absl::AnyInvocable<void()> global_release_;
  absl::AnyInvocable<void()> deadline_moved_;
  SmiPort smi_port_{*this};

  mutable Mutex mutex_;
  InterruptPin sci_ ABSL_GUARDED_BY(mutex_);
  // `timer` is the count at origin_.
  AcpiPmState state_ ABSL_GUARDED_BY(mutex_);
  absl::Duration origin_ ABSL_GUARDED_BY(mutex_);
  // Changes of the timer's top bit that pm1_status has heard of.
  uint64_t halves_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_POWER_ACPI_PM_H_
