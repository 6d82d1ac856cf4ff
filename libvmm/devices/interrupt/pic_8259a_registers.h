// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_PIC_8259A_REGISTERS_H_
#define LIBVMM_DEVICES_INTERRUPT_PIC_8259A_REGISTERS_H_

// The programming model of the Intel 8259A, "Programmable Interrupt Controller"
// (order number 231468), section "Programming the 8259A", and of the
// edge/level control registers of PC chipsets (Intel 82371SB PIIX3 datasheet,
// section "Interrupt Controller Registers"). For the device model, drivers and
// tests.

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::pic_8259a {

// Where a PC has the two chips and the ELCRs.
inline constexpr uint16_t kMasterPort = 0x20;
inline constexpr uint16_t kSlavePort = 0xa0;
inline constexpr uint16_t kElcrPort = 0x4d0;

// Offsets in a chip: its pin A0. All registers are 8 bits wide.
//   kCommand  -w  ICW1, OCW2, OCW3, told apart by bits 4 and 3
//   kCommand  r-  IRR or ISR, as the last OCW3 chose; IRR at first
//   kData     -w  ICW2, ICW3, ICW4 in this order behind ICW1
//   kData     rw  OCW1, otherwise: the interrupt mask, IMR; 0x00 after ICW1
enum class Register : uint8_t {
  kCommand = 0,
  kData = 1,
};
inline constexpr uint64_t kRegisterCount = 2;

// Offsets of the ELCRs. 8 bits, rw, reset value 0x00; a bit that is set makes
// its input level-triggered.
enum class Elcr : uint8_t {
  kMaster = 0,  // ELCR1; IRQ 0, 1 and 2 are always edge-triggered
  kSlave = 1,   // ELCR2; IRQ 8 and 13 are
};
inline constexpr uint64_t kElcrCount = 2;
inline constexpr uint8_t kElcrMasks[kElcrCount] = {0xf8, 0xde};

inline constexpr size_t kChipCount = 2;
inline constexpr uint8_t kInputs = 8;     // of a chip
inline constexpr uint8_t kIrqCount = 16;  // of both
// The master's input that the slave's output is wired to.
inline constexpr uint8_t kCascade = 2;
// What is acknowledged when nothing is requested.
inline constexpr uint8_t kSpurious = 7;

// Initialization Command Word 1.
using Icw1Ic4 = Field<uint8_t, 0, 0>;   // ICW4 will follow.
using Icw1Sngl = Field<uint8_t, 1, 1>;  // ICW3 will not; otherwise ignored.
using Icw1Ltim = Field<uint8_t, 3, 3>;  // Ignored: the ELCR decides.
using Icw1 = Field<uint8_t, 4, 4>;      // 1 makes a command an ICW1.

// ICW2: the vector of input 0.
using Icw2Vector = Field<uint8_t, 7, 3>;
// ICW3 is kept and ignored: the wiring of a PC is fixed.

// ICW4. The rest, buffered mode and MCS-80/85, means nothing on a PC.
using Icw4Aeoi = Field<uint8_t, 1, 1>;  // Automatic End of Interrupt
using Icw4Sfnm = Field<uint8_t, 4, 4>;  // Special Fully Nested Mode
inline constexpr uint8_t kIcw4Mask = 0x1f;

// Operation Command Word 2.
using Ocw2Level = Field<uint8_t, 2, 0>;
using Ocw2Command = Field<uint8_t, 7, 5>;  // R, SL, EOI

// Values of Ocw2Command.
enum class Ocw2 : uint8_t {
  kRotateInAeoiClear = 0,
  kNonSpecificEoi = 1,
  kNoOperation = 2,
  kSpecificEoi = 3,
  kRotateInAeoiSet = 4,
  kRotateOnNonSpecificEoi = 5,
  kSetPriority = 6,
  kRotateOnSpecificEoi = 7,
};

// Operation Command Word 3.
using Ocw3 = Field<uint8_t, 3, 3>;      // 1 makes a command an OCW3.
using Ocw3Ris = Field<uint8_t, 0, 0>;   // Reads give ISR, not IRR,
using Ocw3Rr = Field<uint8_t, 1, 1>;    // if this is set.
using Ocw3Poll = Field<uint8_t, 2, 2>;  // The next read polls.
using Ocw3Smm = Field<uint8_t, 5, 5>;   // Special mask mode,
using Ocw3Esmm = Field<uint8_t, 6, 6>;  // if this is set.

// The byte that a poll reads; zero when nothing is requested.
using PollLevel = Field<uint8_t, 2, 0>;
using PollRequest = Field<uint8_t, 7, 7>;

}  // namespace libvmm::pic_8259a

#endif  // LIBVMM_DEVICES_INTERRUPT_PIC_8259A_REGISTERS_H_
