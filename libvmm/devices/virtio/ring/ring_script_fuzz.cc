// SPDX-License-Identifier: Apache-2.0
// Operations of driver and device on a split and a packed ring, against the
// model. Input: numbers of one or two bytes, each a choice of RingScript; what
// is left out is zero.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libvmm/testing/ring_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kMaxSteps = 4096;
  size_t at = 0;
  const auto next = [&]() -> uint32_t { return at < size ? data[at++] : 0; };
  const auto choose = [&](uint32_t bound) {
    const uint32_t low = next();
    return (bound > 256 ? low | next() << 8 : low) % bound;
  };
  libvmm::testing::RingScript script(choose);
  for (int i = 0; at < size && i < kMaxSteps; ++i) {
    const std::string difference = script.Step(choose);
    if (!difference.empty()) {
      std::fprintf(stderr, "step %d: %s\n", i, difference.c_str());
      std::abort();
    }
  }
  return 0;
}
