// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/capability.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<int> RequireCapability(int fd, Capability capability) {
  LIBVMM_ASSIGN_OR_RETURN(const int value,
                          CallIoctl(fd, LIBVMM_IOCTL(KVM_CHECK_EXTENSION),
                                    capability.number, capability.name));
  if (value == 0) {
    return absl::UnimplementedError(
        absl::StrCat("this KVM lacks ", capability.name));
  }
  return value;
}

absl::Status EnableCapability(int fd, Capability capability,
                              std::initializer_list<uint64_t> arguments) {
  kvm_enable_cap cap = {};
  LIBVMM_CHECK(arguments.size() <= std::size(cap.args));
  cap.cap = capability.number;
  std::copy(arguments.begin(), arguments.end(), cap.args);
  std::string detail = capability.name;
  if (arguments.size() != 0) {
    absl::StrAppend(&detail, ", arguments ", absl::StrJoin(arguments, " "));
  }
  return CallIoctl(fd, LIBVMM_IOCTL(KVM_ENABLE_CAP), &cap, detail).status();
}

}  // namespace libvmm
