// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_IMAGE_H_
#define LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/e820.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Where MultibootImage::Load put what it loaded, and how the kernel starts.
struct MultibootStart {
  Gpa entry{};                      // the 32-bit entry point
  Gpa info{};                       // for EBX
  Gpa tables{};                     // for the GDT of EnterMultiboot
  GpaRange kernel{};                // with its BSS
  std::vector<GpaRange> modules{};  // in the order given
};

// A kernel that follows the Multiboot specification, version 0.6.96: a header
// in the first 8 KiB of the file, and behind it a 32-bit ELF program or, with
// the address fields (flag 16), anything.
//
// Supported are the flags that a kernel may require: modules on page
// boundaries, memory information. Video modes are not, nor is any other flag of
// the required half.
//
// Thread-safety: thread-compatible; const calls may run at once.
// Ownership: a view. The bytes given to Parse must outlive it and not change.
// Errors: kInvalidArgument for a file without a header or a malformed one,
//     kUnimplemented for a flag that is not supported; else as
//     ElfImage::Parse32. The message names the field as the specification does.
// Cost: a search of at most 8 KiB, and that of ElfImage.
class MultibootImage {
 public:
  static absl::StatusOr<MultibootImage> Parse(std::span<const std::byte> file);

  [[nodiscard]] Gpa entry() const { return entry_; }
  // All bytes that the kernel takes, BSS included.
  [[nodiscard]] GpaRange range() const { return range_; }

  struct Module {
    std::span<const std::byte> bytes{};  // lent for the load; may be empty
    // Often the module's name and arguments. No NUL.
    absl::string_view string{};
  };
  struct Options {
    // The guest's memory. Everything is placed in its RAM entries below 4 GiB,
    // which must be writable in the GuestMemory of the load.
    E820Map memory_map{};
    // No NUL.
    absl::string_view command_line{};
    std::span<const Module> modules{};
    absl::string_view boot_loader_name = "libvmm";
  };

  // Copies the kernel to its place and the modules as low as possible above it,
  // each on a page boundary, and writes the information structure with memory
  // sizes, memory map, command line, modules and the loader's name. May be
  // called again, for a reboot. All or nothing: an error leaves guest memory
  // untouched.
  //   kInvalidArgument    a NUL in a string
  //   kOutOfRange         the kernel is not in RAM of the map, or that is not
  //                       writable guest memory at a place of use
  //   kResourceExhausted  no room; the message names for what
  // Cost: one copy of kernel and modules.
  absl::StatusOr<MultibootStart> Load(const Options& options,
                                      GuestMemory& memory) const;

 private:
  MultibootImage() = default;

  Gpa entry_;
  GpaRange range_;
  // The ELF program, or without one what goes to range_, zeros behind.
  std::optional<ElfImage> elf_;
  std::span<const std::byte> raw_;
};

// Makes `vcpu` start the kernel at its next Run: 32-bit protected mode without
// paging, flat segments, interrupts off, EAX 0x2badb002, EBX at the
// information. A20 is open, as always here.
//
// Writes start.tables. Errors as EnterProtectedMode.
//
// Thread-safety: vCPU-thread.
// Cost: that of EnterProtectedMode.
absl::Status EnterMultiboot(Vcpu& vcpu, GuestMemory& memory,
                            const MultibootStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_MULTIBOOT_MULTIBOOT_IMAGE_H_
