// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_BZ_IMAGE_H_
#define LIBVMM_BOOT_LINUX_BZ_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/linux/linux_boot.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Where BzImage::Load put what it loaded, and how the kernel starts.
struct BzImageStart {
  Gpa entry{};        // the 64-bit entry point
  Gpa boot_params{};  // for RSI; the "zero page", 4 KiB
  GpaRange tables{};  // for the GDT and the page tables of EnterBzImage
  GpaRange kernel{};  // init_size bytes, of which the file fills the first
  GpaRange command_line{};  // with its NUL
  GpaRange initrd{};        // empty without one
  GpaRange setup_data{};    // empty without a random seed
};

// A compressed Linux kernel for x86-64 as distributions ship it: /boot/vmlinuz
// (Linux's Documentation/x86/boot.rst, boot protocol 2.12 and later, with
// XLF_KERNEL_64). It unpacks itself in the guest.
//
//   LIBVMM_ASSIGN_OR_RETURN(ImageFile file, ImageFile::Open("vmlinuz"));
//   LIBVMM_ASSIGN_OR_RETURN(BzImage kernel, BzImage::Parse(file.bytes()));
//   LIBVMM_ASSIGN_OR_RETURN(BzImageStart start,
//                           kernel.Load({.memory_map = map}, memory));
//   LIBVMM_RETURN_IF_ERROR(EnterBzImage(vcpu, memory, start));
//
// Thread-safety: thread-compatible; const calls may run at once.
// Ownership: a view. The bytes given to Parse must outlive it and not change.
// Errors: kInvalidArgument for a malformed file, kUnimplemented for a sound one
//     that cannot be started this way (too old, 32-bit). The message names the
//     field of the setup header as boot.rst does, and its value.
// Cost: Parse reads the header alone and allocates nothing.
class BzImage {
 public:
  static absl::StatusOr<BzImage> Parse(std::span<const std::byte> file);

  // Boot protocol, 0x020f for 2.15.
  [[nodiscard]] uint16_t protocol() const { return protocol_; }
  // Where the kernel wants to be, and how many bytes it needs there until it
  // has read the memory map.
  [[nodiscard]] Gpa preferred_address() const { return preferred_address_; }
  [[nodiscard]] uint64_t init_size() const { return init_size_; }
  // True when it may stand elsewhere, at a multiple of alignment().
  [[nodiscard]] bool relocatable() const { return relocatable_; }
  [[nodiscard]] uint64_t alignment() const { return alignment_; }
  // Of the command line, without its NUL.
  [[nodiscard]] uint64_t max_command_line_size() const {
    return max_command_line_size_;
  }
  // The last byte that an initrd may take.
  [[nodiscard]] Gpa max_initrd_address() const { return max_initrd_address_; }
  // The compressed vmlinux, for KernelPayload. Empty when the header does not
  // tell.
  [[nodiscard]] std::span<const std::byte> payload() const { return payload_; }

  // Copies kernel and initrd to their places and writes boot parameters,
  // command line and random seed: the kernel at preferred_address(), or if that
  // is not free and it is relocatable, as low as possible from 1 MiB on; the
  // initrd as high as max_initrd_address() and 4 GiB allow; the rest as low as
  // possible. May be called again, for a reboot. All or nothing: an error
  // leaves guest memory untouched.
  //   kInvalidArgument    as LinuxBootOptions::Validate, with
  //                       max_command_line_size()
  //   kOutOfRange         a RAM entry of the map is not writable guest memory
  //                       at a place of use; a kernel that is not relocatable
  //                       finds its place not free
  //   kResourceExhausted  no room; the message names for what
  // Cost: one copy of kernel and initrd.
  absl::StatusOr<BzImageStart> Load(const LinuxBootOptions& options,
                                    GuestMemory& memory) const;

 private:
  BzImage() = default;

  std::span<const std::byte> setup_header_;
  std::span<const std::byte> protected_mode_;
  std::span<const std::byte> payload_;
  uint16_t protocol_ = 0;
  bool relocatable_ = false;
  Gpa preferred_address_;
  uint64_t init_size_ = 0;
  uint64_t alignment_ = 0;
  uint64_t max_command_line_size_ = 0;
  Gpa max_initrd_address_;
};

// Makes `vcpu` start the kernel at its next Run, by the 64-bit boot protocol:
// long mode, interrupts off, flat segments CS 0x10 and DS 0x18, the first 4 GiB
// mapped at their own addresses in 2 MiB pages, RSI at the boot parameters.
// Other vCPUs stay as they were created and wait for the kernel's INIT.
//
// Writes start.tables. Errors as EnterLongMode; the vCPU needs a CPUID.
//
// Thread-safety: vCPU-thread.
// Cost: that of EnterLongMode; the tables are 7 pages.
absl::Status EnterBzImage(Vcpu& vcpu, GuestMemory& memory,
                          const BzImageStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_BZ_IMAGE_H_
