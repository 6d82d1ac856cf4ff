// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ELF_MAPPINGS_H_
#define LIBVMM_BOOT_ELF_MAPPINGS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/page_tables.h"

namespace libvmm {

// Page mappings that give every segment of `image` the permissions its program
// header asks for, and no more: text cannot be written, data cannot be executed
// (W^X) when the linker kept them apart. `user` lets privilege level 3 in.
//
// Each mapping covers whole pages of 4 KiB, so what shares the first or last
// page of a segment is visible with it. Segments that allow nothing are left
// out.
//   kInvalidArgument  gva and gpa of a segment differ within a page; two
//                     segments share a page of gva; or a segment reaches the
//                     last page of the address space
//
// Thread-safety: thread-safe; `image` is only read.
// Cost: one vector.
absl::StatusOr<std::vector<PageMapping>> ElfMappings(const ElfImage& image,
                                                     bool user);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ELF_MAPPINGS_H_
