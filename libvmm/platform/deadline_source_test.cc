// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/deadline_source.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "libvmm/base/manual_clock.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

class Alarm final : public TimedDevice {
 public:
  explicit Alarm(absl::Duration at) : at_(at) {}
  absl::Duration NextDeadline() const override { return at_; }
  void OnDeadline() override {
    ++calls_;
    at_ = absl::InfiniteDuration();
  }
  int calls() const { return calls_; }

 private:
  absl::Duration at_;
  int calls_ = 0;
};

bool Readable(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

TEST(DeadlineSourceTest, WithoutDevicesThereIsNoDeadline) {
  ManualClock clock;
  ASSERT_OK_AND_ASSIGN(auto source, DeadlineSource::Create(clock));
  EXPECT_EQ(source->NextDeadline(), absl::InfiniteDuration());
  source->OnDeadline();
}

TEST(DeadlineSourceTest, TheEarliestDeadlineCounts) {
  ManualClock clock;
  ASSERT_OK_AND_ASSIGN(auto source, DeadlineSource::Create(clock));
  Alarm late(absl::Seconds(5));
  Alarm early(absl::Seconds(2));
  source->Add(late);
  source->Add(early);
  EXPECT_EQ(source->NextDeadline(), absl::Seconds(2));
}

TEST(DeadlineSourceTest, OnlyDevicesWhoseTimeHasComeAreCalled) {
  ManualClock clock;
  ASSERT_OK_AND_ASSIGN(auto source, DeadlineSource::Create(clock));
  Alarm late(absl::Seconds(5));
  Alarm early(absl::Seconds(2));
  source->Add(late);
  source->Add(early);
  source->OnDeadline();
  EXPECT_EQ(early.calls(), 0);
  clock.Advance(absl::Seconds(2));
  source->OnDeadline();
  EXPECT_EQ(early.calls(), 1);
  EXPECT_EQ(late.calls(), 0);
  EXPECT_EQ(source->NextDeadline(), absl::Seconds(5));
}

TEST(DeadlineSourceTest, WakeMakesTheDescriptorReadableOnce) {
  ManualClock clock;
  ASSERT_OK_AND_ASSIGN(auto source, DeadlineSource::Create(clock));
  EXPECT_EQ(source->events(), POLLIN);
  EXPECT_FALSE(Readable(source->fd()));
  source->Wake();
  source->Wake();
  EXPECT_TRUE(Readable(source->fd()));
  source->OnReady(POLLIN);
  EXPECT_FALSE(Readable(source->fd()));
}

}  // namespace
}  // namespace libvmm
