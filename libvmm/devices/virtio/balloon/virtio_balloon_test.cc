// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/balloon/virtio_balloon.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"
#include "libvmm/devices/virtio/balloon/balloon_statistics.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/page_releaser.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtioTestLink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace virtio::balloon;  // NOLINT: the specification's names.

constexpr uint16_t kLane = 0;
constexpr uint64_t kAllFeatures = kMustTellHost | kStatisticsQueue |
                                  kDeflateOnOom | kPagePoison | kPageReporting;

// Remembers what it was given, and takes it if it is told to.
class Recorder final : public PageReleaser {
 public:
  uint64_t Release(GuestMemory&, GpaRange range) override {
    ranges.push_back(range);
    return takes ? range.size : 0;
  }

  bool takes = true;
  std::vector<GpaRange> ranges;
};

GpaRange Pages(uint64_t first, uint64_t count) {
  return {Gpa(first * 4096), count * 4096};
}

template <typename T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<std::byte> Statistic(uint16_t tag, uint64_t value) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < 2; ++i) {
    bytes.push_back(static_cast<std::byte>(tag >> 8 * i));
  }
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<std::byte>(value >> 8 * i));
  }
  return bytes;
}

class VirtioBalloonTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { Make({}, {}); }

  // Without a releaser among the options, the Recorder is it.
  void Make(VirtioBalloon::Options options, VirtioTestLink::Options link) {
    link_.reset();
    if (options.releaser == nullptr) options.releaser = &recorder_;
    options.on_statistics = [this](const BalloonStatistics& statistics) {
      statistics_.push_back(statistics);
    };
    options.actual_changed = [this](uint32_t pages) {
      actual_.push_back(pages);
    };
    auto device = VirtioBalloon::Create(std::move(options));
    ASSERT_OK(device);
    device_ = *std::move(device);
    if (link.features == 0) {
      link.features = kAllFeatures & device_->traits().features;
    }
    link.packed = GetParam();
    link_.emplace(*device_, link);
    ASSERT_TRUE(link_->Activate());
  }

  uint32_t ReadConfig(Register place) {
    uint32_t value = 0x5a5a5a5a;
    device_->ReadConfig(static_cast<uint32_t>(place),
                        std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void WriteConfig(uint32_t offset, const std::vector<uint8_t>& bytes) {
    device_->WriteConfig(offset, BytesOf(bytes));
  }

  bool Inflate(const std::vector<uint32_t>& pages) {
    const auto reply = link_->Request(kInflateQueue, BytesOf(pages), 0);
    return reply.has_value() && reply->written == 0;
  }

  Recorder recorder_;
  std::vector<BalloonStatistics> statistics_;
  std::vector<uint32_t> actual_;
  std::unique_ptr<VirtioBalloon> device_;
  std::optional<VirtioTestLink> link_;
};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioBalloonTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

// ---- Inflating and deflating

TEST_P(VirtioBalloonTest, PagesThatFollowEachOtherAreReleasedTogether) {
  EXPECT_TRUE(Inflate({20, 21, 22, 40, 41, 60}));
  EXPECT_THAT(recorder_.ranges,
              ElementsAre(Pages(20, 3), Pages(40, 2), Pages(60, 1)));
  EXPECT_EQ(device_->totals().released, 6u * 4096);
  EXPECT_EQ(device_->totals().kept, 0u);
}

TEST_P(VirtioBalloonTest, PagesComeInAnyOrderAndMoreThanOnce) {
  EXPECT_TRUE(Inflate({22, 60, 20, 21, 22, 60, 60}));
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(20, 3), Pages(60, 1)));
}

TEST_P(VirtioBalloonTest, PageNumbersThatAreNoMemoryAreHarmless) {
  HostPageReleaser host;
  Make({.releaser = &host}, {});
  EXPECT_TRUE(Inflate({0, 1, 0xffffffff, 0xfffffffe, 0x80000000, 0x100000}));
  EXPECT_EQ(device_->totals().released, 0u);
  EXPECT_EQ(device_->totals().kept, 6u * 4096);
}

