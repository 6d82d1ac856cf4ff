// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_PIC_8259A_H_
#define LIBVMM_DEVICES_INTERRUPT_PIC_8259A_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt/pic_8259a_chip.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/interrupt/pic_8259a_state.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

// The two Intel 8259A of a PC, the slave at the master's IR2, with the
// chipset's edge/level control registers (pic_8259a_registers.h): for machines
// without KVM's own PIC, which comes with the full in-kernel controller only.
//
// Whoever runs the boot CPU takes interrupts from here: while `intr` is high
// and the CPU can take one, TryAcknowledge gives its vector, for KVM_INTERRUPT.
// With KVM's split controller the kernel asks the local APIC's LINT0 (ExtINT or
// the APIC off, as firmware leaves it) before it says that the CPU is ready.
//
// Where KVM's PIC and the datasheet differ, this is KVM's:
//   - an edge stays requested until it is acknowledged, although the line
//     falls: a pulse is an interrupt. A level goes with its line.
//   - the slave's request stays at the master in the same way; when the slave
//     has nothing left by then, IRQ 15 is acknowledged, the spurious one;
//   - LTIM, ICW3, buffered mode and MCS-80/85 mode are ignored.
// Before the first initialization, nothing is requested; edges are kept.
// Accesses wider than a byte go to as many registers in a row; behind them is
// all ones.
//
// Thread-safety: thread-safe. Any thread may drive lines. The callback runs
//     outside the lock, on one thread at a time and in order (InterruptPin), and
//     may call back.
// Ownership: owns the callback and its three devices, whose IoRegistrations it
//     must outlive.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: one short lock each. No allocation.
class Pic8259a final {
 public:
  struct Options {
    // The master's INT pin: called with the new level; low at first. The level
    // may have changed again: intr() tells.
    absl::AnyInvocable<void(bool level)> intr = nullptr;
  };

  // The callback may be null.
  explicit Pic8259a(Options options);
  Pic8259a(const Pic8259a&) = delete;
  Pic8259a& operator=(const Pic8259a&) = delete;

  // What belongs at kMasterPort and kSlavePort, pic_8259a::kRegisterCount ports
  // each, and at kElcrPort, kElcrCount ports.
  [[nodiscard]] IoDevice& master() { return master_; }
  [[nodiscard]] IoDevice& slave() { return slave_; }
  [[nodiscard]] IoDevice& elcr() { return elcr_; }

  // The level of an interrupt line, 0 to 15; 2, which has no line, and others
  // are ignored. A line has one driver; whoever shares one ORs the levels.
  void SetLine(size_t irq, bool level);

  // The level of the master's INT pin, now.
  [[nodiscard]] bool intr() const;

  // The CPU's two INTA pulses: takes the highest request into service and gives
  // its vector. With no request it is the spurious one, of IRQ 7.
  uint8_t Acknowledge();
  // The same if there is a request, else nothing.
  std::optional<uint8_t> TryAcknowledge();

  // The state after power-on. The lines stay as they are, and a line that is
  // high is no new edge.
  void Reset();

  [[nodiscard]] Pic8259aState Save() const;
  // Continues from `state`, lines included; the callback runs if the level
  // differs from now. On error (Pic8259aState::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const Pic8259aState& state);

 private:
  static constexpr size_t kMaster = 0;
  static constexpr size_t kSlave = 1;

  class ChipPorts final : public IoDevice {
   public:
    ChipPorts(Pic8259a& pic, size_t chip) : pic_(pic), chip_(chip) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    Pic8259a& pic_;
    const size_t chip_;
  };
  class ElcrPorts final : public IoDevice {
   public:
    explicit ElcrPorts(Pic8259a& pic) : pic_(pic) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    Pic8259a& pic_;
  };

  uint8_t ReadRegister(size_t chip, uint64_t offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteRegister(size_t chip, uint64_t offset, uint8_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t AcknowledgeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Follow every change: the wire from slave to master, and the output. Settle
  // gives the lock up meanwhile.
  void Cascade() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ChipPorts master_{*this, kMaster};
  ChipPorts slave_{*this, kSlave};
  ElcrPorts elcr_{*this};

  mutable Mutex mutex_;
  InterruptPin intr_ ABSL_GUARDED_BY(mutex_);
  std::array<Pic8259aChip, pic_8259a::kChipCount> chips_
      ABSL_GUARDED_BY(mutex_){Pic8259aChip(true), Pic8259aChip(false)};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_PIC_8259A_H_
