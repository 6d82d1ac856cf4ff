// SPDX-License-Identifier: Apache-2.0
// Split rings, packed rings and the model of both agree on random operations.
//
//   LIBVMM_RING_STEPS=N  N steps instead of the usual number
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/ring_script.h"

namespace libvmm::testing {
namespace {

constexpr int kSteps = 1000000;
// Rings are made anew after so many: enough for 16-bit indices to go round.
constexpr int kStepsPerRing = 400000;

int64_t Steps() {
  const char* const asked = std::getenv("LIBVMM_RING_STEPS");
  return asked != nullptr ? std::atoll(asked) : Repetitions(kSteps);
}

TEST(RingAgreementTest, SplitPackedAndModelDoTheSame) {
  const int64_t steps = Steps();
  int64_t done = 0;
  for (uint32_t seed = 0; done < steps; ++seed) {
    std::mt19937 random(seed);
    const auto choose = [&random](uint32_t bound) {
      return static_cast<uint32_t>(random() % bound);
    };
    RingScript script(choose);
    // Most are short, so that there are rings of all kinds.
    const int count = seed % 16 == 15 ? kStepsPerRing : 5000;
    for (int i = 0; i < count && done < steps; ++i, ++done) {
      ASSERT_EQ(script.Step(choose), "") << "seed " << seed << ", step " << i;
    }
  }
  std::printf("%lld steps\n", static_cast<long long>(done));
}

}  // namespace
}  // namespace libvmm::testing
