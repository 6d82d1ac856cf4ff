// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/progress.h"

#include <cstdint>
#include <variant>

#include "absl/strings/str_cat.h"

namespace vmm {

using namespace libvmm;

namespace {

std::string Count(uint64_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string BootLine(absl::string_view step, const PcLinuxBoot& boot) {
  if (step == "boot.linux.kernel") {
    return absl::StrCat("reading the kernel ", boot.kernel);
  }
  if (step == "boot.linux.initrd") {
    return absl::StrCat("reading the initrd ", boot.initrd);
  }
  return std::string(step);
}

std::string BootLine(absl::string_view step, const PcMultibootBoot& boot) {
  if (step == "boot.multiboot.kernel") {
    return absl::StrCat("reading the kernel ", boot.kernel);
  }
  if (step == "boot.multiboot.modules") return "reading a module";
  return std::string(step);
}

std::string BootLine(absl::string_view step, const PcElfBoot& boot) {
  if (step == "boot.elf.image") {
    return absl::StrCat("reading the program ", boot.image);
  }
  return std::string(step);
}

std::string BootLine(absl::string_view step, const PcFirmwareBoot& boot) {
  if (step == "boot.firmware.image") {
    return absl::StrCat("reading the firmware ", boot.image);
  }
  return std::string(step);
}

std::string BootLine(absl::string_view step, const std::monostate&) {
  return std::string(step);
}

}  // namespace

std::string ProgressLine(absl::string_view step, const PcConfig& config) {
  if (step == "memory") {
    return absl::StrCat("making ", config.memory.size_mib, " MiB of memory");
  }
  if (step == "vCPUs") {
    return absl::StrCat("making ", Count(config.topology.vcpu_count(), "vCPU"));
  }
  return std::visit([step](const auto& boot) { return BootLine(step, boot); },
                    config.boot);
}

}  // namespace vmm
