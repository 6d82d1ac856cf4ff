// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_FLAT_IMAGE_H_
#define LIBVMM_BOOT_FLAT_IMAGE_H_

#include <cstddef>
#include <span>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Copies a raw binary, which carries no headers, to `gpa` and returns the range
// it fills. Where it starts, and in which CPU mode, is for the caller to know.
// Errors leave guest memory untouched:
//   kInvalidArgument  the image is empty, or passes the end of the 64-bit space
//   kOutOfRange       some of the range is not writable guest memory
//
// Thread-safety: as GuestMemory::Write.
// Cost: one copy.
absl::StatusOr<GpaRange> LoadFlatImage(std::span<const std::byte> image,
                                       Gpa gpa, GuestMemory& memory);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_FLAT_IMAGE_H_
