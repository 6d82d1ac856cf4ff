// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_IMAGE_FILE_H_
#define LIBVMM_BOOT_IMAGE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/mapping.h"

namespace libvmm {

// A guest image read into memory of its own: what the loaders parse. It is a
// copy, not a mapping of the file, so that a file that shrinks or changes while
// it is parsed can neither kill the process (SIGBUS) nor slip past a check.
//
// Thread-safety: immutable after Open.
// Ownership: owns the bytes; views of them end with it. Move-only; a move keeps
//     the bytes where they are.
// Errors: kInvalidArgument when the path is not a regular file, or the file is
//     larger than `max_size` or changes its length meanwhile; the system's
//     errno otherwise (ENOENT is kNotFound). Each names the path.
// Cost: one read of the whole file; anonymous memory of its size.
class ImageFile {
 public:
  static constexpr uint64_t kDefaultMaxSize = uint64_t{1} << 30;

  // `max_size` in bytes. An empty file opens; its loader refuses it.
  static absl::StatusOr<ImageFile> Open(absl::string_view path,
                                        uint64_t max_size = kDefaultMaxSize);

  // A copy of bytes that the program has from elsewhere: an archive, a
  // descriptor, its own data. kResourceExhausted when there is no memory.
  static absl::StatusOr<ImageFile> Copy(std::span<const std::byte> bytes);

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return contents_.bytes();
  }

 private:
  explicit ImageFile(Mapping contents) : contents_(std::move(contents)) {}

  Mapping contents_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_IMAGE_FILE_H_