TEST_P(VirtioBalloonTest, LastPageNumberDoesNotWrap) {
  EXPECT_TRUE(Inflate({0xffffffff}));
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(0xffffffff, 1)));
  recorder_.ranges.clear();
  EXPECT_TRUE(Inflate({0xffffffff, 0, 0xfffffffe}));
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(0, 1), Pages(0xfffffffe, 2)));
}

TEST_P(VirtioBalloonTest, WhatIsInsideReadsAsZeroAfterwards) {
  if (PageSize() != kPageSize) GTEST_SKIP() << "other page size";
  HostPageReleaser host;
  Make({.releaser = &host}, {});
  const Gpa gpa = link_->Allocate(4 * kPageSize, kPageSize);
  ASSERT_TRUE(link_->memory().Fill({gpa, 4 * kPageSize}, std::byte{0x5a}));
  const auto first = static_cast<uint32_t>(gpa.value() / kPageSize);
  EXPECT_TRUE(Inflate({first + 1, first + 2}));
  EXPECT_EQ(device_->totals().released, 2 * kPageSize);
  const std::vector<std::byte> bytes = link_->Bytes(gpa, 4 * kPageSize);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool inside = i / kPageSize == 1 || i / kPageSize == 2;
    ASSERT_EQ(bytes[i], inside ? std::byte{0} : std::byte{0x5a}) << i;
  }
}

TEST_P(VirtioBalloonTest, PartOfAPageNumberAtTheEndIsIgnored) {
  const std::vector<uint8_t> bytes{20, 0, 0, 0, 30, 0, 0};
  EXPECT_TRUE(link_->Request(kInflateQueue, BytesOf(bytes), 0).has_value());
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(20, 1)));
}

TEST_P(VirtioBalloonTest, RequestWithoutPagesIsGivenBack) {
  const auto reply = link_->Request(kInflateQueue, {}, 64);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
  EXPECT_THAT(recorder_.ranges, IsEmpty());
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioBalloonTest, LongRequestIsDoneInBoundedParts) {
  constexpr uint32_t kCount = 2 * VirtioBalloon::kServePages + 10;
  std::vector<uint32_t> pages;
  for (uint32_t i = 0; i < kCount; ++i) pages.push_back(3 * i);
  const uint64_t before = link_->serves(kLane);
  EXPECT_TRUE(Inflate(pages));
  EXPECT_EQ(link_->serves(kLane) - before, 3u);
  ASSERT_EQ(recorder_.ranges.size(), kCount);
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(recorder_.ranges[i], Pages(3 * i, 1));
  }
  // The next one starts at its own beginning.
  recorder_.ranges.clear();
  EXPECT_TRUE(Inflate({7}));
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(7, 1)));
}

TEST_P(VirtioBalloonTest, ResetForgetsHowFarALongRequestWas) {
  // The driver breaks the rules elsewhere in the midst of it, so that the rest
  // is not done.
  class Interrupter final : public PageReleaser {
   public:
    uint64_t Release(GuestMemory&, GpaRange range) override {
      if (ranges.empty()) link->Fail();
      ranges.push_back(range);
      return 0;
    }
    VirtioTestLink* link = nullptr;
    std::vector<GpaRange> ranges;
  };
  Interrupter releaser;
  Make({.releaser = &releaser}, {});
  releaser.link = &*link_;
  EXPECT_FALSE(
      Inflate(std::vector<uint32_t>(VirtioBalloon::kServePages + 4, 9)));
  EXPECT_THAT(releaser.ranges, ElementsAre(Pages(9, 1)));
  link_->Reset();
  ASSERT_TRUE(link_->Activate());
  EXPECT_TRUE(Inflate({7}));
  EXPECT_THAT(releaser.ranges, ElementsAre(Pages(9, 1), Pages(7, 1)));
}

TEST_P(VirtioBalloonTest, DeflatingIsAcknowledgedAndReleasesNothing) {
  const std::vector<uint32_t> pages{20, 21};
  const auto reply = link_->Request(kDeflateQueue, BytesOf(pages), 0);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
  EXPECT_THAT(recorder_.ranges, IsEmpty());
  EXPECT_EQ(link_->interrupts(kDeflateQueue), 1u);
}

