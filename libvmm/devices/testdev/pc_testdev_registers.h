// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_REGISTERS_H_
#define LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_REGISTERS_H_

// Where QEMU's pc-testdev is, which kvm-unit-tests expect; without its exit
// port, which is libvmm/devices/exit_port.h.

#include <cstdint>

namespace libvmm::pc_testdev {

// Ports.
inline constexpr uint16_t kScratchPort = 0xe0;      // rw  4 bytes of memory
inline constexpr uint16_t kFlushPort = 0xe4;        // -w  a physical address
inline constexpr uint16_t kByteScratchPort = 0xe8;  // rw  kScratchPort's bytes
inline constexpr uint16_t kScratchSize = 4;
inline constexpr uint16_t kFlushSize = 4;
inline constexpr uint16_t kIrqPort = 0x2000;  // -w  one for each line: level
inline constexpr uint16_t kIrqCount = 24;

// Memory.
inline constexpr uint64_t kMemoryAddress = 0xff000000;  // rw  64 KiB of memory
inline constexpr uint64_t kMemorySize = 0x10000;

// The flush port drops the bits below a page.
inline constexpr uint32_t kPageMask = 0xfffff000;

}  // namespace libvmm::pc_testdev

#endif  // LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_REGISTERS_H_
