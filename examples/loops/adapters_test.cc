// SPDX-License-Identifier: Apache-2.0
// The duty of a loop, as event_source.h has it, tried on each adapter with
// sources that are only a test's. A duty that is not done shows as a test that
// never ends, or as a call too many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "examples/loops/test_loop.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/timed_device.h"
#include "libvmm/platform/deadline_source.h"
#include "libvmm/testing/status_matchers.h"

namespace loops {
namespace {

using namespace libvmm;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A pair of connected sockets: one end for a source, one for the test.
struct SocketPair {
  SocketPair() {
    std::array<int, 2> fds = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                         fds.data()),
              0);
    source = UniqueFd(fds[0]);
    test = UniqueFd(fds[1]);
  }

  void Send(const std::string& text) const {
    EXPECT_EQ(write(test.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }

  UniqueFd source;
  UniqueFd test;
};

// A source whose answers the test sets, and which does what the test says.
class FakeSource final : public EventSource {
 public:
  int fd() const override { return sockets.source.get(); }
  short events() const override { return asks; }
  absl::Duration NextDeadline() const override { return deadline; }
  void OnReady(short revents) override {
    seen.push_back(revents);
    if (on_ready) on_ready(revents);
  }
  void OnDeadline() override {
    ++deadlines;
    deadline = absl::InfiniteDuration();
    if (on_deadline) on_deadline();
  }

  // One byte from the test's end; -1 at the end of it or when there is none.
  int ReadByte() const {
    unsigned char byte = 0;
    return read(fd(), &byte, 1) == 1 ? byte : -1;
  }

  SocketPair sockets;
  short asks = 0;
  absl::Duration deadline = absl::InfiniteDuration();
  absl::AnyInvocable<void(short revents)> on_ready = nullptr;
  absl::AnyInvocable<void()> on_deadline = nullptr;

  // What OnReady was given, call by call.
  std::vector<short> seen;
  int deadlines = 0;
};

class AdaptersTest : public ::testing::TestWithParam<LoopKind> {
 protected:
  SystemClock clock_;
  std::unique_ptr<TestLoop> loop_ = TestLoop::Create(GetParam(), clock_);
};

INSTANTIATE_TEST_SUITE_P(Each, AdaptersTest, ::testing::ValuesIn(kAllLoops),
                         [](const auto& row) -> std::string {
                           return LoopName(row.param);
                         });

TEST_P(AdaptersTest, AReadableDescriptorIsServedUntilItIsDrained) {
  FakeSource source;
  source.asks = POLLIN;
  std::string read;
  source.on_ready = [&](short) {
    read += static_cast<char>(source.ReadByte());
  };
  // A second source ends the test when the first has had more than its due.
  FakeSource later;
  later.deadline = clock_.Monotonic() + absl::Milliseconds(20);
  EventSource* const sources[] = {&source, &later};
  loop_->Add(sources);
  source.sockets.Send("abc");
  while (later.deadlines == 0 || read.size() < 3) loop_->RunOnce();
  EXPECT_EQ(read, "abc");
  EXPECT_THAT(source.seen, ElementsAre(POLLIN, POLLIN, POLLIN));
}

TEST_P(AdaptersTest, ReadableWhenItIsAddedIsServed) {
  FakeSource source;
  source.asks = POLLIN;
  source.on_ready = [&](short) { source.ReadByte(); };
  source.sockets.Send("x");
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  while (source.seen.empty()) loop_->RunOnce();
  EXPECT_THAT(source.seen, ElementsAre(POLLIN));
}

TEST_P(AdaptersTest, APassedDeadlineIsServedAtOnce) {
  FakeSource source;
  source.deadline = absl::ZeroDuration();
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  loop_->RunOnce();
  EXPECT_EQ(source.deadlines, 1);
}

TEST_P(AdaptersTest, ADeadlineIsNotServedBeforeItsTime) {
  FakeSource source;
  int rounds = 0;
  EventSource* const sources[] = {&source};
  for (const absl::Duration left :
       {absl::Nanoseconds(1), absl::Microseconds(10), absl::Microseconds(1500),
        absl::Milliseconds(12)}) {
    const absl::Duration deadline = clock_.Monotonic() + left;
    source.deadline = deadline;
    source.on_deadline = [&] { EXPECT_GE(clock_.Monotonic(), deadline); };
    loop_->Add(sources);
    while (source.deadlines == rounds) loop_->RunOnce();
    loop_->Remove(sources);
    ++rounds;
  }
  EXPECT_EQ(source.deadlines, 4);
}

TEST_P(AdaptersTest, WhatElseTheLoopDoesDoesNotHastenADeadline) {
  // The source itself is ready now and then, another one all the time.
  FakeSource source;
  source.asks = POLLIN;
  source.on_ready = [&](short) { source.ReadByte(); };
  FakeSource busy;
  busy.asks = POLLIN;
  busy.sockets.Send("x");
  busy.on_ready = [&](short) {
    if (busy.seen.size() % 8 == 0) source.sockets.Send("x");
  };
  const absl::Duration deadline = clock_.Monotonic() + absl::Milliseconds(12);
  source.deadline = deadline;
  source.on_deadline = [&] { EXPECT_GE(clock_.Monotonic(), deadline); };
  EventSource* const sources[] = {&source, &busy};
  loop_->Add(sources);
  while (source.deadlines == 0) loop_->RunOnce();
  EXPECT_EQ(source.deadlines, 1);
}

TEST_P(AdaptersTest, ADeadlineThatIsSetAgainIsServedAgain) {
  FakeSource source;
  source.deadline = clock_.Monotonic() + absl::Milliseconds(1);
  source.on_deadline = [&] {
    if (source.deadlines < 5) {
      source.deadline = clock_.Monotonic() + absl::Milliseconds(1);
    }
  };
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  while (source.deadlines < 5) loop_->RunOnce();
  EXPECT_THAT(source.seen, IsEmpty());
}

TEST_P(AdaptersTest, NothingIsAskedForNothingComes) {
  FakeSource idle;
  idle.sockets.Send("x");  // readable, but nobody wants to know
  FakeSource later;
  later.deadline = clock_.Monotonic() + absl::Milliseconds(20);
  EventSource* const sources[] = {&idle, &later};
  loop_->Add(sources);
  while (later.deadlines == 0) loop_->RunOnce();
  EXPECT_THAT(idle.seen, IsEmpty());
  EXPECT_EQ(idle.deadlines, 0);
}

TEST_P(AdaptersTest, ADeadlineThatOnReadyMakesPassIsServed) {
  FakeSource source;
  source.asks = POLLIN;
  source.deadline = clock_.Monotonic() + absl::Hours(1);
  source.on_ready = [&](short) {
    source.ReadByte();
    source.deadline = clock_.Monotonic();
  };
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  source.sockets.Send("x");
  while (source.deadlines == 0) loop_->RunOnce();
  EXPECT_THAT(source.seen, ElementsAre(POLLIN));
}

TEST_P(AdaptersTest, ChangedEventsCountFromTheCallThatChangedThem) {
  // Asks to read, then to write, then for nothing but a deadline, then to read
  // again.
  FakeSource source;
  source.asks = POLLIN;
  std::string read;
  source.on_ready = [&](short revents) {
    if ((revents & POLLIN) != 0) {
      read += static_cast<char>(source.ReadByte());
      source.asks = POLLOUT;
    } else {
      source.asks = 0;
      source.deadline = clock_.Monotonic() + absl::Milliseconds(5);
    }
  };
  source.on_deadline = [&] { source.asks = POLLIN; };
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  source.sockets.Send("abc");
  while (read.size() < 3) loop_->RunOnce();
  EXPECT_EQ(read, "abc");
  EXPECT_THAT(source.seen,
              ElementsAre(POLLIN, POLLOUT, POLLIN, POLLOUT, POLLIN));
  EXPECT_EQ(source.deadlines, 2);
}

TEST_P(AdaptersTest, BothEventsAtOnce) {
  FakeSource source;
  source.asks = POLLIN | POLLOUT;
  short all = 0;
  source.on_ready = [&](short revents) { all |= revents; };
  EventSource* const sources[] = {&source};
  loop_->Add(sources);
  source.sockets.Send("x");
  while ((all & (POLLIN | POLLOUT)) != (POLLIN | POLLOUT)) loop_->RunOnce();
  EXPECT_EQ(all, POLLIN | POLLOUT);
}

TEST_P(AdaptersTest, WhatIsNoLongerAskedForIsNotTold) {
  FakeSource source;
  source.asks = POLLIN | POLLOUT;
  source.on_ready = [&](short) {
    source.asks = 0;
    source.sockets.Send("x");  // it would be readable from now on
  };
  FakeSource later;
  later.deadline = clock_.Monotonic() + absl::Milliseconds(20);
  EventSource* const sources[] = {&source, &later};
  loop_->Add(sources);
  while (later.deadlines == 0 || source.seen.empty()) loop_->RunOnce();
  EXPECT_THAT(source.seen, ElementsAre(POLLOUT));
}

TEST_P(AdaptersTest, APeerThatHangsUpIsToldAndThenLetGo) {
  FakeSource source;
  source.asks = POLLIN;
  source.on_ready = [&](short) {
    EXPECT_EQ(source.ReadByte(), -1);
    source.asks = 0;  // the source has understood
  };
  FakeSource later;
  later.deadline = clock_.Monotonic() + absl::Milliseconds(20);
  EventSource* const sources[] = {&source, &later};
  loop_->Add(sources);
  source.sockets.test.Reset();
  while (later.deadlines == 0 || source.seen.empty()) loop_->RunOnce();
  EXPECT_EQ(source.seen.size(), 1u);
}

TEST_P(AdaptersTest, NoSourceKeepsAnotherFromBeingServed) {
  // Always ready, all three of them, and a deadline besides.
  std::array<FakeSource, 3> busy;
  FakeSource timed;
  timed.deadline = clock_.Monotonic() + absl::Milliseconds(5);
  std::vector<EventSource*> sources = {&timed};
  for (FakeSource& source : busy) {
    source.asks = POLLIN;
    source.sockets.Send("x");
    sources.push_back(&source);
  }
  loop_->Add(sources);
  const auto all_served = [&] {
    for (const FakeSource& source : busy) {
      if (source.seen.size() < 3) return false;
    }
    return timed.deadlines > 0;
  };
  while (!all_served()) loop_->RunOnce();
}

TEST_P(AdaptersTest, ARemovedSourceIsLeftAlone) {
  FakeSource other;
  other.asks = POLLIN;
  other.on_ready = [&](short) { other.ReadByte(); };
  EventSource* const others[] = {&other};
  loop_->Add(others);
  {
    FakeSource source;
    source.asks = POLLIN | POLLOUT;
    source.deadline = clock_.Monotonic();
    EventSource* const sources[] = {&source};
    loop_->Add(sources);
    source.sockets.Send("x");
    while (source.seen.empty() || source.deadlines == 0) loop_->RunOnce();
    // Everything is due once more; the source and its descriptor go.
    source.deadline = clock_.Monotonic();
    loop_->Remove(sources);
  }
  for (size_t round = 1; round <= 3; ++round) {
    other.sockets.Send("x");
    while (other.seen.size() < round) loop_->RunOnce();
  }
  EXPECT_EQ(other.seen.size(), 3u);
}

TEST_P(AdaptersTest, ASourceMayBeAddedAgain) {
  FakeSource source;
  source.asks = POLLIN;
  source.on_ready = [&](short) { source.ReadByte(); };
  EventSource* const sources[] = {&source};
  for (size_t round = 1; round <= 3; ++round) {
    loop_->Add(sources);
    source.sockets.Send("x");
    while (source.seen.size() < round) loop_->RunOnce();
    loop_->Remove(sources);
  }
  EXPECT_THAT(source.seen, ElementsAre(POLLIN, POLLIN, POLLIN));
}

// A device whose deadline another thread moves.
class Alarm final : public TimedDevice {
 public:
  explicit Alarm(absl::Duration at) : at_(at) {}
  absl::Duration NextDeadline() const override {
    const MutexLock lock(mutex_);
    return at_;
  }
  void OnDeadline() override {
    rang_ = true;
    MoveTo(absl::InfiniteDuration());
  }
  void MoveTo(absl::Duration at) {
    const MutexLock lock(mutex_);
    at_ = at;
  }
  // For the loop's thread.
  bool rang() const { return rang_; }

 private:
  mutable Mutex mutex_;
  absl::Duration at_ ABSL_GUARDED_BY(mutex_);
  bool rang_ = false;
};

TEST_P(AdaptersTest, ADeadlineMovedByAnotherThreadWakesTheLoop) {
  for (const absl::Duration at :
       {absl::InfiniteDuration(), clock_.Monotonic() + absl::Hours(1)}) {
    ASSERT_OK_AND_ASSIGN(auto deadlines, DeadlineSource::Create(clock_));
    Alarm alarm(at);
    deadlines->Add(alarm);
    EventSource* const sources[] = {deadlines.get()};
    loop_->Add(sources);
    std::thread mover([&] {
      alarm.MoveTo(clock_.Monotonic() + absl::Milliseconds(1));
      deadlines->Wake();
    });
    while (!alarm.rang()) loop_->RunOnce();
    mover.join();
    loop_->Remove(sources);
  }
}

TEST_P(AdaptersTest, AClockThatIsMovedByHandWakesTheLoop) {
  ManualClock clock;
  const auto loop = TestLoop::Create(GetParam(), clock);
  ASSERT_OK_AND_ASSIGN(auto deadlines, DeadlineSource::Create(clock));
  Alarm alarm(absl::Hours(1));
  deadlines->Add(alarm);
  EventSource* const sources[] = {deadlines.get()};
  loop->Add(sources);
  std::thread mover([&] {
    clock.Advance(absl::Hours(1));
    deadlines->Wake();
  });
  while (!alarm.rang()) loop->RunOnce();
  mover.join();
}

TEST_P(AdaptersTest, AClockThatStandsStillKeepsADeadlineWaiting) {
  ManualClock clock;
  const auto loop = TestLoop::Create(GetParam(), clock);
  FakeSource source;
  source.deadline = absl::Milliseconds(1);
  EventSource* const sources[] = {&source};
  loop->Add(sources);
  // The loop's own time runs, and it looks again and again.
  for (int i = 0; i < 5; ++i) loop->RunOnce();
  EXPECT_EQ(source.deadlines, 0);
  clock.Advance(absl::Milliseconds(1));
  while (source.deadlines == 0) loop->RunOnce();
  loop->Remove(sources);
}

}  // namespace
}  // namespace loops
