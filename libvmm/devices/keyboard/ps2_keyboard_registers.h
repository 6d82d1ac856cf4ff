// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_REGISTERS_H_
#define LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_REGISTERS_H_

// What goes over the wire between a PS/2 keyboard and its controller (IBM PS/2
// Hardware Interface Technical Reference, "101- and 102-Key Keyboard": commands
// from the system, commands to the system). All are single bytes.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::ps2_keyboard {

enum class Command : uint8_t {
  kSetLeds = 0xed,       // One argument: Leds.
  kEcho = 0xee,          // Answered by itself.
  kScanCodeSet = 0xf0,   // One argument: the set, or 0 to ask for it.
  kIdentify = 0xf2,      // Answered by kAck and kIdentity.
  kSetTypematic = 0xf3,  // One argument: rate and delay.
  kEnable = 0xf4,
  kDisable = 0xf5,      // And defaults.
  kSetDefaults = 0xf6,  // Scanning stays as it is.
  kResend = 0xfe,
  kReset = 0xff,  // Answered by kAck and kTestPassed.
};
// Bytes below this may be arguments; from here on they are commands always.
inline constexpr uint8_t kFirstCommand = 0xed;

enum class Reply : uint8_t {
  kTestPassed = 0xaa,
  kEcho = 0xee,
  kAck = 0xfa,
  kResend = 0xfe,  // Not understood.
};
inline constexpr uint8_t kIdentity[] = {0xab, 0x83};

// Prefixes of scan codes in set 2. A sequence goes on behind each.
inline constexpr uint8_t kBreak = 0xf0;
inline constexpr uint8_t kExtended = 0xe0;
inline constexpr uint8_t kExtended1 = 0xe1;

// Argument of kSetLeds. Higher bits are not looked at.
using LedScroll = Field<uint8_t, 0, 0>;
using LedNum = Field<uint8_t, 1, 1>;
using LedCaps = Field<uint8_t, 2, 2>;
inline constexpr uint8_t kLedMask =
    LedScroll::kMask | LedNum::kMask | LedCaps::kMask;

// Argument of kSetTypematic: 7 bits. The default is 10.9 characters a second
// after half a second.
inline constexpr uint8_t kTypematicMask = 0x7f;
inline constexpr uint8_t kDefaultTypematic = 0x2b;

// The only set that this keyboard speaks.
inline constexpr uint8_t kScanCodeSet2 = 2;

}  // namespace libvmm::ps2_keyboard

#endif  // LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_REGISTERS_H_
