// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LINUX_PVH_KERNEL_H_
#define LIBVMM_BOOT_LINUX_PVH_KERNEL_H_

#include <cstddef>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/linux/linux_boot.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Where PvhKernel::Load put what it loaded, and how the kernel starts.
struct PvhStart {
  Gpa entry{};              // the 32-bit entry point
  Gpa start_info{};         // for EBX
  Gpa tables{};             // for the GDT of EnterPvh
  GpaRange kernel{};        // all segments
  GpaRange command_line{};  // with its NUL; empty without one
  GpaRange initrd{};        // empty without one
};

// A kernel with a PVH entry point: a vmlinux, or another ELF program with the
// note XEN_ELFNOTE_PHYS32_ENTRY ("Xen", 18), whose descriptor is the entry's
// physical address in 4 or 8 bytes (Xen's docs/misc/pvh.pandoc, "x86/HVM direct
// boot ABI", and public/arch-x86/hvm/start_info.h). Linux has one when built
// with CONFIG_PVH, as Debian's is; it stands in vmlinux, see KernelPayload.
//
// Thread-safety: thread-compatible; const calls may run at once.
// Ownership: a view. The bytes given to Parse must outlive it and not change.
// Errors: as ElfImage::Parse, and kInvalidArgument for a note that is malformed
//     or an entry that is in no segment; kUnimplemented for a program without
//     the note.
// Cost: that of ElfImage.
class PvhKernel {
 public:
  static absl::StatusOr<PvhKernel> Parse(std::span<const std::byte> file);

  [[nodiscard]] Gpa entry() const { return entry_; }
  [[nodiscard]] const ElfImage& image() const { return image_; }

  // Copies the segments and the initrd, and writes the start info (version 1)
  // with memory map, command line and root pointer: the segments at their own
  // addresses, the initrd as high as possible below 4 GiB, the rest as low as
  // possible. May be called again, for a reboot. All or nothing: an error
  // leaves guest memory untouched.
  //   kInvalidArgument    a random seed, for which PVH has no place; as
  //                       LinuxBootOptions::Validate, with a command line of
  //                       64 KiB or more
  //   kOutOfRange         a segment is not in RAM of the map, or that is not
  //                       writable guest memory at a place of use
  //   kResourceExhausted  no room; the message names for what
  //   kUnimplemented      as ElfImage::Load
  // Cost: one copy of segments and initrd.
  absl::StatusOr<PvhStart> Load(const LinuxBootOptions& options,
                                GuestMemory& memory) const;

 private:
  PvhKernel(ElfImage image, Gpa entry)
      : image_(std::move(image)), entry_(entry) {}

  ElfImage image_;
  Gpa entry_;
};

// Makes `vcpu` start the kernel at its next Run: 32-bit protected mode without
// paging, flat segments, CR0 has PE and ET alone, CR4 and EFER are zero,
// interrupts are off, EBX is at the start info. Other vCPUs stay as they were
// created and wait for the kernel's INIT.
//
// Writes start.tables. Errors as EnterProtectedMode.
//
// Thread-safety: vCPU-thread.
// Cost: that of EnterProtectedMode.
absl::Status EnterPvh(Vcpu& vcpu, GuestMemory& memory, const PvhStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LINUX_PVH_KERNEL_H_
