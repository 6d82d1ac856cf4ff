// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/stop_latch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "libvmm/platform/pc_stop.h"

namespace libvmm {
namespace {

TEST(StopLatchTest, HoldsNothingAtFirst) {
  int calls = 0;
  StopLatch latch([&] { ++calls; });
  EXPECT_FALSE(latch.stopped());
  EXPECT_FALSE(latch.Get().has_value());
  EXPECT_EQ(calls, 0);
}

TEST(StopLatchTest, TheFirstStopStays) {
  int calls = 0;
  StopLatch latch([&] { ++calls; });
  latch.Set({.reason = PcStopReason::kExitCode, .code = 7, .source = "a"});
  latch.Set({.reason = PcStopReason::kReset, .source = "b"});
  ASSERT_TRUE(latch.stopped());
  EXPECT_EQ(latch.Get()->reason, PcStopReason::kExitCode);
  EXPECT_EQ(latch.Get()->code, 7u);
  EXPECT_EQ(latch.Get()->source, "a");
  EXPECT_EQ(calls, 1);
}

TEST(StopLatchTest, ClearMakesRoomForTheNext) {
  int calls = 0;
  StopLatch latch([&] { ++calls; });
  latch.Set({.reason = PcStopReason::kSleep, .source = "a"});
  latch.Clear();
  EXPECT_FALSE(latch.stopped());
  EXPECT_FALSE(latch.Get().has_value());
  latch.Set({.reason = PcStopReason::kReset, .source = "b"});
  EXPECT_EQ(latch.Get()->reason, PcStopReason::kReset);
  EXPECT_EQ(calls, 2);
}

TEST(StopLatchTest, TheCallbackMayLookAtTheLatch) {
  StopLatch* self = nullptr;
  bool seen = false;
  StopLatch latch([&] { seen = self->stopped() && self->Get().has_value(); });
  self = &latch;
  latch.Set({.reason = PcStopReason::kReset, .source = "a"});
  EXPECT_TRUE(seen);
}

TEST(StopLatchTest, OfStopsThatRaceOneTakesEffect) {
  std::atomic<int> calls = 0;
  StopLatch latch([&] { ++calls; });
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < 4; ++i) {
    threads.emplace_back([&latch, i] {
      latch.Set({.reason = PcStopReason::kExitCode, .code = i, .source = "a"});
      EXPECT_TRUE(latch.stopped());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(calls, 1);
  EXPECT_LT(latch.Get()->code, 4u);
}

TEST(PcStopTest, EveryReasonHasAName) {
  for (PcStopReason reason :
       {PcStopReason::kPowerOff, PcStopReason::kSleep, PcStopReason::kReset,
        PcStopReason::kTripleFault, PcStopReason::kPanic, PcStopReason::kHalted,
        PcStopReason::kExitCode, PcStopReason::kFailed}) {
    EXPECT_NE(PcStopReasonName(reason), "");
  }
  EXPECT_EQ(PcStopReasonName(PcStopReason::kPowerOff), "power-off");
}

}  // namespace
}  // namespace libvmm
