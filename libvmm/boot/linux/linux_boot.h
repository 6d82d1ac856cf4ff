// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_LINUX_BOOT_H_
#define LIBVMM_BOOT_LINUX_LINUX_BOOT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/e820.h"
#include "libvmm/boot/linux/command_line.h"

namespace libvmm {

// What a Linux kernel is told at its start, whichever way it is loaded.
//
// Thread-safety: thread-compatible value.
// Ownership: the spans are lent for the load.
struct LinuxBootOptions {
  // Linux's table for the memory map is of this size.
  static constexpr size_t kMaxMemoryMapEntries = 128;
  // Far more than its random number generator can hold.
  static constexpr size_t kMaxRandomSeedSize = 4096;
  // All is placed below 4 GiB.
  static constexpr uint64_t kMaxInitrdSize = 0xffffffff;

  // The guest's memory. Everything is placed in its RAM entries, which must be
  // writable in the GuestMemory of the load; what the program itself has put in
  // memory (ACPI tables) must stand outside of them.
  E820Map memory_map{};
  LinuxCommandLine command_line{};
  // Empty for none.
  std::span<const std::byte> initrd{};
  // Where the ACPI root pointer stands. Without it the kernel searches the
  // EBDA and 0xe0000 to 0xfffff.
  std::optional<Gpa> rsdp = std::nullopt;
  // Bytes for the kernel's random number generator, fresh ones for each boot;
  // it credits them as entropy unless configured otherwise. Empty for none.
  std::span<const std::byte> random_seed{};

  // kInvalidArgument names the first that is larger than the limits above, or a
  // command line longer than `max_command_line_size` bytes without its NUL.
  [[nodiscard]] absl::Status Validate(uint64_t max_command_line_size) const;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_LINUX_BOOT_H_
