// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt_pin.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mutex.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(InterruptPinTest, TellsChangesOnly) {
  Mutex mutex;
  std::vector<bool> levels;
  InterruptPin pin([&](bool level) { levels.push_back(level); });
  MutexLock lock(mutex);
  pin.Drive(false);
  pin.Settle(mutex);
  EXPECT_THAT(levels, IsEmpty());
  pin.Drive(true);
  EXPECT_THAT(levels, IsEmpty());
  EXPECT_TRUE(pin.level());
  pin.Settle(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true));
  pin.Drive(false);
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

TEST(InterruptPinTest, AFallBetweenTwoSettlesIsTold) {
  Mutex mutex;
  std::vector<bool> levels;
  InterruptPin pin([&](bool level) { levels.push_back(level); });
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  pin.Drive(false);
  pin.Drive(true);
  EXPECT_TRUE(pin.level());
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false, true));
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false, true));
}

TEST(InterruptPinTest, ARiseBetweenTwoSettlesIsTold) {
  Mutex mutex;
  std::vector<bool> levels;
  InterruptPin pin([&](bool level) { levels.push_back(level); });
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Drive(false);
  EXPECT_FALSE(pin.level());
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false));
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

TEST(InterruptPinTest, SeveralPulsesAreToldAsOne) {
  Mutex mutex;
  std::vector<bool> levels;
  InterruptPin pin([&](bool level) { levels.push_back(level); });
  MutexLock lock(mutex);
  for (int i = 0; i < 3; ++i) {
    pin.Drive(true);
    pin.Drive(false);
  }
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

// The pin that a callback meets is the one that it was told of; what another
// thread does meanwhile follows.
TEST(InterruptPinTest, APulseDuringTheCallbackIsTold) {
  Mutex mutex;
  std::vector<bool> levels;
  InterruptPin* self = nullptr;
  InterruptPin pin([&](bool level) {
    levels.push_back(level);
    if (levels.size() != 1) return;
    std::thread([&] {
      MutexLock lock(mutex);
      self->Drive(false);
      self->Drive(true);
      self->Settle(mutex);
    }).join();
  });
  self = &pin;
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false, true));
}

TEST(InterruptPinTest, CallbackRunsOutsideTheLockAndMayDriveThePin) {
  Mutex mutex;
  std::vector<bool> levels;
  int depth = 0;
  InterruptPin* self = nullptr;
  InterruptPin pin([&](bool level) {
    EXPECT_EQ(++depth, 1);
    levels.push_back(level);
    {
      MutexLock lock(mutex);
      if (levels.size() < 5) self->Drive(!level);
      self->Settle(mutex);  // Leaves it to the call that is under way.
    }
    --depth;
  });
  self = &pin;
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_THAT(levels, ElementsAre(true, false, true, false, true));
}

TEST(InterruptPinTest, ACallbackThatNeverRestsDoesNotHoldTheCallerForEver) {
  Mutex mutex;
  int calls = 0;
  bool last = false;
  bool toggle = true;
  InterruptPin* self = nullptr;
  InterruptPin pin([&](bool level) {
    ++calls;
    last = level;
    MutexLock lock(mutex);
    if (toggle) self->Drive(!level);
  });
  self = &pin;
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_EQ(calls, InterruptPin::kMaxCalls + 1);
  // High rather than low, and the next one tells the rest.
  EXPECT_TRUE(last);
  pin.Settle(mutex);
  EXPECT_EQ(calls, 2 * InterruptPin::kMaxCalls + 1);
  EXPECT_TRUE(last);
  toggle = false;
  pin.Settle(mutex);
  EXPECT_EQ(calls, 2 * InterruptPin::kMaxCalls + 2);
  EXPECT_FALSE(last);
}

TEST(InterruptPinTest, SeveralThreads) {
  Mutex mutex;
  bool told = false;
  int calls = 0;
  InterruptPin pin([&](bool level) {
    // One call at a time, in order: no lock is needed here.
    EXPECT_NE(level, told);
    told = level;
    ++calls;
  });
  const auto toggle = [&] {
    for (int i = 0; i < 5000; ++i) {
      MutexLock lock(mutex);
      pin.Drive(i % 3 != 2);
      pin.Settle(mutex);
    }
  };
  std::thread first(toggle);
  std::thread second(toggle);
  first.join();
  second.join();
  MutexLock lock(mutex);
  pin.Drive(false);
  pin.Settle(mutex);
  EXPECT_FALSE(told);
  EXPECT_GT(calls, 1);
}

TEST(InterruptPinTest, NullCallbackIsAllowed) {
  Mutex mutex;
  InterruptPin pin(nullptr);
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_TRUE(pin.level());
}

}  // namespace
}  // namespace libvmm