TEST_P(VirtioBalloonTest, WhatTheReleaserDidNotTakeIsKept) {
  recorder_.takes = false;
  EXPECT_TRUE(Inflate({20, 21}));
  EXPECT_EQ(device_->totals().released, 0u);
  EXPECT_EQ(device_->totals().kept, 2u * 4096);
}

// ---- The configuration space

TEST_P(VirtioBalloonTest, TargetIsShownAndItsChangesTold) {
  Make({.target_pages = 77}, {});
  EXPECT_EQ(ReadConfig(Register::kPages), 77u);
  EXPECT_EQ(device_->target_pages(), 77u);
  device_->SetTargetPages(0x12345678);
  EXPECT_EQ(ReadConfig(Register::kPages), 0x12345678u);
  EXPECT_EQ(link_->config_changes(), 1u);
  device_->SetTargetPages(0x12345678);
  EXPECT_EQ(link_->config_changes(), 1u);
}

TEST_P(VirtioBalloonTest, TargetCanBeSetWithoutADriver) {
  link_->Reset();
  device_->SetTargetPages(5);
  EXPECT_EQ(ReadConfig(Register::kPages), 5u);
  EXPECT_EQ(link_->config_changes(), 0u);
}

TEST_P(VirtioBalloonTest, ActualIsTheGuestsToWrite) {
  WriteConfig(4, {0x78, 0x56, 0x34, 0x12});
  EXPECT_EQ(device_->actual_pages(), 0x12345678u);
  EXPECT_EQ(ReadConfig(Register::kActual), 0x12345678u);
  EXPECT_THAT(actual_, ElementsAre(0x12345678u));
  // The same again is no news.
  WriteConfig(4, {0x78, 0x56, 0x34, 0x12});
  EXPECT_THAT(actual_, ElementsAre(0x12345678u));
}

TEST_P(VirtioBalloonTest, AccessesOfAnySizeAndAcrossFieldsWork) {
  device_->SetTargetPages(0x01020304);
  // The target and the hint cannot be written, actual and poison can.
  WriteConfig(0, {9, 9, 9, 9, 1, 2, 3, 4, 9, 9, 9, 9, 5, 6, 7, 8});
  EXPECT_EQ(ReadConfig(Register::kPages), 0x01020304u);
  EXPECT_EQ(ReadConfig(Register::kActual), 0x04030201u);
  EXPECT_EQ(ReadConfig(Register::kFreePageHintId), 0u);
  EXPECT_EQ(ReadConfig(Register::kPoison), 0x08070605u);
  WriteConfig(5, {0xa, 0xb});
  EXPECT_EQ(ReadConfig(Register::kActual), 0x040b0a01u);
  WriteConfig(3, {9, 0xc});
  EXPECT_EQ(ReadConfig(Register::kActual), 0x040b0a0cu);
  WriteConfig(7, {0xd, 9, 9});
  EXPECT_EQ(ReadConfig(Register::kActual), 0x0d0b0a0cu);
  std::array<std::byte, 3> bytes;
  device_->ReadConfig(3, bytes);
  EXPECT_THAT(bytes, ElementsAre(std::byte{1}, std::byte{0xc}, std::byte{0xa}));
}

TEST_P(VirtioBalloonTest, ResetEmptiesTheBalloon) {
  WriteConfig(4, {9, 0, 0, 0});
  WriteConfig(12, {9, 0, 0, 0});
  link_->Reset();
  EXPECT_EQ(device_->actual_pages(), 0u);
  EXPECT_EQ(ReadConfig(Register::kPoison), 0u);
  EXPECT_THAT(actual_, ElementsAre(9u));
}

// ---- Statistics

TEST_P(VirtioBalloonTest, StatisticsComeWithTheBufferAndAreAskedForByIt) {
  const auto first = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  EXPECT_THAT(statistics_, ElementsAre(BalloonStatistics{.free_memory = 40}));
  EXPECT_FALSE(link_->Receive(first).has_value());
  device_->RequestStatistics();
  const auto reply = link_->Receive(first);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
  EXPECT_EQ(link_->interrupts(kStatisticsQueueNumber), 1u);
  const auto second = link_->Send(kStatisticsQueueNumber, Statistic(4, 41), 0);
  EXPECT_FALSE(link_->Receive(second).has_value());
  EXPECT_THAT(statistics_, ElementsAre(BalloonStatistics{.free_memory = 40},
                                       BalloonStatistics{.free_memory = 41}));
}

