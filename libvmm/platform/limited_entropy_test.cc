// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/limited_entropy.h"

#include <gtest/gtest.h>

#include <array>

#include "absl/time/time.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

size_t Fill(std::span<std::byte> to) {
  for (std::byte& byte : to) byte = std::byte{0x5a};
  return to.size();
}

class LimitedEntropyTest : public ::testing::Test {
 protected:
  LimitedEntropy Make(uint64_t rate, LimitedEntropy::Source source = Fill) {
    return LimitedEntropy(clock_, TokenBucket::Create({.rate = rate}).value(),
                          std::move(source));
  }

  ManualClock clock_;
  std::array<std::byte, 100> buffer_{};
};

TEST_F(LimitedEntropyTest, GivesWhatASecondHasAndThenNothing) {
  LimitedEntropy entropy = Make(150);
  EXPECT_EQ(entropy(buffer_), 100u);
  EXPECT_EQ(buffer_[99], std::byte{0x5a});
  EXPECT_EQ(entropy(buffer_), 50u);
  EXPECT_EQ(entropy(buffer_), 0u);
  clock_.Advance(absl::Milliseconds(200));
  EXPECT_EQ(entropy(buffer_), 30u);
}

TEST_F(LimitedEntropyTest, WhatTheSourceDidNotGiveIsNotCounted) {
  LimitedEntropy entropy =
      Make(100, [](std::span<std::byte>) { return size_t{10}; });
  for (int i = 0; i < 10; ++i) EXPECT_EQ(entropy(buffer_), 10u) << i;
  EXPECT_EQ(entropy(buffer_), 0u);
}

TEST_F(LimitedEntropyTest, WithoutALimitAllOfIt) {
  LimitedEntropy entropy = Make(0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(entropy(buffer_), 100u);
}

}  // namespace
}  // namespace libvmm
