// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_PIT_8254_REGISTERS_H_
#define LIBVMM_DEVICES_TIMER_PIT_8254_REGISTERS_H_

// The programming model of the Intel 8254, "Programmable Interval Timer"
// (order number 231164), section "Programming the 8254", as a PC wires it. For
// the device model, drivers and tests.

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::pit_8254 {

// Where a PC has it.
inline constexpr uint16_t kPort = 0x40;

// Offsets. All registers are 8 bits wide. The chip has no reset; what it is at
// first here is in pit_8254_state.h.
enum class Register : uint8_t {
  kCounter0 = 0,  // rw   the interrupt, IRQ 0
  kCounter1 = 1,  // rw   memory refresh, once
  kCounter2 = 2,  // rw   the speaker
  kControl = 3,   // -w   Control Word; reads are a no-operation: all ones
};
inline constexpr uint64_t kRegisterCount = 4;
inline constexpr size_t kCounterCount = 3;

// Clock pulses are 105 in 88,000 ns: 1.193181... MHz, a twelfth of the PC's
// 14.31818 MHz crystal (315/22 MHz).
inline constexpr int64_t kClocks = 105;
inline constexpr int64_t kClocksNanoseconds = 88'000;

// Control Word (figure 7).
using ControlBcd = Field<uint8_t, 0, 0>;
using ControlMode = Field<uint8_t, 3, 1>;
using ControlAccess = Field<uint8_t, 5, 4>;   // RW1, RW0
using ControlSelect = Field<uint8_t, 7, 6>;   // SC1, SC0
using ControlCounter = Field<uint8_t, 5, 0>;  // What belongs to the counter.

// ControlMode. 6 and 7 are 2 and 3 again.
enum class Mode : uint8_t {
  kTerminalCount = 0,  // Interrupt on Terminal Count
  kOneShot = 1,        // Hardware Retriggerable One-Shot
  kRate = 2,           // Rate Generator
  kSquareWave = 3,     // Square Wave Mode
  kSoftwareStrobe = 4,
  kHardwareStrobe = 5,
};

// ControlAccess.
enum class Access : uint8_t {
  kLatch = 0,  // Counter Latch Command, which changes nothing else.
  kLow = 1,
  kHigh = 2,
  kBoth = 3,  // Least significant byte first.
};

// ControlSelect of a Read-Back Command (figure 9), and its bits. Those of the
// latches are active low.
inline constexpr uint8_t kReadBack = 3;
using ReadBackNotStatus = Field<uint8_t, 4, 4>;
using ReadBackNotCount = Field<uint8_t, 5, 5>;
// Bit n of it selects counter n.
using ReadBackCounters = Field<uint8_t, 3, 1>;

// Status Byte (figure 10); ControlCounter has the rest of it.
using StatusNullCount = Field<uint8_t, 6, 6>;
using StatusOut = Field<uint8_t, 7, 7>;

// What a count of zero stands for.
inline constexpr uint32_t kBinaryRange = 0x10000;
inline constexpr uint32_t kBcdRange = 10'000;

}  // namespace libvmm::pit_8254

#endif  // LIBVMM_DEVICES_TIMER_PIT_8254_REGISTERS_H_
