// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/shared_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SharedLineTest : public ::testing::Test {
 protected:
  std::vector<bool> told_;
  SharedLine line_{[this](bool level) { told_.push_back(level); }};
  absl::AnyInvocable<void(bool level)> first_ = line_.MakeInput();
  absl::AnyInvocable<void(bool level)> second_ = line_.MakeInput();
};

TEST_F(SharedLineTest, IsLowAtFirst) { EXPECT_THAT(told_, IsEmpty()); }

TEST_F(SharedLineTest, IsHighWhileAnyInputIs) {
  first_(true);
  EXPECT_THAT(told_, ElementsAre(true));
  second_(true);
  first_(false);
  EXPECT_THAT(told_, ElementsAre(true));
  second_(false);
  EXPECT_THAT(told_, ElementsAre(true, false));
}

TEST_F(SharedLineTest, EachPulseOfALoneInputIsTold) {
  for (int i = 0; i < 2; ++i) {
    first_(true);
    first_(false);
  }
  EXPECT_THAT(told_, ElementsAre(true, false, true, false));
}

TEST_F(SharedLineTest, InputsOfManyThreadsEndWhereTheyShould) {
  std::atomic<int> calls_inside = 0;
  std::atomic<bool> overlapped = false;
  bool level = false;
  SharedLine line([&](bool now) {
    if (calls_inside.fetch_add(1) != 0) overlapped = true;
    if (now == level) overlapped = true;
    level = now;
    calls_inside.fetch_sub(1);
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([input = line.MakeInput()]() mutable {
      for (int n = 0; n < 1000; ++n) {
        input(true);
        input(false);
      }
      input(true);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
  EXPECT_TRUE(level);
}

}  // namespace
}  // namespace libvmm
