// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_I8042_H_
#define LIBVMM_DEVICES_KEYBOARD_I8042_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/keyboard/i8042_registers.h"
#include "libvmm/devices/keyboard/i8042_state.h"
#include "libvmm/devices/keyboard/ps2_key.h"
#include "libvmm/devices/keyboard/ps2_keyboard.h"

namespace libvmm {

// A PC's keyboard controller with a keyboard (i8042_registers.h,
// ps2_keyboard.h). It has two ports, each an IoDevice of one byte, for other
// devices have the ports between them:
//
//   ports.Register({I8042::kDataPort, I8042::kPortSize}, kbd.data_port());
//   ports.Register({I8042::kCommandPort, I8042::kPortSize},
//                  kbd.command_port());
//
// Everything happens at once: the input buffer is never full, and an answer is
// there when the write that asks for it returns. There is one output buffer.
// While it is full the controller keeps one more answer, the last, and the
// keyboard keeps its own; each read lets the next byte follow, answers of the
// controller first. A second channel, AUX, is an option; there is nothing at
// its end, and what is sent there ends in a timeout. Without it the controller
// answers as one that has none: its test fails, and AUX output is keyboard's.
//
// Interrupts are levels of the output buffer, high while it is full; between
// two bytes they fall, as an edge-triggered interrupt controller needs.
//
// The processor is reset by the output port's bit 0 and by pulsing it (0xfe
// and any even command from 0xf0 on). A pulse of A20 does nothing. KVM's
// address line 20 always works: what the guest makes of the gate is kept and
// told, and nothing more.
//
// An access wider than a byte does what its first byte does; the rest reads all
// ones. Unknown commands do nothing.
//
// Thread-safety: thread-safe. Callbacks run outside the lock and may call back
//     into this object; reset, a20 and leds may run on several threads at once.
// Ownership: owns the callbacks. Must outlive its IoRegistrations, and every
//     call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a short lock for each access. No allocation.
class I8042 final {
 public:
  // Where a PC has it.
  static constexpr uint16_t kDataPort = 0x60;
  static constexpr uint16_t kCommandPort = 0x64;
  static constexpr uint16_t kPortSize = 1;
  static constexpr uint8_t kIrq = 1;
  static constexpr uint8_t kAuxIrq = 12;

  struct Options {
    // The interrupt pins: called with the new level, only when it changes; low
    // at first.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;
    absl::AnyInvocable<void(bool level)> aux_interrupt = nullptr;
    // The guest resets the processor: on the vCPU's thread, within the access,
    // which then answers kStop.
    absl::AnyInvocable<void()> reset = nullptr;
    // The A20 gate has changed.
    absl::AnyInvocable<void(bool open)> a20 = nullptr;
    // The keyboard's lights have changed: ps2_keyboard::kLedMask bits.
    absl::AnyInvocable<void(uint8_t leds)> leds = nullptr;
    // There is a second channel.
    bool aux = false;
  };

  explicit I8042(Options options);
  I8042(const I8042&) = delete;
  I8042& operator=(const I8042&) = delete;

  // These live as long as this object.
  [[nodiscard]] IoDevice& data_port() { return data_port_; }
  [[nodiscard]] IoDevice& command_port() { return command_port_; }

  // A key goes down or up. False when the keyboard's queue has no room for it
  // (dozens of keys that the guest did not read), or the guest has turned the
  // keyboard's scanning off: nothing was queued.
  [[nodiscard]] bool PressKey(Ps2Key key);
  [[nodiscard]] bool ReleaseKey(Ps2Key key);
  // All keys down and up again, or false as above.
  [[nodiscard]] bool SendCtrlAltDel();

  // As after power-on and firmware: no keys, no output, the command byte
  // i8042::kDefaultCommandByte.
  void Reset();

  // All that the guest can see, at one moment between two accesses.
  [[nodiscard]] I8042State Save() const;

  // Continues from `state`; interrupt callbacks run if levels differ from now,
  // others do not. On error (I8042State::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const I8042State& state);

 private:
  class DataPort final : public IoDevice {
   public:
    explicit DataPort(I8042& controller) : controller_(controller) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    I8042& controller_;
  };
  class CommandPort final : public IoDevice {
   public:
    explicit CommandPort(I8042& controller) : controller_(controller) {}
    IoResult Read(uint64_t offset, std::span<std::byte> data) override;
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

   private:
    I8042& controller_;
  };

  uint8_t ReadData();
  uint8_t ReadStatus() const;
  IoResult WriteData(uint8_t value);
  IoResult WriteCommand(uint8_t value);

  // Each returns true when the processor is to be reset.
  bool Execute(uint8_t command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Input(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Answer(uint8_t byte, uint8_t status = 0)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t OutputPort() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves the next byte into the output buffer if that is empty.
  void Fill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DrivePins() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What callbacks are told of.
  struct Signals {
    bool a20;
    uint8_t leds;
  };
  Signals CurrentSignals() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Fills the output buffer, then runs the callbacks that are due. Gives the
  // lock up meanwhile.
  void Settle(const Signals& before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool aux_;
  // Called without the lock.
  absl::AnyInvocable<void()> reset_;
  absl::AnyInvocable<void(bool)> a20_;
  absl::AnyInvocable<void(uint8_t)> leds_;
  DataPort data_port_{*this};
  CommandPort command_port_{*this};

  mutable Mutex mutex_;
  InterruptPin pin_ ABSL_GUARDED_BY(mutex_);
  InterruptPin aux_pin_ ABSL_GUARDED_BY(mutex_);
  // But for `keyboard`, which is below.
  I8042State state_ ABSL_GUARDED_BY(mutex_);
  Ps2Keyboard keyboard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_KEYBOARD_I8042_H_
