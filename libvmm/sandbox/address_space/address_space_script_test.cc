// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/address_space_script.h"

#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/testing/repetitions.h"

namespace libvmm::sandbox {
namespace {

TEST(AddressSpaceScriptTest, RandomOperationsMatchAModelOfPages) {
  testing::ScriptCounts counts;
  const int scripts = libvmm::testing::Repetitions(300);
  for (int seed = 1; seed <= scripts; ++seed) {
    std::mt19937_64 random(static_cast<uint64_t>(seed));
    std::vector<uint8_t> script(3000);
    for (uint8_t& byte : script) byte = static_cast<uint8_t>(random());
    ASSERT_EQ(testing::RunAddressSpaceScript(script, &counts), "")
        << "seed " << seed;
  }
  // That the scripts come to all this, not how often.
  for (const char* what : {"map 0",
                           "map -12",
                           "map -13",
                           "map -17",
                           "map -22",
                           "unmap 0",
                           "unmap -22",
                           "protect 0",
                           "protect -12",
                           "protect -13",
                           "remap 0",
                           "remap -14",
                           "remap fixed 0",
                           "remap moved",
                           "break 0",
                           "break -1",
                           "discard 0",
                           "discard -12",
                           "populate 0",
                           "populate 1",
                           "populate 2",
                           "populate 3",
                           "host write 1",
                           "host write 0",
                           "host write ran out",
                           "host read",
                           "string",
                           "stack grew",
                           "stale",
                           "user access",
                           "save",
                           "reset",
                           "clone"}) {
    EXPECT_NE(counts[what], 0u) << what;
  }
  if (HasFailure()) {
    for (const auto& [what, count] : counts) {
      std::printf("%s: %llu\n", what.c_str(),
                  static_cast<unsigned long long>(count));
    }
  }
}

}  // namespace
}  // namespace libvmm::sandbox
