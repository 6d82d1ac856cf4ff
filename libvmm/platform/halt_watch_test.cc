// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/halt_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "libvmm/base/manual_clock.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class HaltWatchTest : public ::testing::Test {
 protected:
  void Round(std::vector<bool> answers) {
    asked_.clear();
    clock_.Advance(absl::Seconds(1));
    watch_.OnDeadline();
    for (uint32_t cpu = 0; cpu < answers.size(); ++cpu) {
      watch_.Report(cpu, answers[cpu]);
    }
  }

  ManualClock clock_;
  std::vector<uint32_t> asked_;
  int halted_ = 0;
  HaltWatch watch_{clock_,
                   {.cpu_count = 2,
                    .interval = absl::Seconds(1),
                    .ask = [this](uint32_t cpu) { asked_.push_back(cpu); },
                    .halted = [this] { ++halted_; }}};
};

TEST_F(HaltWatchTest, AsksEveryVcpuOncePerInterval) {
  EXPECT_EQ(watch_.NextDeadline(), absl::Seconds(1));
  watch_.OnDeadline();  // Too early.
  EXPECT_THAT(asked_, IsEmpty());
  clock_.Advance(absl::Seconds(1));
  watch_.OnDeadline();
  EXPECT_THAT(asked_, ElementsAre(0, 1));
  EXPECT_EQ(watch_.NextDeadline(), absl::Seconds(2));
  watch_.OnDeadline();
  EXPECT_THAT(asked_, ElementsAre(0, 1));
}

TEST_F(HaltWatchTest, TwoRoundsOfHaltedVcpusAreAHalt) {
  Round({true, true});
  EXPECT_EQ(halted_, 0);
  Round({true, true});
  EXPECT_EQ(halted_, 1);
  EXPECT_EQ(watch_.NextDeadline(), absl::InfiniteDuration());
  Round({true, true});
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_EQ(halted_, 1);
}

TEST_F(HaltWatchTest, ARunningVcpuStartsTheCountAgain) {
  Round({true, true});
  Round({true, false});
  Round({true, true});
  EXPECT_EQ(halted_, 0);
  Round({true, true});
  EXPECT_EQ(halted_, 1);
}

TEST_F(HaltWatchTest, AVcpuThatDoesNotAnswerStartsTheCountAgain) {
  Round({true, true});
  Round({true});
  Round({true, true});
  EXPECT_EQ(halted_, 0);
  Round({true, true});
  EXPECT_EQ(halted_, 1);
}

TEST_F(HaltWatchTest, OnlyTheFirstAnswerOfARoundCounts) {
  Round({true, true});
  Round({true, false});
  watch_.Report(1, true);
  EXPECT_EQ(halted_, 0);
  watch_.Report(7, true);  // There is no such vCPU.
  EXPECT_EQ(halted_, 0);
}

TEST_F(HaltWatchTest, AnswersThatNobodyAskedForDoNotCount) {
  watch_.Report(0, true);
  watch_.Report(1, true);
  Round({true, true});
  EXPECT_EQ(halted_, 0);
}

TEST_F(HaltWatchTest, ResetStartsFromNothing) {
  Round({true, true});
  watch_.Reset();
  Round({true, true});
  EXPECT_EQ(halted_, 0);
  Round({true, true});
  EXPECT_EQ(halted_, 1);
  watch_.Reset();
  EXPECT_EQ(watch_.NextDeadline(), clock_.Monotonic() + absl::Seconds(1));
}

TEST_F(HaltWatchTest, ALateCallAsksOnce) {
  clock_.Advance(absl::Hours(1));
  watch_.OnDeadline();
  EXPECT_THAT(asked_, ElementsAre(0, 1));
  EXPECT_EQ(watch_.NextDeadline(), absl::Hours(1) + absl::Seconds(1));
}

}  // namespace
}  // namespace libvmm
