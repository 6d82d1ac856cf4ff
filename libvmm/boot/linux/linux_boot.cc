// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/linux_boot.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

absl::Status CheckAtMost(absl::string_view what, uint64_t value,
                         uint64_t limit) {
  if (value <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", value, ", at most ", limit, " is possible"));
}

}  // namespace

absl::Status LinuxBootOptions::Validate(uint64_t max_command_line_size) const {
  LIBVMM_RETURN_IF_ERROR(CheckAtMost("number of memory map entries",
                                     memory_map.entries().size(),
                                     kMaxMemoryMapEntries));
  LIBVMM_RETURN_IF_ERROR(CheckAtMost(
      "command line size", command_line.text().size(), max_command_line_size));
  LIBVMM_RETURN_IF_ERROR(
      CheckAtMost("initrd size", initrd.size(), kMaxInitrdSize));
  return CheckAtMost("random seed size", random_seed.size(),
                     kMaxRandomSeedSize);
}

}  // namespace libvmm
