// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_RESET_STUB_H_
#define LIBVMM_BOOT_LINUX_RESET_STUB_H_

#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// The last 16 bytes below 1 MiB, where a PC's firmware has its entry point.
inline constexpr GpaRange kResetStubRange{Gpa(0xffff0), 16};

// Writes code there that resets a machine without firmware: it writes 0x06 to
// the reset control register, port 0xcf9, and halts for ever should that do
// nothing. Linux ends a reboot by a jump to F000:FFF0 in real mode when ACPI
// and EFI gave it nothing better, and would otherwise run through zeros.
//
// Keep the page out of the RAM of the memory map. Write it again after a reset.
//
// kOutOfRange: the range is not writable guest memory.
//
// Thread-safety: as GuestMemory::Write.
// Cost: one copy of 16 bytes.
absl::Status WriteResetStub(GuestMemory& memory);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_RESET_STUB_H_
