// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FILE_NAME_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FILE_NAME_H_

#include <cerrno>
#include <cstddef>

#include "absl/strings/string_view.h"

namespace libvmm {

// The longest name of a file in a directory (NAME_MAX of Linux), and the
// longest text of a symbolic link.
inline constexpr size_t kMaxFileName = 255;
inline constexpr size_t kMaxLinkText = 4095;

// Whether a guest may call a file so: zero; ENAMETOOLONG; or EINVAL for what is
// no step down from a directory, or would not end where the guest says: an
// empty name, ".", "..", '/' or NUL in it.
//
// Thread-safety: a function of its argument.
// Cost: looks at each byte.
[[nodiscard]] constexpr int CheckFileName(absl::string_view name) {
  if (name.size() > kMaxFileName) return ENAMETOOLONG;
  if (name.empty() || name == "." || name == "..") return EINVAL;
  for (const char c : name) {
    if (c == '/' || c == '\0') return EINVAL;
  }
  return 0;
}

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FILE_NAME_H_
