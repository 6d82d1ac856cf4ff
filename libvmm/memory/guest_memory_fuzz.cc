// SPDX-License-Identifier: Apache-2.0
// Lists of operations on guest memory against a model; see
// guest_memory_script.h.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libvmm/memory/guest_memory_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string difference =
      libvmm::testing::RunGuestMemoryScript({data, size});
  if (!difference.empty()) {
    std::fprintf(stderr, "%s\n", difference.c_str());
    std::abort();
  }
  return 0;
}
