// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_FILE_TRANSFER_H_
#define LIBVMM_MEMORY_FILE_TRANSFER_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// The host's side of a move between a file descriptor and guest memory.
struct FilePosition {
  // Lent for the call. It should not be in non-blocking mode: EAGAIN ends a
  // move.
  int fd = -1;
  // Bytes from the start of the file (preadv(2), pwritev(2)); nothing means the
  // descriptor's own position, as pipes and sockets need.
  std::optional<off_t> offset = std::nullopt;
};

// What became of it. A value rather than a Status, because the guest chooses
// address and size of a disk request.
//
// Thread-safety: immutable value.
// Cost: only ToStatus allocates, and only for a failure.
struct [[nodiscard]] FileTransfer {
  // Bytes moved, from the start of the range; they stay moved when it failed.
  uint64_t bytes = 0;
  // The errno that ended the move, or zero. EFAULT: the range is not all memory
  // that can be accessed this way; nothing was moved.
  int error = 0;

  // False after an error. A file that ended early is no error: `bytes` is
  // short.
  [[nodiscard]] bool ok() const { return error == 0; }

  // For callers to whom failure is unexpected: OK when `size` bytes moved,
  // kOutOfRange naming both sizes when the file ended early, otherwise the
  // ErrnoStatus of `what`.
  [[nodiscard]] absl::Status ToStatus(absl::string_view what,
                                      uint64_t size) const;
};

}  // namespace libvmm

#endif  // LIBVMM_MEMORY_FILE_TRANSFER_H_
