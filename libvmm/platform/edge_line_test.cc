// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/edge_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace libvmm {
namespace {

using ::testing::ElementsAre;

TEST(EdgeLineTest, APulseIsHighAndThenLow) {
  std::vector<bool> told;
  EdgeLine line([&told](bool level) { told.push_back(level); });
  line.Pulse();
  line.Pulse();
  EXPECT_THAT(told, ElementsAre(true, false, true, false));
}

TEST(EdgeLineTest, PulsesOfSeveralThreadsComeOneAfterTheOther) {
  constexpr int kPulses = 10000;
  constexpr int kThreads = 4;
  std::vector<bool> told;
  EdgeLine line([&told](bool level) { told.push_back(level); });
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&line] {
        for (int pulse = 0; pulse < kPulses; ++pulse) line.Pulse();
      });
    }
  }
  ASSERT_EQ(told.size(), size_t{2} * kPulses * kThreads);
  for (size_t i = 0; i < told.size(); ++i) ASSERT_EQ(told[i], i % 2 == 0) << i;
}

}  // namespace
}  // namespace libvmm
