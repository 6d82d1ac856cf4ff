// SPDX-License-Identifier: Apache-2.0
// Parses the input as a machine description. What is accepted is valid, and its
// text parses to the same; what is refused says something.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "libvmm/platform/machine_text.h"
#include "libvmm/platform/pc_config.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = libvmm::ParseMachineText(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!config.ok()) {
    Require(absl::IsInvalidArgument(config.status()));
    Require(!config.status().message().empty());
    return 0;
  }
  Require(libvmm::ValidatePcConfig(*config).ok());
  const std::string text = libvmm::FormatMachineText(*config);
  const auto again = libvmm::ParseMachineText(text);
  Require(again.ok());
  Require(libvmm::FormatMachineText(*again) == text);
  return 0;
}
