// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::VirtqueueDriver;
using ::testing::HasSubstr;

constexpr uint16_t kQueue = 0;
constexpr uint16_t kLane = 0;
constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

// Counts up, so that it shows where a byte came from.
class Counter {
 public:
  size_t Fill(std::span<std::byte> to) {
    ++calls;
    const size_t size = std::min(to.size(), available);
    for (std::byte& byte : to.first(size)) byte = std::byte{next++};
    if (available != kUnlimited) available -= size;
    given += size;
    return size;
  }
  static std::vector<std::byte> From(uint8_t first, size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = std::byte{first++};
    return bytes;
  }

  size_t available = kUnlimited;
  size_t calls = 0;
  size_t given = 0;
  uint8_t next = 1;
};

class VirtioEntropyTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { Make({}); }

  void Make(VirtioEntropy::Options options) {
    link_.reset();
    options.source = [this](std::span<std::byte> to) {
      return counter_.Fill(to);
    };
    auto device = VirtioEntropy::Create(std::move(options));
    ASSERT_OK(device);
    device_ = *std::move(device);
    link_.emplace(*device_, VirtioTestLink::Options{.packed = GetParam()});
    ASSERT_TRUE(link_->Activate());
  }

  Counter counter_;
  std::unique_ptr<VirtioEntropy> device_;
  std::optional<VirtioTestLink> link_;
};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioEntropyTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioEntropyTest, FillsARequest) {
  const auto reply = link_->Request(kQueue, {}, 100);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 100u);
  EXPECT_EQ(reply->bytes, Counter::From(1, 100));
  EXPECT_EQ(link_->interrupts(kQueue), 1u);
}

TEST_P(VirtioEntropyTest, FillsBuffersInPieces) {
  const Gpa first = link_->Allocate(3);
  const Gpa second = link_->Allocate(5000);
  ASSERT_TRUE(link_->driver(kQueue)
                  .Add({{.gpa = first, .size = 3, .writable = true},
                        {.gpa = second, .size = 5000, .writable = true}})
                  .has_value());
  link_->Kick(kQueue);
  EXPECT_EQ(link_->driver(kQueue).Collect()->written, 5003u);
  EXPECT_EQ(link_->Bytes(first, 3), Counter::From(1, 3));
  EXPECT_EQ(link_->Bytes(second, 5000), Counter::From(4, 5000));
}

TEST_P(VirtioEntropyTest, GuestChosenLengthIsCapped) {
  const auto reply = link_->Request(kQueue, {}, 1 << 20);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, VirtioEntropy::kMaxRequestBytes);
  EXPECT_EQ(counter_.given, VirtioEntropy::kMaxRequestBytes);
  EXPECT_EQ(reply->bytes[VirtioEntropy::kMaxRequestBytes], std::byte{0});
}

TEST_P(VirtioEntropyTest, OneServeGivesABoundedAmount) {
  constexpr int kRequests = 10;
  for (int i = 0; i < kRequests; ++i) {
    ASSERT_TRUE(link_->driver(kQueue)
                    .Add({{.gpa = link_->Allocate(1 << 16),
                           .size = 1 << 16,
                           .writable = true}})
                    .has_value());
  }
  const uint64_t before = link_->serves(kLane);
  link_->Kick(kQueue);
  // 640 KiB, 256 KiB in each.
  EXPECT_EQ(link_->serves(kLane) - before, 3u);
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(link_->driver(kQueue).Collect()->written, 1u << 16);
  }
}

TEST_P(VirtioEntropyTest, RequestWithNothingToFillBreaksTheRules) {
  const std::array<std::byte, 4> bytes{};
  EXPECT_FALSE(link_->Request(kQueue, bytes, 0).has_value());
  EXPECT_TRUE(link_->failed());
  EXPECT_EQ(counter_.calls, 0u);
}

TEST_P(VirtioEntropyTest, SourceThatHasLessGivesLess) {
  counter_.available = 10;
  const auto reply = link_->Request(kQueue, {}, 100);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 10u);
  EXPECT_EQ(reply->bytes[9], std::byte{10});
  EXPECT_EQ(reply->bytes[10], std::byte{0});
}

TEST_P(VirtioEntropyTest, SourceThatSaysMoreThanThereWasRoomForIsCut) {
  link_.reset();
  device_ = *VirtioEntropy::Create(
      {.source = [](std::span<std::byte>) { return kUnlimited; }});
  link_.emplace(*device_, VirtioTestLink::Options{.packed = GetParam()});
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(link_->Request(kQueue, {}, 100)->written, 100u);
}

TEST_P(VirtioEntropyTest, DrySourceIsAskedAgainWhenItSaysSo) {
  counter_.available = 0;
  const auto sent = link_->Send(kQueue, {}, 8);
  EXPECT_EQ(counter_.calls, 1u);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  // The driver's knocking does not help, nor does it hurt.
  link_->Notify(kQueue);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  counter_.available = 100;
  device_->SourceReady();
  EXPECT_EQ(link_->Receive(sent)->written, 8u);
}

TEST_P(VirtioEntropyTest, DrySourceIsAskedAgainAfterAWhile) {
  Make({.retry = absl::Milliseconds(30)});
  counter_.available = 0;
  const auto sent = link_->Send(kQueue, {}, 8);
  EXPECT_EQ(link_->deadline(kLane), absl::Milliseconds(30));
  counter_.available = 100;
  link_->Advance(absl::Milliseconds(29));
  EXPECT_FALSE(link_->Receive(sent).has_value());
  link_->Advance(absl::Milliseconds(1));
  EXPECT_EQ(link_->Receive(sent)->written, 8u);
  EXPECT_EQ(link_->deadline(kLane), absl::InfiniteDuration());
}

