// SPDX-License-Identifier: Apache-2.0
// ServeQueue, and with it VirtioTestLink, under a device that copies what it
// reads to where it may write.
#include "libvmm/devices/virtio/device/queue_service.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm {
namespace {

using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::VirtqueueDriver;

constexpr uint16_t kLastQueue = 1;

// Answers each chain with its own bytes. A first byte of kRefuse breaks the
// rules; while `busy` nothing is taken.
class Echo final : public VirtioDevice {
 public:
  static constexpr std::byte kRefuse{0xff};

  const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t, std::span<std::byte>) override {}
  void WriteConfig(uint32_t, std::span<const std::byte>) override {}
  bool Activate(VirtioLink& link) override {
    link_ = &link;
    return works;
  }
  void Serve(uint16_t lane) override {
    ServeQueue(*link_, lane, lane, chain_, [&](DescriptorChain& chain) {
      ++seen;
      if (busy) return ChainResult::kLater;
      ChainReader reader(chain.readable());
      ChainWriter writer(chain.writable(), link_->memory());
      std::array<std::byte, 16> bytes;
      while (const size_t size = reader.ReadSome(bytes)) {
        if (bytes[0] == kRefuse) return ChainResult::kFail;
        writer.WriteSome(std::span(bytes).first(size));
      }
      if (add_more != nullptr) add_more();
      link_->queue(lane)->Push(chain.token(), writer.written());
      return ChainResult::kTaken;
    });
  }
  void Reset() override { ++resets; }

  bool works = true;
  bool busy = false;
  int seen = 0;
  int resets = 0;
  // What the driver does while a chain is handled.
  std::function<void()> add_more;

 private:
  Traits traits_ = {.id = VirtioDeviceId::kEntropy,
                    .queues = {{.max_size = 256, .lane = 0},
                               {.max_size = 8, .lane = kLastQueue}},
                    .lanes = 2};
  VirtioLink* link_ = nullptr;
  DescriptorChain chain_;
};

// Both layouts, with and without the event index.
class QueueServiceTest
    : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  QueueServiceTest()
      : link(echo, {.packed = std::get<0>(GetParam()),
                    .event_index = std::get<1>(GetParam())}) {}

  static std::vector<std::byte> Text(const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

  Echo echo;
  VirtioTestLink link;
};

INSTANTIATE_TEST_SUITE_P(
    Rings, QueueServiceTest,
    ::testing::Combine(::testing::Bool(), ::testing::Bool()),
    [](const auto& row) {
      return std::string(std::get<0>(row.param) ? "Packed" : "Split") +
             (std::get<1>(row.param) ? "EventIndex" : "Flags");
    });

TEST_P(QueueServiceTest, RequestsAreAnswered) {
  ASSERT_TRUE(link.Activate());
  for (int i = 0; i < 1000; ++i) {
    for (const uint16_t queue : {uint16_t{0}, kLastQueue}) {
      const std::vector<std::byte> text = Text("request " + std::to_string(i));
      const auto reply = link.Request(queue, text, 100);
      ASSERT_TRUE(reply.has_value());
      ASSERT_EQ(reply->written, text.size());
      ASSERT_TRUE(std::equal(text.begin(), text.end(), reply->bytes.begin()));
    }
  }
  EXPECT_FALSE(link.failed());
  EXPECT_EQ(link.config_changes(), 0u);
}

TEST_P(QueueServiceTest, InterruptsComeForTheQueueThatHasSomething) {
  ASSERT_TRUE(link.Activate());
  ASSERT_TRUE(link.Request(kLastQueue, Text("a"), 1).has_value());
  EXPECT_EQ(link.interrupts(0), 0u);
  EXPECT_EQ(link.interrupts(kLastQueue), 1u);
}

TEST_P(QueueServiceTest, WhatComesMeanwhileIsServedWithoutANotification) {
  ASSERT_TRUE(link.Activate());
  int left = 5;
  echo.add_more = [&] {
    if (left-- == 0) {
      echo.add_more = nullptr;
      return;
    }
    const Gpa gpa = link.Put(Text("more"));
    link.driver(0).Add({{.gpa = gpa, .size = 4}});
    EXPECT_FALSE(link.driver(0).Publish());
  };
  link.Send(0, Text("first"), 0);
  EXPECT_EQ(echo.seen, 6);
  EXPECT_EQ(link.driver(0).in_flight(), 6u);
}

