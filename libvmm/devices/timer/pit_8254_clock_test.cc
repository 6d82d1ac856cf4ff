// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254_clock.h"

#include <cstdint>
#include <limits>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace libvmm {
namespace {

using ::libvmm::pit_8254::ClocksAt;
using ::libvmm::pit_8254::TimeOfClock;

TEST(Pit8254ClockTest, ASecondHas1193181Pulses) {
  EXPECT_EQ(ClocksAt(absl::ZeroDuration()), 0);
  EXPECT_EQ(ClocksAt(absl::Seconds(1)), 1'193'181);
  // 13,125,000 in 11 seconds, exactly.
  EXPECT_EQ(ClocksAt(absl::Seconds(11)), 13'125'000);
  EXPECT_EQ(ClocksAt(absl::Seconds(11) - absl::Nanoseconds(1)), 13'124'999);
}

TEST(Pit8254ClockTest, NoPulsesBeforeZero) {
  EXPECT_EQ(ClocksAt(absl::Seconds(-1)), 0);
  EXPECT_EQ(ClocksAt(-absl::InfiniteDuration()), 0);
  EXPECT_EQ(TimeOfClock(0), absl::ZeroDuration());
  EXPECT_EQ(TimeOfClock(-1), absl::ZeroDuration());
}

TEST(Pit8254ClockTest, TimeOfClockIsTheFirstNanosecondOfThePulse) {
  for (const int64_t clocks :
       {int64_t{1}, int64_t{2}, int64_t{105}, int64_t{106}, int64_t{65'536},
        int64_t{1'193'181}, int64_t{9'999'999'999'999}}) {
    SCOPED_TRACE(clocks);
    const absl::Duration time = TimeOfClock(clocks);
    EXPECT_EQ(ClocksAt(time), clocks);
    EXPECT_EQ(ClocksAt(time - absl::Nanoseconds(1)), clocks - 1);
  }
  EXPECT_EQ(TimeOfClock(105), absl::Microseconds(88));
}

TEST(Pit8254ClockTest, TheEndOfTimeIsFar) {
  const int64_t last = ClocksAt(absl::InfiniteDuration());
  EXPECT_EQ(last,
            ClocksAt(absl::Nanoseconds(std::numeric_limits<int64_t>::max())));
  EXPECT_GT(last, int64_t{290} * 365 * 86'400 * 1'193'181);
  EXPECT_EQ(TimeOfClock(last + 105), absl::InfiniteDuration());
  EXPECT_EQ(TimeOfClock(std::numeric_limits<int64_t>::max()),
            absl::InfiniteDuration());
}

}  // namespace
}  // namespace libvmm
