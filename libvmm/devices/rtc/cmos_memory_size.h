// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_RTC_CMOS_MEMORY_SIZE_H_
#define LIBVMM_DEVICES_RTC_CMOS_MEMORY_SIZE_H_

#include <cstdint>
#include <span>

#include "libvmm/devices/rtc/mc146818_registers.h"

namespace libvmm {

// A PC's memory as a guest may find it, in bytes.
struct CmosMemorySize {
  // From address 0 up to the first hole for devices, below 4 GiB.
  uint64_t below_4g = 0;
  // From 4 GiB on.
  uint64_t above_4g = 0;
};

// Writes the bytes of CMOS RAM by which firmware learns how much memory there
// is: those of the IBM AT (base memory at 0x15, extended memory at 0x17 and
// 0x30, in KiB) and those that SeaBIOS and others read on virtual machines
// (above 16 MiB at 0x34 in units of 64 KiB, above 4 GiB at 0x5b likewise, three
// bytes), and the checksum of 0x10 to 0x2d at 0x2e. Each is the largest value
// that fits when there is more, and rounded down. Other bytes stay. `memory` is
// by address, as for Mc146818::Options.
//
// Cost: some 50 byte operations.
void SetCmosMemorySize(CmosMemorySize size,
                       std::span<uint8_t, mc146818::kMemorySize> memory);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_RTC_CMOS_MEMORY_SIZE_H_