TEST_P(QueueServiceTest, AChainThatIsLeftForLaterStays) {
  ASSERT_TRUE(link.Activate());
  echo.busy = true;
  const auto first = link.Send(0, Text("1"), 1);
  const auto second = link.Send(0, Text("2"), 1);
  EXPECT_EQ(link.Receive(first), std::nullopt);
  echo.busy = false;
  link.Wake(0);
  EXPECT_EQ(link.Receive(second)->bytes, Text("2"));
  EXPECT_EQ(link.Receive(first)->bytes, Text("1"));
  EXPECT_FALSE(link.failed());
}

TEST_P(QueueServiceTest, ARefusedChainFailsTheDeviceAfterThoseBeforeIt) {
  ASSERT_TRUE(link.Activate());
  link.driver(0).Add({{.gpa = link.Put(Text("good")), .size = 4}});
  link.driver(0).Add({{.gpa = link.Put(std::array{Echo::kRefuse}), .size = 1}});
  link.driver(0).Add({{.gpa = link.Put(Text("late")), .size = 4}});
  link.Kick(0);
  EXPECT_TRUE(link.failed());
  EXPECT_TRUE(link.driver(0).Collect().has_value());
  EXPECT_FALSE(link.driver(0).Collect().has_value());
  // Nothing is served any more, until it is reset.
  link.Notify(0);
  EXPECT_EQ(echo.seen, 2);
  link.Reset();
  EXPECT_EQ(echo.resets, 1);
  ASSERT_TRUE(link.Activate());
  EXPECT_FALSE(link.failed());
  EXPECT_TRUE(link.Request(0, Text("again"), 5).has_value());
}

TEST_P(QueueServiceTest, AMalformedChainFailsTheDevice) {
  ASSERT_TRUE(link.Activate());
  link.driver(0).Add({{.gpa = link.Put(Text("good")), .size = 4}});
  // There is no memory at address zero.
  link.driver(0).Add({{.gpa = Gpa(0), .size = 1}});
  link.Kick(0);
  EXPECT_TRUE(link.failed());
  EXPECT_EQ(echo.seen, 1);
  EXPECT_TRUE(link.driver(0).Collect().has_value());
}

TEST_P(QueueServiceTest, ARingThatIsMemoryNoMoreFailsTheDevice) {
  ASSERT_TRUE(link.Activate());
  link.driver(0).Add({{.gpa = link.Put(Text("good")), .size = 4}});
  link.driver(0).Publish();
  ASSERT_OK(link.memory().Remove(VirtioTestLink::kMemoryStart));
  link.Notify(0);
  EXPECT_TRUE(link.failed());
  EXPECT_EQ(echo.seen, 0);
}

// A driver that always has one more keeps nobody's thread in ServeQueue: after
// as many chains as the ring has places the lane is asked for anew.
TEST_P(QueueServiceTest, AServiceEndsAfterARingful) {
  ASSERT_TRUE(link.Activate());
  for (const int count : {7, 8}) {
    const uint64_t before = link.serves(kLastQueue);
    for (int i = 0; i < count; ++i) {
      link.driver(kLastQueue).Add({{.gpa = link.Put(Text("x")), .size = 1}});
    }
    link.Kick(kLastQueue);
    EXPECT_EQ(link.serves(kLastQueue) - before, count == 8 ? 2u : 1u);
    for (int i = 0; i < count; ++i) {
      EXPECT_TRUE(link.driver(kLastQueue).Collect().has_value());
    }
  }
}

TEST_P(QueueServiceTest, DeadlinesServeTheirLane) {
  ASSERT_TRUE(link.Activate());
  EXPECT_EQ(link.deadline(1), absl::InfiniteDuration());
  link.SetDeadline(1, absl::Seconds(1));
  const uint64_t before = link.serves(1);
  link.Advance(absl::Milliseconds(999));
  EXPECT_EQ(link.serves(1), before);
  link.Advance(absl::Milliseconds(1));
  EXPECT_EQ(link.serves(1), before + 1);
  EXPECT_EQ(link.deadline(1), absl::InfiniteDuration());
}

TEST_P(QueueServiceTest, ADeviceThatDoesNotWorkIsReset) {
  echo.works = false;
  EXPECT_FALSE(link.Activate());
  EXPECT_EQ(echo.resets, 1);
  EXPECT_EQ(link.queue(0), nullptr);
}

TEST(VirtioTestLinkTest, QueuesCanStayDisabled) {
  Echo echo;
  VirtioTestLink link(echo, {.disabled = {kLastQueue}});
  ASSERT_TRUE(link.Activate());
  EXPECT_NE(link.queue(0), nullptr);
  EXPECT_EQ(link.queue(kLastQueue), nullptr);
  EXPECT_EQ(link.queue(2), nullptr);
  // Serves nothing.
  link.Notify(kLastQueue);
  EXPECT_FALSE(link.failed());
}

}  // namespace
}  // namespace libvmm
