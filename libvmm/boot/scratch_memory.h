// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_SCRATCH_MEMORY_H_
#define LIBVMM_BOOT_SCRATCH_MEMORY_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"

namespace libvmm {

// Memory for an image that is written once and read once: in huge pages where
// the system has them and the image is large enough, since faulting small pages
// in would take most of the time.
//
// Errors: `size` zero is kInvalidArgument, no memory kResourceExhausted.
// Cost: one mmap(2), and one madvise(2) from 2 MiB on.
absl::StatusOr<Mapping> MakeScratchMemory(size_t size);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_SCRATCH_MEMORY_H_
