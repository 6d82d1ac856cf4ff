// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/outcome.h"

namespace libvmm::sandbox {

absl::string_view EndName(End end) {
  switch (end) {
    case End::kReturned:
      return "kReturned";
    case End::kExited:
      return "kExited";
    case End::kDeadline:
      return "kDeadline";
    case End::kPending:
      return "kPending";
    case End::kKilled:
      return "kKilled";
    case End::kFaulted:
      return "kFaulted";
    case End::kOutOfMemory:
      return "kOutOfMemory";
  }
  return "";
}

}  // namespace libvmm::sandbox