TEST_P(VirtioBalloonTest, RequestWhileTheDriverIsAtItIsThatOne) {
  const auto first = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  device_->RequestStatistics();
  device_->RequestStatistics();
  EXPECT_TRUE(link_->Receive(first).has_value());
  const auto second = link_->Send(kStatisticsQueueNumber, Statistic(4, 41), 0);
  EXPECT_FALSE(link_->Receive(second).has_value());
  EXPECT_EQ(link_->interrupts(kStatisticsQueueNumber), 1u);
}

TEST_P(VirtioBalloonTest, StatisticsAreAskedForAtTheInterval) {
  Make({.statistics_interval = absl::Seconds(10)}, {});
  const auto first = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  EXPECT_EQ(link_->deadline(kLane), absl::Seconds(10));
  link_->Advance(absl::Seconds(9));
  EXPECT_FALSE(link_->Receive(first).has_value());
  link_->Advance(absl::Seconds(1));
  EXPECT_TRUE(link_->Receive(first).has_value());
  EXPECT_EQ(link_->deadline(kLane), absl::Seconds(20));
  // The driver does not answer in time: nothing to give back.
  link_->Advance(absl::Seconds(10));
  EXPECT_EQ(link_->interrupts(kStatisticsQueueNumber), 1u);
  const auto second = link_->Send(kStatisticsQueueNumber, Statistic(4, 41), 0);
  EXPECT_FALSE(link_->Receive(second).has_value());
  link_->Advance(absl::Seconds(10));
  EXPECT_TRUE(link_->Receive(second).has_value());
}

TEST_P(VirtioBalloonTest, IntervalCanBeChanged) {
  const auto first = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  EXPECT_EQ(link_->deadline(kLane), absl::InfiniteDuration());
  link_->Advance(absl::Seconds(3));
  device_->SetStatisticsInterval(absl::Seconds(2));
  EXPECT_EQ(link_->deadline(kLane), absl::Seconds(5));
  EXPECT_FALSE(link_->Receive(first).has_value());
  link_->Advance(absl::Seconds(2));
  EXPECT_TRUE(link_->Receive(first).has_value());
  for (const absl::Duration never :
       {absl::InfiniteDuration(), absl::ZeroDuration(), -absl::Seconds(1)}) {
    device_->SetStatisticsInterval(absl::Seconds(2));
    EXPECT_NE(link_->deadline(kLane), absl::InfiniteDuration());
    device_->SetStatisticsInterval(never);
    EXPECT_EQ(link_->deadline(kLane), absl::InfiniteDuration());
  }
}

TEST_P(VirtioBalloonTest, OfStatisticsABoundedAmountIsRead) {
  std::vector<std::byte> bytes;
  while (bytes.size() + 10 <= VirtioBalloon::kMaxStatisticsBytes) {
    const auto entry = Statistic(5, bytes.size());
    bytes.insert(bytes.end(), entry.begin(), entry.end());
  }
  const size_t last = bytes.size() - 10;
  for (int i = 0; i < 1000; ++i) {
    const auto entry = Statistic(4, 40);
    bytes.insert(bytes.end(), entry.begin(), entry.end());
  }
  (void)link_->Send(kStatisticsQueueNumber, bytes, 0);
  EXPECT_THAT(statistics_,
              ElementsAre(BalloonStatistics{.total_memory = last}));
}

TEST_P(VirtioBalloonTest, SecondStatisticsBufferReplacesTheFirst) {
  const auto first = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  const auto second = link_->Send(kStatisticsQueueNumber, Statistic(4, 41), 0);
  EXPECT_TRUE(link_->Receive(first).has_value());
  EXPECT_FALSE(link_->Receive(second).has_value());
  device_->RequestStatistics();
  EXPECT_TRUE(link_->Receive(second).has_value());
}

