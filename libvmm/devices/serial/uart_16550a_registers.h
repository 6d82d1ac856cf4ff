// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_SERIAL_UART_16550A_REGISTERS_H_
#define LIBVMM_DEVICES_SERIAL_UART_16550A_REGISTERS_H_

// The programming model of the National Semiconductor PC16550D, "Universal
// Asynchronous Receiver/Transmitter with FIFOs" (June 1995), section 8, tables
// I to V. For the device model, drivers and tests.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::uart_16550a {

// Offsets. All registers are 8 bits wide. Reset is the state after MR, table I;
// a register without one keeps its value, and is zero at first here unless
// noted.
enum class Register : uint8_t {
  // With LCR.DLAB clear:
  kRbr = 0,  // r-   -     Receiver Buffer
  kThr = 0,  // -w   -     Transmitter Holding
  kIer = 1,  // rw   0x00  Interrupt Enable
  // With LCR.DLAB set:
  kDll = 0,  // rw   -     Divisor Latch, least significant byte; 0x0c at first
  kDlm = 1,  // rw   -     Divisor Latch, most significant byte
  // Always:
  kIir = 2,  // r-   0x01  Interrupt Identification
  kFcr = 2,  // -w   0x00  FIFO Control
  kLcr = 3,  // rw   0x00  Line Control
  kMcr = 4,  // rw   0x00  MODEM Control
  kLsr = 5,  // r-   0x60  Line Status; writing is for factory tests: dropped
  kMsr = 6,  // r-   0xX0  MODEM Status; writes are dropped
  kScr = 7,  // rw   -     Scratch
};
inline constexpr uint64_t kRegisterCount = 8;

// Bytes in each FIFO.
inline constexpr uint8_t kFifoSize = 16;

// Interrupt Enable Register.
using IerReceivedData = Field<uint8_t, 0, 0>;  // ERBFI
using IerThrEmpty = Field<uint8_t, 1, 1>;      // ETBEI
using IerLineStatus = Field<uint8_t, 2, 2>;    // ELSI
using IerModemStatus = Field<uint8_t, 3, 3>;   // EDSSI
inline constexpr uint8_t kIerMask = 0x0f;

// Interrupt Identification Register.
using IirNotPending = Field<uint8_t, 0, 0>;  // "0" if interrupt pending
using IirId = Field<uint8_t, 3, 0>;          // Table IV, with the bit above
using IirFifosEnabled = Field<uint8_t, 7, 6>;

// Values of IirId, highest priority first (table IV), and what resets each.
enum class InterruptId : uint8_t {
  kLineStatus = 0x6,        // Reading LSR.
  kReceivedData = 0x4,      // Reading RBR, or the FIFO drops below its trigger.
  kCharacterTimeout = 0xc,  // Reading RBR.
  kThrEmpty = 0x2,          // Reading IIR if it is the source, or writing THR.
  kModemStatus = 0x0,       // Reading MSR.
  kNone = 0x1,
};

// FIFO Control Register. The other bits count only when FcrEnable is written as
// 1.
using FcrEnable = Field<uint8_t, 0, 0>;
using FcrReceiverReset = Field<uint8_t, 1, 1>;     // Clears itself.
using FcrTransmitterReset = Field<uint8_t, 2, 2>;  // Clears itself.
using FcrDmaMode = Field<uint8_t, 3, 3>;
using FcrTrigger = Field<uint8_t, 7, 6>;
// Bytes in the receiver FIFO at which it interrupts, by FcrTrigger.
inline constexpr uint8_t kTriggerLevels[] = {1, 4, 8, 14};

// Line Control Register. Only SetBreak and Dlab do something without a real
// line.
using LcrWordLength = Field<uint8_t, 1, 0>;  // Bits in a character, less 5.
using LcrStopBits = Field<uint8_t, 2, 2>;
using LcrParityEnable = Field<uint8_t, 3, 3>;
using LcrEvenParity = Field<uint8_t, 4, 4>;
using LcrStickParity = Field<uint8_t, 5, 5>;
using LcrSetBreak = Field<uint8_t, 6, 6>;
using LcrDlab = Field<uint8_t, 7, 7>;

// MODEM Control Register. Bits 7 to 5 are zero for ever.
using McrDtr = Field<uint8_t, 0, 0>;
using McrRts = Field<uint8_t, 1, 1>;
using McrOut1 = Field<uint8_t, 2, 2>;
using McrOut2 = Field<uint8_t, 3, 3>;
using McrLoop = Field<uint8_t, 4, 4>;
inline constexpr uint8_t kMcrMask = 0x1f;

// Line Status Register.
using LsrDataReady = Field<uint8_t, 0, 0>;
using LsrOverrun = Field<uint8_t, 1, 1>;
using LsrParityError = Field<uint8_t, 2, 2>;
using LsrFramingError = Field<uint8_t, 3, 3>;
using LsrBreak = Field<uint8_t, 4, 4>;
using LsrThrEmpty = Field<uint8_t, 5, 5>;
using LsrTransmitterEmpty = Field<uint8_t, 6, 6>;  // TEMT
using LsrFifoError = Field<uint8_t, 7, 7>;         // Zero without FIFOs.
// The errors that belong to a character in the FIFO, and all that interrupt.
inline constexpr uint8_t kLsrCharacterErrors =
    LsrParityError::kMask | LsrFramingError::kMask | LsrBreak::kMask;
inline constexpr uint8_t kLsrErrors = LsrOverrun::kMask | kLsrCharacterErrors;

// MODEM Status Register: what changed since it was read last, and the inputs.
using MsrDeltaCts = Field<uint8_t, 0, 0>;
using MsrDeltaDsr = Field<uint8_t, 1, 1>;
using MsrTrailingRi = Field<uint8_t, 2, 2>;  // TERI: RI went inactive.
using MsrDeltaDcd = Field<uint8_t, 3, 3>;
using MsrCts = Field<uint8_t, 4, 4>;
using MsrDsr = Field<uint8_t, 5, 5>;
using MsrRi = Field<uint8_t, 6, 6>;
using MsrDcd = Field<uint8_t, 7, 7>;
inline constexpr uint8_t kMsrDeltas = 0x0f;
inline constexpr uint8_t kMsrInputs = 0xf0;

}  // namespace libvmm::uart_16550a

#endif  // LIBVMM_DEVICES_SERIAL_UART_16550A_REGISTERS_H_
