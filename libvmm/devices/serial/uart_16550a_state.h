// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_SERIAL_UART_16550A_STATE_H_
#define LIBVMM_DEVICES_SERIAL_UART_16550A_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/serial/uart_16550a_registers.h"

namespace libvmm {

// All that a Uart16550a remembers, for saving and restoring: the registers by
// their datasheet names, and what stands behind them. A default one is the
// state after reset. Bit layouts are those of uart_16550a_registers.h.
//
// Thread-safety: thread-compatible value.
struct Uart16550aState {
  // A byte in the receiver FIFO with its kLsrCharacterErrors, which move to
  // line_errors when it becomes the oldest.
  struct Received {
    uint8_t byte = 0;
    uint8_t errors = 0;
    friend bool operator==(const Received&, const Received&) = default;
  };

  uint8_t ier = 0;
  // As written, without the bits that clear themselves; zero without FcrEnable.
  uint8_t fcr = 0;
  uint8_t lcr = 0;
  uint8_t mcr = 0;
  uint8_t scr = 0;
  uint8_t dll = 0x0c;  // 9600 baud, what firmware leaves behind.
  uint8_t dlm = 0;
  // Of LSR: the kLsrErrors not read yet.
  uint8_t line_errors = 0;
  // Of MSR: the kMsrDeltas not read yet.
  uint8_t modem_deltas = 0;
  // The kMsrInputs at the pins, whatever loopback shows the guest.
  uint8_t modem_inputs = uart_16550a::MsrCts::kMask |
                         uart_16550a::MsrDsr::kMask |
                         uart_16550a::MsrDcd::kMask;
  // The transmitter became empty since IIR told of it or THR was written.
  bool thr_empty_pending = false;
  // Oldest first. At most uart_16550a::kFifoSize, or 1 without FcrEnable.
  uint8_t received_count = 0;
  std::array<Received, uart_16550a::kFifoSize> received{};
  // Written but not yet taken by the transmitter; the same limits.
  uint8_t transmit_count = 0;
  std::array<uint8_t, uart_16550a::kFifoSize> transmit{};

  friend bool operator==(const Uart16550aState&,
                         const Uart16550aState&) = default;

  // kInvalidArgument names the first field that no UART could have reached, and
  // its value. Entries behind the counts are not looked at.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_SERIAL_UART_16550A_STATE_H_
