// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_I8042_REGISTERS_H_
#define LIBVMM_DEVICES_KEYBOARD_I8042_REGISTERS_H_

// The PC's keyboard controller, an Intel 8042 with the IBM PS/2's program (IBM
// PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
// Controller"). Two ports, 8 bits wide, that are not neighbours:
//   data port     0x60  rw   -     output buffer / input buffer
//   command port  0x64  r-   0x18  status
//                       -w   -     command
// For the device model, drivers and tests.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::i8042 {

// Status.
using StatusOutputFull = Field<uint8_t, 0, 0>;   // OBF
using StatusInputFull = Field<uint8_t, 1, 1>;    // IBF: always 0 here
using StatusSystemFlag = Field<uint8_t, 2, 2>;   // SYS: as in the command byte
using StatusCommand = Field<uint8_t, 3, 3>;      // Last write was a command.
using StatusUnlocked = Field<uint8_t, 4, 4>;     // Inhibit switch: always 1
using StatusAuxOutput = Field<uint8_t, 5, 5>;    // AUXB: output is of AUX
using StatusTimeout = Field<uint8_t, 6, 6>;      // No answer from a device.
using StatusParityError = Field<uint8_t, 7, 7>;  // Always 0 here.

// Commands. "Next" is the byte then written to the data port.
enum class Command : uint8_t {
  kReadRam = 0x20,       // To 0x3f: RAM byte by bits 4:0; 0 is command byte
  kWriteRam = 0x60,      // To 0x7f: next is for RAM likewise
  kPasswordTest = 0xa4,  // Answers kNoPassword.
  kDisableAux = 0xa7,    // AUX: the second channel, if there is one.
  kEnableAux = 0xa8,
  kTestAux = 0xa9,       // Answers a TestResult.
  kSelfTest = 0xaa,      // Answers kSelfTestPassed, sets SYS.
  kTestKeyboard = 0xab,  // Answers a TestResult.
  kDisableKeyboard = 0xad,
  kEnableKeyboard = 0xae,
  kReadInputPort = 0xc0,        // Answers kInputPort.
  kReadOutputPort = 0xd0,       // Answers an output port.
  kWriteOutputPort = 0xd1,      // Next is for the output port.
  kWriteKeyboardOutput = 0xd2,  // Next is output, as of the keyboard.
  kWriteAuxOutput = 0xd3,       // Next is output, as of AUX.
  kWriteAux = 0xd4,             // Next is for the AUX device.
  kPulse = 0xf0,  // To 0xff: pulls output port bits low where 3:0 are 0.
};
inline constexpr uint8_t kRamMask = 0x1f;
inline constexpr uint8_t kRamSize = 32;

inline constexpr uint8_t kNoPassword = 0xf1;
inline constexpr uint8_t kSelfTestPassed = 0x55;
enum class TestResult : uint8_t {
  kPassed = 0x00,
  kClockStuckLow = 0x01,
};
// Input port P1: the keyboard is not locked.
inline constexpr uint8_t kInputPort = 0x80;

// Command byte: RAM byte 0.
using ByteKeyboardInterrupt = Field<uint8_t, 0, 0>;  // IRQ 1 on OBF
using ByteAuxInterrupt = Field<uint8_t, 1, 1>;       // IRQ 12 on OBF of AUX
using ByteSystemFlag = Field<uint8_t, 2, 2>;
using ByteDisableKeyboard = Field<uint8_t, 4, 4>;
using ByteDisableAux = Field<uint8_t, 5, 5>;
using ByteTranslate = Field<uint8_t, 6, 6>;  // Scan code set 2 to set 1.
// What firmware leaves behind: interrupt, system flag and translation on, AUX
// off.
inline constexpr uint8_t kDefaultCommandByte =
    ByteKeyboardInterrupt::kMask | ByteSystemFlag::kMask |
    ByteDisableAux::kMask | ByteTranslate::kMask;

// Output port P2.
using OutputNotReset = Field<uint8_t, 0, 0>;  // 0 resets the processor.
using OutputA20 = Field<uint8_t, 1, 1>;
using OutputAuxInterrupt = Field<uint8_t, 5, 5>;       // IRQ 12
using OutputKeyboardInterrupt = Field<uint8_t, 4, 4>;  // IRQ 1
// Clock and data lines of the keyboard, at rest.
inline constexpr uint8_t kOutputLines = 0xc0;

}  // namespace libvmm::i8042

#endif  // LIBVMM_DEVICES_KEYBOARD_I8042_REGISTERS_H_
