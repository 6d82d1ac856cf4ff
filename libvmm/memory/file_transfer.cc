// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/file_transfer.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"

namespace libvmm {

absl::Status FileTransfer::ToStatus(absl::string_view what,
                                    uint64_t size) const {
  if (error != 0) return ErrnoStatus(error, what);
  if (bytes != size) {
    return absl::OutOfRangeError(absl::StrCat(what, ": the file ended after ",
                                              bytes, " of ", size, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
