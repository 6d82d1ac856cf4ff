// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/host_functions.h"

#include "absl/strings/str_cat.h"

namespace libvmm::sandbox {

absl::Status HostFunctions::Builder::Add(absl::string_view name, Thunk thunk) {
  if (name.empty()) {
    return absl::InvalidArgumentError("a host function needs a name");
  }
  if (thunk == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("host function ", name, " is empty"));
  }
  for (const Entry& entry : entries_) {
    if (entry.name == name) {
      return absl::AlreadyExistsError(
          absl::StrCat("host function ", name, " is defined already"));
    }
  }
  entries_.push_back({std::string(name), std::move(thunk)});
  return absl::OkStatus();
}

HostFunctions HostFunctions::Builder::Build() && {
  return HostFunctions(
      std::make_shared<const std::vector<Entry>>(std::move(entries_)));
}

}  // namespace libvmm::sandbox