TEST_P(VirtioBalloonTest, BufferHeldAtResetIsNotTouchedAnyMore) {
  (void)link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  link_->Reset();
  device_->RequestStatistics();
  device_->SetStatisticsInterval(absl::Seconds(1));
  ASSERT_TRUE(link_->Activate());
  // Asked for before the driver was there: there is nothing to give back.
  link_->Advance(absl::Seconds(1));
  EXPECT_EQ(link_->interrupts(kStatisticsQueueNumber), 0u);
  const auto next = link_->Send(kStatisticsQueueNumber, Statistic(4, 41), 0);
  EXPECT_FALSE(link_->Receive(next).has_value());
  device_->RequestStatistics();
  EXPECT_TRUE(link_->Receive(next).has_value());
}

TEST_P(VirtioBalloonTest, CallbackMayAskAgain) {
  link_.reset();
  VirtioBalloon* balloon = nullptr;
  int calls = 0;
  device_ =
      *VirtioBalloon::Create({.on_statistics = [&](const BalloonStatistics&) {
        ++calls;
        balloon->RequestStatistics();
        balloon->SetTargetPages(calls);
      }});
  balloon = device_.get();
  link_.emplace(*device_, VirtioTestLink::Options{.features = kStatisticsQueue,
                                                  .packed = GetParam()});
  ASSERT_TRUE(link_->Activate());
  const auto sent = link_->Send(kStatisticsQueueNumber, Statistic(4, 40), 0);
  EXPECT_TRUE(link_->Receive(sent).has_value());
  EXPECT_EQ(calls, 1);
}

// ---- Free page reporting

TEST_P(VirtioBalloonTest, ReportedPagesAreReleased) {
  auto& driver = link_->driver(kReportingQueue);
  ASSERT_TRUE(
      driver
          .Add({{.gpa = Gpa(0x20000), .size = 0x4000, .writable = true},
                {.gpa = Gpa(0x40000), .size = 0x1000, .writable = true}})
          .has_value());
  link_->Kick(kReportingQueue);
  EXPECT_EQ(driver.Collect()->written, 0u);
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(0x20, 4), Pages(0x40, 1)));
}

TEST_P(VirtioBalloonTest, DriverMayNumberItsQueuesWithoutGaps) {
  const struct {
    uint64_t features;
    std::vector<uint16_t> disabled;
    uint16_t queue;
  } kTable[] = {
      // As Linux has it.
      {kStatisticsQueue | kPageReporting, {4}, 3},
      {kPageReporting, {3, 4}, 2},
      // As section 5.5.2 has it.
      {kStatisticsQueue | kPageReporting, {3}, 4},
      {kPageReporting, {2, 3}, 4},
  };
  for (const auto& row : kTable) {
    Make({}, {.features = row.features, .disabled = row.disabled});
    recorder_.ranges.clear();
    auto& driver = link_->driver(row.queue);
    ASSERT_TRUE(
        driver.Add({{.gpa = Gpa(0x20000), .size = 0x4000, .writable = true}})
            .has_value());
    link_->Kick(row.queue);
    EXPECT_TRUE(driver.Collect().has_value());
    EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(0x20, 4)));
  }
}

TEST_P(VirtioBalloonTest, ReportedPagesThatMustKeepAPoisonAreKept) {
  WriteConfig(12, {0xaa, 0xaa, 0xaa, 0xaa});
  EXPECT_TRUE(link_->Request(kReportingQueue, {}, 0x4000).has_value());
  EXPECT_THAT(recorder_.ranges, IsEmpty());
  EXPECT_EQ(device_->totals().kept, 0x4000u);
  // Those of the balloon do not keep anything.
  EXPECT_TRUE(Inflate({20}));
  EXPECT_THAT(recorder_.ranges, ElementsAre(Pages(20, 1)));
  // Zero is what they read as anyway.
  recorder_.ranges.clear();
  WriteConfig(12, {0, 0, 0, 0});
  EXPECT_TRUE(link_->Request(kReportingQueue, {}, 0x4000).has_value());
  EXPECT_EQ(recorder_.ranges.size(), 1u);
}

TEST_P(VirtioBalloonTest, PoisonCountsOnlyWhereItWasNegotiated) {
  Make({}, {.features = kStatisticsQueue | kPageReporting});
  WriteConfig(12, {0xaa, 0xaa, 0xaa, 0xaa});
  EXPECT_TRUE(link_->Request(kReportingQueue, {}, 0x4000).has_value());
  EXPECT_EQ(recorder_.ranges.size(), 1u);
}

