// SPDX-License-Identifier: Apache-2.0
// Lists of operations on an address space against a model; see
// address_space_script.h.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libvmm/sandbox/address_space/address_space_script.h"

namespace {

// Longer ones come to nothing new, slowly.
constexpr size_t kLongestScript = 1500;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kLongestScript) return 0;
  const std::string difference =
      libvmm::sandbox::testing::RunAddressSpaceScript({data, size});
  if (!difference.empty()) {
    std::fprintf(stderr, "%s\n", difference.c_str());
    std::abort();
  }
  return 0;
}
