// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/errno_status.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
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

// What a message ends with.
std::string Ending(int error) {
  const char* const name = ::strerrorname_np(error);
  const char* const text = ::strerrordesc_np(error);
  return absl::StrCat(": ", name != nullptr ? name : "errno",
                      name != nullptr ? "" : absl::StrCat(" ", error), ": ",
                      text != nullptr ? text : "unknown error");
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  return absl::Status(Code(error), absl::StrCat(what, Ending(error)));
}

bool IsErrno(const absl::Status& status, int error) {
  return status.code() == Code(error) &&
         absl::EndsWith(status.message(), Ending(error));
}

}  // namespace libvmm