TEST_P(VirtioBalloonTest, QueuesThatWereNotNegotiatedAreNotServed) {
  Make({}, {.features = kDeflateOnOom});
  for (const uint16_t queue :
       {kStatisticsQueueNumber, kFreePageQueue, kReportingQueue}) {
    EXPECT_FALSE(link_->Request(queue, Statistic(4, 40), 16).has_value());
  }
  EXPECT_THAT(recorder_.ranges, IsEmpty());
  EXPECT_THAT(statistics_, IsEmpty());
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioBalloonTest, ReportedBuffersAreServedInBoundedNumber) {
  // 50 reports of 100 pieces each are more than one Serve takes.
  constexpr int kReports = 50;
  constexpr int kPieces = 100;
  Make({}, {.table_size = kPieces});
  auto& driver = link_->driver(kReportingQueue);
  const std::vector<testing::VirtqueueDriver::Buffer> pieces(
      kPieces, {.gpa = Gpa(0x20000), .size = 0x1000, .writable = true});
  for (int i = 0; i < kReports; ++i) {
    ASSERT_TRUE(driver.Add(pieces, testing::VirtqueueDriver::Layout::kIndirect)
                    .has_value());
  }
  const uint64_t before = link_->serves(kLane);
  link_->Kick(kReportingQueue);
  EXPECT_EQ(link_->serves(kLane) - before, 2u);
  for (int i = 0; i < kReports; ++i) {
    EXPECT_TRUE(driver.Collect().has_value());
  }
  EXPECT_EQ(recorder_.ranges.size(), size_t{kReports} * kPieces);
}

// ---- Set-up

TEST_P(VirtioBalloonTest, NeedsTheQueuesThatAreAlwaysThere) {
  for (const uint16_t queue : {kInflateQueue, kDeflateQueue}) {
    const auto device = *VirtioBalloon::Create({});
    VirtioTestLink link(*device, {.packed = GetParam(), .disabled = {queue}});
    EXPECT_FALSE(link.Activate());
  }
}

TEST_P(VirtioBalloonTest, WorksWithoutAStatisticsQueue) {
  Make({.statistics_interval = absl::Seconds(1)},
       {.features = kStatisticsQueue | kPageReporting,
        .disabled = {kStatisticsQueueNumber}});
  device_->RequestStatistics();
  link_->Advance(absl::Seconds(2));
  EXPECT_TRUE(Inflate({20}));
}

TEST(VirtioBalloonOptionsTest, FeaturesFollowTheOptions) {
  const struct {
    VirtioBalloon::Options options;
    uint64_t features;
  } kTable[] = {
      {{.statistics = false, .page_reporting = false, .deflate_on_oom = false},
       0},
      {{.statistics = true, .page_reporting = false, .deflate_on_oom = false},
       kStatisticsQueue},
      {{.statistics = false, .page_reporting = true, .deflate_on_oom = false},
       kPageReporting | kPagePoison},
      {{.statistics = false, .page_reporting = false, .deflate_on_oom = true},
       kDeflateOnOom},
      {{.statistics = false,
        .page_reporting = false,
        .deflate_on_oom = false,
        .must_tell_host = true},
       kMustTellHost},
  };
  for (const auto& row : kTable) {
    const auto device =
        *VirtioBalloon::Create({.statistics = row.options.statistics,
                                .page_reporting = row.options.page_reporting,
                                .deflate_on_oom = row.options.deflate_on_oom,
                                .must_tell_host = row.options.must_tell_host});
    EXPECT_EQ(device->traits().features, row.features | virtio::kInOrder);
    EXPECT_EQ(device->traits().id, VirtioDeviceId::kBalloon);
    EXPECT_EQ(device->traits().queues.size(), 5u);
    EXPECT_EQ(device->traits().config_size, 16u);
  }
}

TEST(VirtioBalloonOptionsTest, CreateNamesWhatCannotBe) {
  EXPECT_THAT(VirtioBalloon::Create({.queue_size = 3}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queue_size is 3")));
  EXPECT_THAT(
      VirtioBalloon::Create({.statistics_interval = absl::ZeroDuration()}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("statistics_interval is 0")));
}

}  // namespace
}  // namespace libvmm
