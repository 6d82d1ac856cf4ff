// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/scratch_memory.h"

#include <sys/mman.h>

#include "libvmm/base/status_macros.h"

namespace libvmm {

absl::StatusOr<Mapping> MakeScratchMemory(size_t size) {
  constexpr size_t kHugePageSize = size_t{2} << 20;
  if (size < kHugePageSize) return Mapping::Create({.size = size});
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping memory,
      Mapping::Create({.size = size, .alignment = kHugePageSize}));
  // Where there are no huge pages nothing is lost.
  (void)::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  return memory;
}

}  // namespace libvmm
