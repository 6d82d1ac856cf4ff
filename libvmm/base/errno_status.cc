// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/errno_status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

absl::StatusCode Code(int error) {
  switch (error) {
    case ENOTTY:
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    case EBADF:
      return absl::StatusCode::kFailedPrecondition;
    case EIO:
      return absl::StatusCode::kInternal;
    default:
      return absl::ErrnoToStatusCode(error);
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const char* const name = ::strerrorname_np(error);
  const char* const text = ::strerrordesc_np(error);
  return absl::Status(
      Code(error),
      absl::StrCat(what, ": ", name != nullptr ? name : "errno",
                   name != nullptr ? "" : absl::StrCat(" ", error), ": ",
                   text != nullptr ? text : "unknown error"));
}

}  // namespace libvmm
