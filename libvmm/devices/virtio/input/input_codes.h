// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_CODES_H_
#define LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_CODES_H_

#include <cstdint>

// Types and codes of events: those of Linux's evdev, which virtio takes over
// (virtio 1.2, section 5.8.6). Only what the library's own keyboard and tablet
// have is named.
namespace libvmm::input_code {

// Types.
inline constexpr uint16_t kSynchronize = 0x00;
inline constexpr uint16_t kKey = 0x01;
inline constexpr uint16_t kRelative = 0x02;
inline constexpr uint16_t kAbsolute = 0x03;
inline constexpr uint16_t kLed = 0x11;
inline constexpr uint16_t kRepeat = 0x14;

// kSynchronize.
inline constexpr uint16_t kReport = 0;

// kKey: those of keyboards lie between these, beside a few gaps; then a
// pointer's buttons.
inline constexpr uint16_t kFirstKey = 1;   // Escape.
inline constexpr uint16_t kLastKey = 248;  // Mute of the microphone.
inline constexpr uint16_t kButtonLeft = 0x110;
inline constexpr uint16_t kButtonRight = 0x111;
inline constexpr uint16_t kButtonMiddle = 0x112;
inline constexpr uint16_t kButtonSide = 0x113;
inline constexpr uint16_t kButtonExtra = 0x114;

// The values of keys and buttons.
inline constexpr uint32_t kReleased = 0;
inline constexpr uint32_t kPressed = 1;

// kRelative.
inline constexpr uint16_t kHorizontalWheel = 0x06;
inline constexpr uint16_t kWheel = 0x08;

// kAbsolute.
inline constexpr uint16_t kX = 0x00;
inline constexpr uint16_t kY = 0x01;
inline constexpr uint16_t kAxisCount = 0x40;

// kLed.
inline constexpr uint16_t kNumLock = 0x00;
inline constexpr uint16_t kCapsLock = 0x01;
inline constexpr uint16_t kScrollLock = 0x02;

// kRepeat.
inline constexpr uint16_t kRepeatDelay = 0x00;
inline constexpr uint16_t kRepeatPeriod = 0x01;

// The bus of Ids::bus.
inline constexpr uint16_t kBusVirtual = 0x06;

}  // namespace libvmm::input_code

#endif  // LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_CODES_H_