TEST_P(VirtioEntropyTest, WhatWaitsIsServedInOrder) {
  counter_.available = 0;
  const auto first = link_->Send(kQueue, {}, 2);
  const auto second = link_->Send(kQueue, {}, 2);
  counter_.available = 2;
  device_->SourceReady();
  EXPECT_EQ(link_->Receive(first)->bytes, Counter::From(1, 2));
  EXPECT_FALSE(link_->Receive(second).has_value());
  counter_.available = 2;
  device_->SourceReady();
  EXPECT_EQ(link_->Receive(second)->bytes, Counter::From(3, 2));
}

TEST_P(VirtioEntropyTest, ResetForgetsWhatWaited) {
  counter_.available = 0;
  (void)link_->Send(kQueue, {}, 8);
  link_->Reset();
  counter_.available = kUnlimited;
  const size_t calls = counter_.calls;
  device_->SourceReady();
  EXPECT_EQ(counter_.calls, calls);
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(counter_.calls, calls);
  EXPECT_EQ(link_->Request(kQueue, {}, 8)->written, 8u);
}

TEST_P(VirtioEntropyTest, RateIsKept) {
  Make({.limits = {.bytes = {.rate = 1000, .burst = 1000}}});
  EXPECT_EQ(link_->Request(kQueue, {}, 1000)->written, 1000u);
  const auto sent = link_->Send(kQueue, {}, 500);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  EXPECT_EQ(link_->deadline(kLane), absl::Milliseconds(500));
  link_->Advance(absl::Milliseconds(499));
  EXPECT_FALSE(link_->Receive(sent).has_value());
  link_->Advance(absl::Milliseconds(1));
  EXPECT_EQ(link_->Receive(sent)->written, 500u);
  // Another rate counts at once.
  const auto next = link_->Send(kQueue, {}, 500);
  EXPECT_FALSE(link_->Receive(next).has_value());
  ASSERT_OK(device_->SetLimits({}));
  EXPECT_EQ(link_->Receive(next)->written, 500u);
}

TEST_P(VirtioEntropyTest, DrySourceDoesNotCostRate) {
  Make({.limits = {.bytes = {.rate = 1000, .burst = 1000}}});
  counter_.available = 0;
  const auto sent = link_->Send(kQueue, {}, 1000);
  for (int i = 0; i < 5; ++i) device_->SourceReady();
  counter_.available = kUnlimited;
  device_->SourceReady();
  EXPECT_EQ(link_->Receive(sent)->written, 1000u);
}

TEST_P(VirtioEntropyTest, RateThatMakesTheNextRequestWaitLeavesTheOnesBefore) {
  Make({.limits = {.operations = {.rate = 1, .burst = 2}}});
  const auto first = link_->Send(kQueue, {}, 1);
  const auto second = link_->Send(kQueue, {}, 1);
  const auto third = link_->Send(kQueue, {}, 1);
  EXPECT_TRUE(link_->Receive(first).has_value());
  EXPECT_TRUE(link_->Receive(second).has_value());
  EXPECT_FALSE(link_->Receive(third).has_value());
}

TEST_P(VirtioEntropyTest, NeedsItsQueue) {
  VirtioTestLink link(*device_, {.packed = GetParam(), .disabled = {kQueue}});
  link_->Reset();
  EXPECT_FALSE(link.Activate());
}

TEST(VirtioEntropyOptionsTest, TraitsAreThoseOfTheDevice) {
  const auto device = *VirtioEntropy::Create({.queue_size = 8});
  EXPECT_EQ(device->traits().id, VirtioDeviceId::kEntropy);
  EXPECT_EQ(device->traits().features, virtio::kInOrder);
  ASSERT_EQ(device->traits().queues.size(), 1u);
  EXPECT_EQ(device->traits().queues[0].max_size, 8);
  EXPECT_EQ(device->traits().lanes, 1);
  EXPECT_EQ(device->traits().config_size, 0u);
}

TEST(VirtioEntropyOptionsTest, KernelIsTheSourceWhereNoneIsGiven) {
  const auto device = *VirtioEntropy::Create({});
  VirtioTestLink link(*device);
  ASSERT_TRUE(link.Activate());
  const auto reply = link.Request(kQueue, {}, 4096);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 4096u);
  EXPECT_NE(reply->bytes, std::vector<std::byte>(4096));
}

TEST(VirtioEntropyOptionsTest, ConfigurationReadsAsZero) {
  const auto device = *VirtioEntropy::Create({});
  std::array<std::byte, 4> bytes;
  bytes.fill(std::byte{1});
  device->WriteConfig(0, bytes);
  device->ReadConfig(0, bytes);
  EXPECT_EQ(bytes, (std::array<std::byte, 4>{}));
}

TEST(VirtioEntropyOptionsTest, CreateNamesWhatCannotBe) {
  EXPECT_THAT(VirtioEntropy::Create({.queue_size = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queue_size is 0")));
  EXPECT_THAT(VirtioEntropy::Create({.queue_size = 12}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queue_size is 12")));
  EXPECT_THAT(
      VirtioEntropy::Create({.retry = absl::ZeroDuration()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("retry is 0")));
  constexpr uint64_t kTooMany = ~uint64_t{0};
  EXPECT_THAT(VirtioEntropy::Create({.limits = {.bytes = {.rate = kTooMany}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
