// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PRIVATE_PAGES_H_
#define LIBVMM_SANDBOX_PRIVATE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace libvmm::sandbox {

// Calls `visit` with the offset of each page of `mapping`, lowest first, that is
// this process's own and no longer the file's: of a private mapping of a file,
// what was written since it was made. `mapping` is of whole pages.
//
// It does not touch the pages: to read a page of a memfd that has none there
// would make one.
//
// Errors: ErrnoStatus where /proc/self/pagemap cannot be read, some pages having
//     been visited.
// Cost: eight bytes read from /proc for each page.
absl::Status ForEachPrivatePage(std::span<const std::byte> mapping,
                                absl::FunctionRef<void(uint64_t offset)> visit);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PRIVATE_PAGES_H_
