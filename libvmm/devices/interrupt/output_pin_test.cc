// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/output_pin.h"

#include <string>

#include "gtest/gtest.h"
#include "libvmm/base/mutex.h"

namespace libvmm {
namespace {

class Bench {
 public:
  void Settle() {
    MutexLock lock(mutex);
    pin.Settle(mutex);
  }
  Mutex mutex;
  std::string told;
  OutputPin pin{[this](bool level) { told += level ? '1' : '0'; }};
};

TEST(OutputPinTest, TellsChangesOnly) {
  Bench bench;
  bench.pin.Drive(false);
  bench.Settle();
  EXPECT_EQ(bench.told, "");
  bench.pin.Drive(true);
  bench.pin.Drive(true);
  bench.Settle();
  bench.Settle();
  EXPECT_EQ(bench.told, "1");
  bench.pin.Drive(false);
  bench.Settle();
  EXPECT_EQ(bench.told, "10");
}

TEST(OutputPinTest, APulseIsTold) {
  Bench bench;
  bench.pin.Drive(true);
  bench.pin.Drive(false);
  bench.pin.Drive(true);
  bench.pin.Drive(false);
  bench.Settle();
  EXPECT_EQ(bench.told, "10");
  bench.pin.Drive(true);
  bench.Settle();
  bench.told.clear();
  bench.pin.Drive(false);
  bench.pin.Drive(true);
  bench.Settle();
  EXPECT_EQ(bench.told, "01");
}

TEST(OutputPinTest, TheCallbackRunsOutsideTheLock) {
  Mutex mutex;
  OutputPin* self = nullptr;
  std::string told;
  OutputPin pin([&](bool level) {
    told += level ? '1' : '0';
    MutexLock lock(mutex);
    // Changes from within are told when this has returned.
    if (told.size() < 4) self->Drive(!level);
    self->Settle(mutex);
  });
  self = &pin;
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_EQ(told, "1010");
}

// A pin that moves in every callback stays told as high in the end.
TEST(OutputPinTest, CallsAreBounded) {
  Mutex mutex;
  OutputPin* self = nullptr;
  int calls = 0;
  bool last = false;
  OutputPin pin([&](bool level) {
    ++calls;
    last = level;
    MutexLock lock(mutex);
    self->Drive(!level);
  });
  self = &pin;
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
  EXPECT_EQ(calls, OutputPin::kMaxCalls + 1);
  EXPECT_TRUE(last);
  // The fall was left for the next.
  pin.Settle(mutex);
  EXPECT_EQ(calls, 2 * OutputPin::kMaxCalls + 1);
}

TEST(OutputPinTest, WithoutCallback) {
  Mutex mutex;
  OutputPin pin(nullptr);
  MutexLock lock(mutex);
  pin.Drive(true);
  pin.Settle(mutex);
}

}  // namespace
}  // namespace libvmm
