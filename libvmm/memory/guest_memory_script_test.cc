// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/guest_memory_script.h"

#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

TEST(GuestMemoryScriptTest, RandomOperationsMatchAByteMapModel) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<uint8_t> script(4096);
    for (uint8_t& byte : script) byte = static_cast<uint8_t>(random());
    ASSERT_EQ(testing::RunGuestMemoryScript(script), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace libvmm
