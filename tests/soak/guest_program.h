// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_GUEST_PROGRAM_H_
#define TESTS_SOAK_GUEST_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"

namespace libvmm::soak {

// The guest of the soak: one endless loop in real mode, the same for every
// vCPU, whose every effect the host can predict. Iteration n:
//
//   n += 1
//   sum += IN channel                  always an exit
//   sum += IN port of slot n & 7       a device, or nobody
//   sum += load from memory of the slot  a device, or nobody
//   store n to window n & 7, load it   RAM, or a hole
//   OUT channel: what the load gave, n, sum
//   store n to the vCPU's log          an exit, or coalesced
//   OUT doorbell: n                    an exit, or an ioeventfd
//   counter in the vCPU's page += 1
//   spin while the page says so; HLT once if it says so
//
// The exits up to the last OUT to the channel always happen and are the places
// where the host's account is exact. An interrupt counts up another word of the
// page. Integer instructions only.

inline constexpr size_t kMaxVcpus = 2;
inline constexpr size_t kSlots = 8;
inline constexpr size_t kWindows = 8;

// Base memory, always there: vectors, code, host's words, a page per vCPU.
inline constexpr uint64_t kBaseSize = 0x20000;
inline constexpr uint64_t kGuestPageSize = 0x1000;
inline constexpr Gpa kCode(0x1000);
inline constexpr Gpa kDeviceWords(0x6000);  // 8 bytes for each device slot
inline constexpr Gpa kHostWords(0x7000);    // 8 bytes for each thread
inline constexpr Gpa kVcpuPages(0x8000);
inline constexpr Gpa kUntouchedPage(0x1f000);

constexpr Gpa VcpuPage(size_t vcpu) {
  return kVcpuPages + vcpu * kGuestPageSize;
}
// Of a vCPU's page.
inline constexpr uint64_t kCounterWord = 0;
inline constexpr uint64_t kInterruptWord = 4;
inline constexpr uint64_t kSpinByte = 8;
inline constexpr uint64_t kHaltByte = 9;

// Windows, where memory comes and goes. Each vCPU has a word of its own there,
// and so has each thread of the host.
inline constexpr uint64_t kWindowSize = 0x10000;
constexpr Gpa Window(size_t index) {
  return Gpa(kBaseSize + index * kWindowSize);
}
constexpr uint64_t WindowVcpuWord(size_t vcpu) { return vcpu * 0x10; }
constexpr uint64_t WindowHostWord(size_t thread) { return 0x800 + thread * 8; }

constexpr Gpa LogAddress(size_t vcpu) { return Gpa(0xb0000 + vcpu * 0x1000); }
constexpr Gpa SlotAddress(size_t slot) { return Gpa(0xd0000 + slot * 0x100); }
constexpr uint16_t SlotPort(size_t slot) {
  return static_cast<uint16_t>(0x200 + slot * 8);
}
constexpr uint16_t DoorbellPort(size_t vcpu) {
  return static_cast<uint16_t>(0x300 + vcpu * 4);
}
constexpr uint16_t ChannelPort(size_t vcpu) {
  return static_cast<uint16_t>(0x100 + vcpu * 0x20);
}
// Offsets in the channel's range.
inline constexpr uint64_t kChannelSize = 16;
inline constexpr uint64_t kChannelInput = 0;
inline constexpr uint64_t kChannelWindow = 4;
inline constexpr uint64_t kChannelNumber = 8;
inline constexpr uint64_t kChannelSum = 12;

// Fills the first kBaseSize bytes of guest memory.
void WriteGuestProgram(std::span<std::byte> base);

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_GUEST_PROGRAM_H_
