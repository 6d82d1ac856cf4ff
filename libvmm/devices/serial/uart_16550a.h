// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_SERIAL_UART_16550A_H_
#define LIBVMM_DEVICES_SERIAL_UART_16550A_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/serial/uart_16550a_registers.h"
#include "libvmm/devices/serial/uart_16550a_state.h"

namespace libvmm {

// A PC's serial port: the National Semiconductor PC16550D UART with FIFOs,
// eight byte-wide registers (uart_16550a_registers.h).
//
// The line is infinitely fast: what the guest transmits is gone, and what the
// host gives is received, at once. So the divisor and the character format are
// kept and mean nothing, and bytes that wait in the receiver FIFO below its
// trigger level have waited four character times: they show as a character
// timeout until they are read. All input interrupts are levels of the FIFO:
// input that arrives while IER masks them interrupts when the mask goes.
//
// Nothing that the host gives is ever lost: Receive takes what the FIFO has
// room for and says how much. An overrun is only possible in loopback, where
// the guest outruns itself.
//
// An access wider than a byte goes to as many registers in a row, lowest first,
// as the PC's bus does it. There are eight; behind them is all ones.
//
// Thread-safety: thread-safe. Any vCPU threads and host threads at once; each
//     byte of an access is atomic. Callbacks run outside the lock and may call
//     back into this object. The interrupt callback and the sink each run on
//     one thread at a time and in order; no thread waits for another one's
//     callback, so one may run what both caused.
// Ownership: owns the callbacks. Must outlive its IoRegistration, and every
//     call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a register access takes one lock, held for some instructions and never
//     during a callback: guests with several CPUs and the host's input thread
//     meet here, and a UART is far from any fast path. It takes it once more
//     after each callback. No allocation. Whatever other threads do meanwhile,
//     a byte of an access runs at most 17 sink calls, some hundred interrupt
//     callbacks and one receive_ready.
class Uart16550a final : public IoDevice {
 public:
  struct Options {
    // The INTR pin: called with the new level, only when it changes; low at
    // first. The datasheet's pin, not gated by MCR.OUT2 as some PC boards do.
    // What it did and took back while the callback runs follows as a pulse.
    // Only a guest that changes it during hundreds of calls in a row, each time
    // before the callback returns, can have it stay high until the next call
    // to this object, which then tells the fall and any rise since.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;
    // Takes what the guest transmits: one to 16 bytes, lent for the call, on
    // the vCPU thread that wrote them. More than one when the guest writes
    // while the sink is busy on another thread.
    absl::AnyInvocable<void(std::span<const std::byte> bytes)> sink = nullptr;
    // The receiver is empty after a Receive that took less than it was given:
    // time to offer the rest. Called on the thread that emptied it, maybe while
    // another is still in this callback: it shares with the host's input thread
    // what is left to offer, so it has a lock for that anyway.
    absl::AnyInvocable<void()> receive_ready = nullptr;
    // The kMsrInputs at the pins at first: a peer that is there and ready.
    uint8_t modem_inputs = Uart16550aState().modem_inputs;
  };

  // The state after reset. Callbacks may be null.
  explicit Uart16550a(Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // Input from the line. Takes bytes from the front while the receiver has room
  // (16 with FIFOs enabled, else 1; none in loopback, where the line is cut)
  // and returns how many. If not all, receive_ready will follow.
  [[nodiscard]] size_t Receive(std::span<const std::byte> bytes);

  // One character that came with errors, kLsrCharacterErrors; a break is a zero
  // byte with LsrBreak. False when there is no room, as with Receive.
  [[nodiscard]] bool ReceiveWithErrors(std::byte byte, uint8_t errors);

  // The levels of the kMsrInputs at the pins, other bits ignored. The guest
  // sees them, and what changed, but in loopback.
  void SetModemInputs(uint8_t inputs);

  // The MR pin. Bytes not read or not yet transmitted are gone; SCR, the
  // divisor and the modem inputs stay.
  void Reset();

  // All that the guest can see, at one moment between two register accesses. A
  // byte that the sink was given, even if it has not returned, is not in it.
  [[nodiscard]] Uart16550aState Save() const;

  // Continues from `state`; the interrupt callback runs if the level differs
  // from now. On error (Uart16550aState::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const Uart16550aState& state);

 private:
  uint8_t ReadRegister(uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteRegister(uint64_t offset, uint8_t value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteIer(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteFcr(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteLcr(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteMcr(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteThr(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadRbr() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadIir() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadLsr() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint8_t ReadMsr() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // A character off the line, or off the transmitter in loopback.
  void Push(uint8_t byte, uint8_t errors) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  uint8_t Capacity() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Room for input from the line.
  uint8_t Room() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Loopback() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What MSR shows of the inputs.
  uint8_t ModemInputs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Marks what differs between `before` and ModemInputs() now.
  void NoteModemChange(uint8_t before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The highest interrupt that is pending and enabled.
  uart_16550a::InterruptId Pending() const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Level() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool ReadyToReceive() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Run the callbacks that are due, if no other thread is about to. These give
  // the lock up meanwhile. Settle follows every change of state_, before the
  // lock is given up.
  void Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SettlePin() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SettleTransmitter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SettleReceiver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Transmit(std::span<const uint8_t> bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // sink belongs to the thread that set transmitting_.
  Options callbacks_;

  mutable Mutex mutex_;
  Uart16550aState state_ ABSL_GUARDED_BY(mutex_);
  InterruptPin pin_ ABSL_GUARDED_BY(mutex_);
  // Some of a Receive was refused since receive_ready ran.
  bool input_waits_ ABSL_GUARDED_BY(mutex_) = false;
  bool transmitting_ ABSL_GUARDED_BY(mutex_) = false;
  // Of state_.transmit, how many at the front the sink was given. They keep
  // their place until transmitting_ ends.
  uint8_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_SERIAL_UART_16550A_H_
