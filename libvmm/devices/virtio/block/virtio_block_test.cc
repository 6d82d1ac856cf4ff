// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/virtio_block.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/block/block_protocol.h"
#include "libvmm/devices/virtio/block/memory_disk.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/held_disk.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

namespace block = virtio::block;

using ::libvmm::testing::HeldDisk;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtioTestLink;
using ::libvmm::testing::VirtqueueDriver;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kSectors = 256;
constexpr size_t kCapacity = kSectors * block::kSectorSize;
constexpr uint64_t kAll = block::kSegmentMax | block::kReadOnly |
                          block::kBlockSize | block::kFlush | block::kTopology |
                          block::kConfigWriteback | block::kMultiQueue |
                          block::kDiscard | block::kWriteZeroes;

std::vector<std::byte> Pattern(size_t size, unsigned seed = 1) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 131 + seed * 7) >> 3 ^ i);
  }
  return bytes;
}

template <typename T>
void Append(std::vector<std::byte>& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> Header(uint32_t type, uint64_t sector = 0) {
  std::vector<std::byte> bytes;
  Append(bytes, block::RequestHeader{.type = type, .sector = sector});
  return bytes;
}

std::vector<std::byte> Write(uint64_t sector, std::span<const std::byte> data) {
  std::vector<std::byte> bytes = Header(block::kOut, sector);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

std::vector<std::byte> Ranges(uint32_t type,
                              std::initializer_list<block::Range> ranges) {
  std::vector<std::byte> bytes = Header(type);
  for (const block::Range& range : ranges) Append(bytes, range);
  return bytes;
}

uint8_t StatusOf(const VirtioTestLink::Reply& reply) {
  return static_cast<uint8_t>(reply.bytes.back());
}

// Both layouts of a ring: a disk that finishes requests when the test says so,
// or at once, and a driver.
class VirtioBlockTest : public ::testing::TestWithParam<bool> {
 protected:
  struct Setup {
    BlockTraits traits = {.discard = true, .write_zeroes = true};
    VirtioBlock::Options device = {};
    // What the driver accepts of what is offered.
    uint64_t features = kAll;
    VirtioTestLink::Options link = {};
    bool immediate = true;
  };

  void Make(Setup setup) {
    link_.reset();
    device_.reset();
    disk_ = std::make_unique<HeldDisk>(setup.traits, kCapacity);
    disk_->set_immediate(setup.immediate);
    device_ = *VirtioBlock::Create(*disk_, setup.device);
    setup.link.packed = GetParam();
    setup.link.features = setup.features & device_->traits().features;
    link_ = std::make_unique<VirtioTestLink>(*device_, setup.link);
    ASSERT_TRUE(link_->Activate());
  }
  void Make() { Make({}); }

  // The status of a request that the device answers at once; 0xff if it does
  // not.
  uint8_t Status(std::span<const std::byte> out, uint32_t in_size = 1,
                 uint32_t* written = nullptr) {
    const auto reply = link_->Request(0, out, in_size);
    if (!reply.has_value()) return 0xff;
    if (written != nullptr) *written = reply->written;
    return StatusOf(*reply);
  }

  template <typename T>
  T Config(uint32_t offset) {
    T value{};
    device_->ReadConfig(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }

  std::unique_ptr<HeldDisk> disk_;
  std::unique_ptr<VirtioBlock> device_;
  std::unique_ptr<VirtioTestLink> link_;
};

INSTANTIATE_TEST_SUITE_P(Layouts, VirtioBlockTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& packed) {
                           return packed.param ? "Packed" : "Split";
                         });

// ---- Requests ---------------------------------------------------------------

TEST_P(VirtioBlockTest, ReadsWhatWasWritten) {
  Make();
  const std::vector<std::byte> data = Pattern(3 * 512);
  uint32_t written = 0;
  ASSERT_EQ(Status(Write(5, data), 1, &written), block::kOk);
  EXPECT_EQ(written, 1u);
  EXPECT_TRUE(std::ranges::equal(
      std::span(disk_->bytes()).subspan(5 * 512, data.size()), data));
  const auto reply = link_->Request(0, Header(block::kIn, 5), 3 * 512 + 1);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(StatusOf(*reply), block::kOk);
  EXPECT_EQ(reply->written, 3 * 512 + 1u);
  EXPECT_TRUE(
      std::ranges::equal(std::span(reply->bytes).first(data.size()), data));
}

// Section 2.6.4.2: how the driver cuts a request into buffers means nothing.
TEST_P(VirtioBlockTest, BuffersMayBeCutAnywhere) {
  Make();
  const std::vector<std::byte> data = Pattern(2 * 512);
  const std::vector<std::byte> out = Write(9, data);
  const Gpa from = link_->Put(out);
  const Gpa to = link_->Allocate(2048);
  VirtqueueDriver& driver = link_->driver(0);
  // The header in three pieces, the last one with data; one byte of data.
  ASSERT_TRUE(driver
                  .Add({{.gpa = from, .size = 3},
                        {.gpa = from + 3, .size = 10},
                        {.gpa = from + 13, .size = 200},
                        {.gpa = from + 213, .size = 1},
                        {.gpa = from + 214, .size = 1040 - 214},
                        {.gpa = to, .size = 1, .writable = true}})
                  .has_value());
  link_->Kick(0);
  ASSERT_TRUE(driver.Collect().has_value());
  EXPECT_EQ(link_->Bytes(to, 1)[0], std::byte{block::kOk});
  EXPECT_TRUE(std::ranges::equal(
      std::span(disk_->bytes()).subspan(9 * 512, data.size()), data));

  const Gpa header = link_->Put(Header(block::kIn, 9));
  ASSERT_TRUE(driver
                  .Add({{.gpa = header, .size = 16},
                        {.gpa = to, .size = 1, .writable = true},
                        {.gpa = to + 1, .size = 1000, .writable = true},
                        // The rest of the data, and the status.
                        {.gpa = to + 1001, .size = 24, .writable = true}})
                  .has_value());
  link_->Kick(0);
  const auto used = driver.Collect();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, 1025u);
  const std::vector<std::byte> back = link_->Bytes(to, 1025);
  EXPECT_TRUE(std::ranges::equal(std::span(back).first(1024), data));
  EXPECT_EQ(back[1024], std::byte{block::kOk});
}

TEST_P(VirtioBlockTest, RequestsOutsideTheDiskAreIoErrors) {
  Make();
  const struct {
    uint64_t sector;
    uint32_t size;
  } rows[] = {
      {kSectors, 512},
      {kSectors - 1, 1024},
      {kSectors + 1, 512},
      {0, kCapacity + 512},
      // Sums that wrap, in sectors and in bytes.
      {~uint64_t{0}, 512},
      {~uint64_t{0}, 1024},
      {uint64_t{1} << 55, 512},
      {(uint64_t{1} << 55) - 1, 1024},
      // No multiple of a sector.
      {0, 1},
      {0, 511},
      {0, 513},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.sector);
    uint32_t written = 99;
    EXPECT_EQ(Status(Header(block::kIn, row.sector), row.size + 1, &written),
              block::kIoError);
    EXPECT_EQ(written, 0u);
    EXPECT_EQ(Status(Write(row.sector, std::vector<std::byte>(row.size)), 1,
                     &written),
              block::kIoError);
    EXPECT_EQ(written, 1u);
  }
  EXPECT_THAT(disk_->submitted(), SizeIs(0));
  // The last sector is inside, and so is nothing at the very end.
  EXPECT_EQ(Status(Header(block::kIn, kSectors - 1), 513), block::kOk);
  EXPECT_EQ(Status(Header(block::kIn, kSectors), 1), block::kOk);
  EXPECT_EQ(Status(Write(kSectors, {})), block::kOk);
  EXPECT_THAT(disk_->submitted(), SizeIs(1));
}

TEST_P(VirtioBlockTest, RequestsAreWholeBlocks) {
  Make({.traits = {.block_size = 4096, .physical_block_size = 4096}});
  EXPECT_EQ(Config<uint32_t>(offsetof(block::Config, block_size)), 4096u);
  EXPECT_EQ(Status(Header(block::kIn, 8), 4097), block::kOk);
  EXPECT_EQ(Status(Header(block::kIn, 1), 4097), block::kIoError);
  EXPECT_EQ(Status(Header(block::kIn, 8), 513), block::kIoError);
}

TEST_P(VirtioBlockTest, AHeaderThatIsTooShortIsAnIoError) {
  Make();
  for (const size_t size : {1u, 15u}) {
    const std::vector<std::byte> header = Header(block::kIn);
    EXPECT_EQ(Status(std::span(header).first(size)), block::kIoError);
  }
  // Only a status.
  EXPECT_EQ(Status({}, 1), block::kIoError);
  EXPECT_FALSE(link_->failed());
}

// There is nowhere to say so.
TEST_P(VirtioBlockTest, ARequestWithoutAStatusNeedsAReset) {
  Make();
  EXPECT_FALSE(link_->Request(0, Header(block::kFlushRequest), 0).has_value());
  EXPECT_TRUE(link_->failed());
  EXPECT_THAT(disk_->submitted(), SizeIs(0));
  link_->Reset();
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(Status(Header(block::kFlushRequest)), block::kOk);
}

TEST_P(VirtioBlockTest, UnknownRequestsAreUnsupported) {
  Make();
  for (const uint32_t type : {2u, 3u, 5u, 9u, 10u, 12u, 14u, 0x80000000u}) {
    EXPECT_EQ(Status(Header(type)), block::kUnsupported) << type;
  }
}

TEST_P(VirtioBlockTest, WhatWasNotNegotiatedIsUnsupported) {
  Make({.features = 0});
  EXPECT_EQ(Status(Header(block::kFlushRequest)), block::kUnsupported);
  EXPECT_EQ(Status(Ranges(block::kDiscardRequest, {{.sectors = 1}})),
            block::kUnsupported);
  EXPECT_EQ(Status(Ranges(block::kWriteZeroesRequest, {{.sectors = 1}})),
            block::kUnsupported);
  EXPECT_THAT(disk_->submitted(), SizeIs(0));
}

TEST_P(VirtioBlockTest, TheIdIsTheSerialFilledWithZeroes) {
  Make({.device = {.serial = "disk-7"}});
  const auto reply = link_->Request(0, Header(block::kGetId), 21);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(StatusOf(*reply), block::kOk);
  EXPECT_EQ(reply->written, 21u);
  std::string id(20, '\0');
  std::memcpy(id.data(), reply->bytes.data(), id.size());
  EXPECT_EQ(id, std::string("disk-7") + std::string(14, '\0'));
  // A buffer that is too short has an error, a longer one is filled in front.
  EXPECT_EQ(Status(Header(block::kGetId), 20), block::kIoError);
  EXPECT_EQ(Status(Header(block::kGetId), 1), block::kIoError);
  uint32_t written = 0;
  EXPECT_EQ(Status(Header(block::kGetId), 100, &written), block::kOk);
  EXPECT_EQ(written, 20u);
}

TEST_P(VirtioBlockTest, AFlushGoesToTheBackEnd) {
  Make();
  EXPECT_EQ(Status(Header(block::kFlushRequest)), block::kOk);
  const auto submitted = disk_->submitted();
  ASSERT_THAT(submitted, SizeIs(1));
  EXPECT_EQ(submitted[0].operation, BlockOperation::kFlush);
}

// A status before the data is on disk would be a lie.
TEST_P(VirtioBlockTest, AFlushIsAnsweredWhenTheBackEndHasDoneIt) {
  Make({.immediate = false});
  const auto sent = link_->Send(0, Header(block::kFlushRequest), 1);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  disk_->Finish(0, BlockAnswer::kIoError);
  const auto reply = link_->Receive(sent);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(StatusOf(*reply), block::kIoError);
}

TEST_P(VirtioBlockTest, DiscardAndWriteZeroesAreOneRange) {
  Make();
  std::ranges::fill(disk_->bytes(), std::byte{0xff});
  EXPECT_EQ(
      Status(Ranges(block::kDiscardRequest, {{.sector = 3, .sectors = 2}})),
      block::kOk);
  EXPECT_EQ(Status(Ranges(block::kWriteZeroesRequest,
                          {{.sector = 7, .sectors = 1, .flags = 1}})),
            block::kOk);
  EXPECT_EQ(
      Status(Ranges(block::kWriteZeroesRequest, {{.sector = 9, .sectors = 1}})),
      block::kOk);
  const auto submitted = disk_->submitted();
  ASSERT_THAT(submitted, SizeIs(3));
  EXPECT_EQ(submitted[0].operation, BlockOperation::kDiscard);
  EXPECT_EQ(submitted[0].offset, 3 * 512u);
  EXPECT_EQ(submitted[0].size, 2 * 512u);
  EXPECT_EQ(submitted[1].operation, BlockOperation::kWriteZeroes);
  EXPECT_TRUE(submitted[1].unmap);
  EXPECT_EQ(submitted[2].operation, BlockOperation::kWriteZeroes);
  EXPECT_FALSE(submitted[2].unmap);
}

TEST_P(VirtioBlockTest, RangesThatCannotBeAreRefused) {
  Make();
  const uint32_t max_zeroes =
      Config<uint32_t>(offsetof(block::Config, max_write_zeroes_sectors));
  for (const uint32_t type :
       {block::kDiscardRequest, block::kWriteZeroesRequest}) {
    SCOPED_TRACE(type);
    // None, more than the configuration says, and a part of one.
    EXPECT_EQ(Status(Ranges(type, {})), block::kIoError);
    EXPECT_EQ(Status(Ranges(type, {{.sectors = 1}, {.sectors = 1}})),
              block::kIoError);
    std::vector<std::byte> odd = Ranges(type, {{.sectors = 1}});
    odd.pop_back();
    EXPECT_EQ(Status(odd), block::kIoError);
    // Outside the disk.
    EXPECT_EQ(Status(Ranges(type, {{.sector = kSectors, .sectors = 1}})),
              block::kIoError);
    EXPECT_EQ(Status(Ranges(type, {{.sector = ~uint64_t{0}, .sectors = 2}})),
              block::kIoError);
    EXPECT_EQ(Status(Ranges(type, {{.sectors = 0xffffffff}})), block::kIoError);
    EXPECT_EQ(Status(Ranges(type, {{.sectors = max_zeroes + 1}})),
              block::kIoError);
    // Flags that nobody knows.
    EXPECT_EQ(Status(Ranges(type, {{.sectors = 1, .flags = 2}})),
              block::kUnsupported);
  }
  EXPECT_EQ(Status(Ranges(block::kDiscardRequest,
                          {{.sectors = 1, .flags = block::kUnmap}})),
            block::kUnsupported);
  EXPECT_THAT(disk_->submitted(), SizeIs(0));
}

TEST_P(VirtioBlockTest, AReadOnlyDiskSaysSoAndIsNotWritten) {
  for (const bool by_backend : {false, true}) {
    Make({.traits = {.read_only = by_backend},
          .device = {.read_only = !by_backend}});
    EXPECT_NE(device_->traits().features & block::kReadOnly, 0u);
    EXPECT_EQ(
        device_->traits().features & (block::kDiscard | block::kWriteZeroes),
        0u);
    EXPECT_EQ(Status(Write(0, std::vector<std::byte>(512))), block::kIoError);
    EXPECT_EQ(Status(Header(block::kIn), 513), block::kOk);
    EXPECT_THAT(disk_->submitted(), SizeIs(1));
  }
}

TEST_P(VirtioBlockTest, AnswersOfTheBackEndAreStatuses) {
  Make({.immediate = false});
  const struct {
    BlockAnswer answer;
    uint8_t status;
    uint32_t written;
  } rows[] = {{BlockAnswer::kOk, block::kOk, 513},
              {BlockAnswer::kIoError, block::kIoError, 0},
              {BlockAnswer::kUnsupported, block::kUnsupported, 0}};
  for (const auto& row : rows) {
    const auto sent = link_->Send(0, Header(block::kIn), 513);
    disk_->Finish(0, row.answer);
    const auto reply = link_->Receive(sent);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(StatusOf(*reply), row.status);
    EXPECT_EQ(reply->written, row.written);
  }
}

// ---- The write cache --------------------------------------------------------

TEST_P(VirtioBlockTest, WithoutFlushesEveryWriteIsDurable) {
  Make({.features = 0});
  ASSERT_EQ(Status(Write(0, Pattern(512))), block::kOk);
  EXPECT_TRUE(disk_->submitted().at(0).durable);
}

TEST_P(VirtioBlockTest, TheDriverChoosesTheCacheMode) {
  Make();
  constexpr uint32_t kWriteback = offsetof(block::Config, writeback);
  EXPECT_EQ(Config<uint8_t>(kWriteback), 1);
  ASSERT_EQ(Status(Write(0, Pattern(512))), block::kOk);
  EXPECT_FALSE(disk_->submitted().back().durable);
  const std::array<std::byte, 1> off{std::byte{0}};
  device_->WriteConfig(kWriteback, off);
  EXPECT_EQ(Config<uint8_t>(kWriteback), 0);
  ASSERT_EQ(Status(Write(0, Pattern(512))), block::kOk);
  EXPECT_TRUE(disk_->submitted().back().durable);
  ASSERT_EQ(Status(Ranges(block::kWriteZeroesRequest, {{.sectors = 1}})),
            block::kOk);
  EXPECT_TRUE(disk_->submitted().back().durable);
  // As part of a wider write; and after a reset all is as at first.
  const std::array<std::byte, 4> on{std::byte{9}, std::byte{9}, std::byte{1},
                                    std::byte{9}};
  device_->WriteConfig(kWriteback - 2, on);
  EXPECT_EQ(Config<uint8_t>(kWriteback), 1);
  device_->WriteConfig(kWriteback, off);
  link_->Reset();
  EXPECT_EQ(Config<uint8_t>(kWriteback), 1);
}

TEST_P(VirtioBlockTest, TheCacheModeIsNotTheDriversUnlessNegotiated) {
  constexpr uint32_t kWriteback = offsetof(block::Config, writeback);
  const std::array<std::byte, 1> off{std::byte{0}};
  const std::array<std::byte, 1> on{std::byte{1}};
  Make({.features = block::kFlush});
  device_->WriteConfig(kWriteback, off);
  ASSERT_EQ(Status(Write(0, Pattern(512))), block::kOk);
  EXPECT_FALSE(disk_->submitted().back().durable);
  Make({.features = block::kConfigWriteback});
  EXPECT_EQ(Config<uint8_t>(kWriteback), 0);
  device_->WriteConfig(kWriteback, on);
  ASSERT_EQ(Status(Write(0, Pattern(512))), block::kOk);
  EXPECT_TRUE(disk_->submitted().back().durable);
}

TEST_P(VirtioBlockTest, ADiskWithoutACacheOffersNoFlushes) {
  Make({.traits = {.volatile_cache = false}});
  EXPECT_EQ(
      device_->traits().features & (block::kFlush | block::kConfigWriteback),
      0u);
}

// ---- Configuration ----------------------------------------------------------

TEST_P(VirtioBlockTest, TheConfigurationDescribesTheDisk) {
  Make({.traits = {.block_size = 1024,
                   .physical_block_size = 4096,
                   .optimal_size = 65536,
                   .discard = true,
                   .write_zeroes = true},
        .device = {.queues = 3, .queue_size = 64}});
  EXPECT_EQ(device_->traits().config_size, block::kConfigSize);
  EXPECT_EQ(device_->traits().lanes, 3);
  ASSERT_THAT(device_->traits().queues, SizeIs(3));
  EXPECT_EQ(device_->traits().queues[2].lane, 2);
  EXPECT_EQ(device_->traits().queues[2].max_size, 64);
  EXPECT_EQ(device_->traits().features, kAll & ~block::kReadOnly);
  block::Config config;
  device_->ReadConfig(
      0,
      std::as_writable_bytes(std::span(&config, 1)).first(block::kConfigSize));
  EXPECT_EQ(config.capacity, kSectors);
  EXPECT_EQ(config.segment_max, 62u);
  EXPECT_EQ(config.block_size, 1024u);
  EXPECT_EQ(config.physical_block_exponent, 2);
  EXPECT_EQ(config.min_io_size, 4);
  EXPECT_EQ(config.optimal_io_size, 64u);
  EXPECT_EQ(config.queues, 3);
  EXPECT_EQ(config.max_discard_segments, 1u);
  EXPECT_GT(config.max_discard_sectors, 0u);
  EXPECT_EQ(config.discard_sector_alignment, 2u);
  EXPECT_EQ(config.max_write_zeroes_segments, 1u);
  EXPECT_GT(config.max_write_zeroes_sectors, 0u);
  EXPECT_EQ(config.write_zeroes_may_unmap, 1);
}

// Odd sizes, and across fields.
TEST_P(VirtioBlockTest, AnyPartOfTheConfigurationCanBeRead) {
  Make();
  std::array<std::byte, block::kConfigSize> whole;
  device_->ReadConfig(0, whole);
  for (uint32_t offset = 0; offset < block::kConfigSize; ++offset) {
    for (size_t size = 0; size <= block::kConfigSize - offset; ++size) {
      std::vector<std::byte> part(size);
      device_->ReadConfig(offset, part);
      ASSERT_TRUE(
          std::ranges::equal(part, std::span(whole).subspan(offset, size)));
    }
  }
}

TEST_P(VirtioBlockTest, WritesToWhatIsNotTheDriversAreDropped) {
  Make();
  std::array<std::byte, block::kConfigSize> before;
  device_->ReadConfig(0, before);
  std::array<std::byte, block::kConfigSize> ones;
  ones.fill(std::byte{1});
  device_->WriteConfig(0, ones);
  device_->WriteConfig(0, std::span(ones).first(0));
  std::array<std::byte, block::kConfigSize> after;
  device_->ReadConfig(0, after);
  EXPECT_EQ(after, before);
}

TEST_P(VirtioBlockTest, ChainsUpToTheSegmentsThatItNamesAreServed) {
  Make({.link = {.queue_size = 256}});
  const uint32_t segments =
      Config<uint32_t>(offsetof(block::Config, segment_max));
  EXPECT_EQ(segments, 254u);
  const Gpa header = link_->Put(Header(block::kIn));
  std::vector<VirtqueueDriver::Buffer> buffers{{.gpa = header, .size = 16}};
  // A sector in two pieces, and one for the status.
  for (uint32_t i = 0; i < segments; ++i) {
    buffers.push_back(
        {.gpa = link_->Allocate(256), .size = 256, .writable = true});
  }
  const Gpa status = link_->Allocate(1);
  buffers.push_back({.gpa = status, .size = 1, .writable = true});
  ASSERT_TRUE(link_->driver(0).Add(buffers).has_value());
  link_->Kick(0);
  const auto used = link_->driver(0).Collect();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, segments * 256 + 1);
  EXPECT_EQ(link_->Bytes(status, 1)[0], std::byte{block::kOk});
}

TEST_P(VirtioBlockTest, AResizeIsToldToTheDriver) {
  Make();
  EXPECT_EQ(link_->config_changes(), 0u);
  disk_->set_capacity(kCapacity / 2 + 100);
  device_->Resized();
  EXPECT_EQ(link_->config_changes(), 1u);
  EXPECT_EQ(Config<uint64_t>(0), kSectors / 2);
  EXPECT_EQ(Status(Header(block::kIn, kSectors / 2), 513), block::kIoError);
  EXPECT_EQ(Status(Header(block::kIn, kSectors / 2 - 1), 513), block::kOk);
  // Without a driver there is nobody to tell.
  link_->Reset();
  disk_->set_capacity(kCapacity);
  device_->Resized();
  EXPECT_EQ(Config<uint64_t>(0), kSectors);
}

TEST_P(VirtioBlockTest, WithoutItsFirstQueueItDoesNotWork) {
  Make({.device = {.queues = 2}});
  link_ = std::make_unique<VirtioTestLink>(
      *device_, VirtioTestLink::Options{.packed = GetParam(), .disabled = {0}});
  EXPECT_FALSE(link_->Activate());
  link_ = std::make_unique<VirtioTestLink>(
      *device_, VirtioTestLink::Options{.packed = GetParam(), .disabled = {1}});
  EXPECT_TRUE(link_->Activate());
}

// ---- Completions ------------------------------------------------------------

TEST_P(VirtioBlockTest, CompletionsComeInAnyOrderFromAnyThread) {
  Make({.immediate = false});
  for (size_t i = 0; i < kCapacity; ++i) {
    disk_->bytes()[i] = static_cast<std::byte>(i / 512);
  }
  std::vector<VirtioTestLink::Sent> sent;
  for (uint64_t i = 0; i < 8; ++i) {
    sent.push_back(link_->Send(0, Header(block::kIn, i), 513));
  }
  EXPECT_EQ(disk_->held(), 8u);
  EXPECT_EQ(disk_->unstarted(), 0u);
  for (const size_t index : {7u, 0u, 3u}) {
    std::thread([&] { disk_->Finish(index); }).join();
  }
  const uint64_t done[] = {7, 0, 4};
  for (uint64_t i = 0; i < sent.size(); ++i) {
    const auto reply = link_->Receive(sent[i]);
    ASSERT_EQ(reply.has_value(), std::ranges::count(done, i) == 1) << i;
    if (!reply.has_value()) continue;
    EXPECT_EQ(StatusOf(*reply), block::kOk);
    EXPECT_THAT(std::span(reply->bytes).first(512),
                Each(static_cast<std::byte>(i)));
  }
  disk_->FinishAll();
  EXPECT_EQ(link_->driver(0).in_flight(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(link_->driver(0).Collect().has_value());
  }
}

// One interrupt for what finished together.
TEST_P(VirtioBlockTest, CompletionsToldTogetherArePublishedTogether) {
  Make({.immediate = false});
  for (uint64_t i = 0; i < 8; ++i) {
    (void)link_->Send(0, Header(block::kIn, i), 513);
  }
  const uint64_t before = link_->interrupts(0);
  const uint64_t serves = link_->serves(0);
  disk_->FinishAll();
  EXPECT_EQ(link_->interrupts(0) - before, 1u);
  EXPECT_EQ(link_->serves(0) - serves, 1u);
}

TEST_P(VirtioBlockTest, WhatWasReadIsMarkedDirtyBeforeItIsUsed) {
  Make({.immediate = false});
  GuestMemory& memory = link_->memory();
  memory.TrackAllDirty();
  const Gpa header = link_->Put(Header(block::kIn));
  const Gpa data = link_->Allocate(4 * 4096, 4096);
  const Gpa status = link_->Allocate(4096, 4096);
  ASSERT_TRUE(
      link_->driver(0)
          .Add({{.gpa = header, .size = 16},
                {.gpa = data + 4096, .size = 512, .writable = true},
                {.gpa = data + 3 * 4096 + 4000, .size = 512, .writable = true},
                {.gpa = status, .size = 1, .writable = true}})
          .has_value());
  link_->Kick(0);
  const PlacedRegion region = memory.Regions().at(0);
  const auto dirty = [&](Gpa gpa) {
    return region.dirty->Test((gpa - region.gpa) / 4096);
  };
  EXPECT_FALSE(dirty(data + 4096));
  EXPECT_FALSE(dirty(status));
  // A read that fails may have filled a part.
  disk_->Finish(0, BlockAnswer::kIoError);
  ASSERT_TRUE(link_->driver(0).Collect().has_value());
  EXPECT_FALSE(dirty(data));
  EXPECT_TRUE(dirty(data + 4096));
  EXPECT_FALSE(dirty(data + 2 * 4096));
  EXPECT_TRUE(dirty(data + 3 * 4096));
  EXPECT_TRUE(dirty(data + 4 * 4096));
}

// The disk still has the request when its memory is taken out of the map, and
// fills it afterwards.
TEST_P(VirtioBlockTest, RequestsInFlightKeepTheirMemory) {
  Make({.immediate = false});
  GuestMemory& memory = link_->memory();
  constexpr Gpa kExtra{uint64_t{1} << 32};
  MemoryRegion region = *MemoryRegion::Anonymous({.size = 1 << 16});
  const std::byte* const bytes = region.data();
  ASSERT_OK(memory.Add(kExtra, std::move(region)));
  const Gpa header = link_->Put(Header(block::kIn));
  const Gpa status = link_->Allocate(1);
  const auto add = [&](Gpa data) {
    return link_->driver(0).Add({{.gpa = header, .size = 16},
                                 {.gpa = data, .size = 512, .writable = true},
                                 {.gpa = status, .size = 1, .writable = true}});
  };
  ASSERT_TRUE(add(kExtra).has_value());
  link_->Kick(0);
  ASSERT_OK(memory.Remove(kExtra));
  // Another request, under the new map, while the first is in flight.
  ASSERT_TRUE(add(link_->Allocate(512)).has_value());
  link_->Kick(0);
  memory.Reclaim();
  disk_->bytes()[0] = std::byte{0x77};
  disk_->Finish(1);
  memory.Reclaim();
  disk_->Finish(0);
  EXPECT_EQ(bytes[0], std::byte{0x77});
  EXPECT_TRUE(link_->driver(0).Collect().has_value());
  EXPECT_TRUE(link_->driver(0).Collect().has_value());
}

TEST_P(VirtioBlockTest, ResetWaitsForWhatIsInFlight) {
  Make({.immediate = false});
  for (uint64_t i = 0; i < 4; ++i) {
    (void)link_->Send(0, Header(block::kIn, i), 513);
  }
  EXPECT_EQ(disk_->held(), 4u);
  EXPECT_EQ(disk_->drains(), 0);
  link_->Reset();
  EXPECT_EQ(disk_->drains(), 1);
  EXPECT_EQ(disk_->held(), 0u);
  // And all of its places are free again.
  ASSERT_TRUE(link_->Activate());
  disk_->set_immediate(true);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(Status(Header(block::kIn), 513), block::kOk);
  }
}

// A completion that never comes costs its request and nothing else; reset gets
// over it.
TEST_P(VirtioBlockTest, ALostCompletionHoldsUpNothingElse) {
  Make({.immediate = false});
  const auto lost = link_->Send(0, Header(block::kIn, 1), 513);
  disk_->set_immediate(true);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(Status(Header(block::kIn), 513), block::kOk);
  }
  EXPECT_FALSE(link_->Receive(lost).has_value());
  link_->Reset();
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(Status(Header(block::kIn), 513), block::kOk);
}

// ---- Back-pressure ----------------------------------------------------------

TEST_P(VirtioBlockTest, AFullBackEndLeavesRequestsInTheRing) {
  Make({.immediate = false});
  disk_->set_room(2);
  std::vector<VirtioTestLink::Sent> sent;
  for (uint64_t i = 0; i < 5; ++i) {
    sent.push_back(link_->Send(0, Header(block::kIn, i), 513));
  }
  EXPECT_EQ(disk_->held(), 2u);
  // Nobody spins meanwhile.
  const uint64_t serves = link_->serves(0);
  EXPECT_LE(serves, 6u);
  for (uint64_t i = 0; i < 5; ++i) {
    ASSERT_GE(disk_->held(), 1u);
    disk_->Finish(0);
    EXPECT_TRUE(link_->Receive(sent[i]).has_value());
  }
  EXPECT_LE(link_->serves(0) - serves, 15u);
  EXPECT_THAT(disk_->submitted(), SizeIs(5));
}

TEST_P(VirtioBlockTest, ALaneWithNothingInFlightIsToldOfRoom) {
  Make({.device = {.queues = 2}, .immediate = false});
  disk_->set_room(0);
  const auto sent = link_->Send(1, Header(block::kIn), 513);
  EXPECT_EQ(disk_->held(), 0u);
  disk_->set_room(1);
  ASSERT_EQ(disk_->held(), 1u);
  disk_->Finish(0);
  EXPECT_TRUE(link_->Receive(sent).has_value());
}

// A driver that makes one descriptor available over and over has more requests
// under way than the ring has places: each of them has a slot, or waits.
TEST(VirtioBlockHostileTest, NoMoreRequestsAreTakenThanTheRingHasPlaces) {
  HeldDisk disk({}, kCapacity);
  const auto device = *VirtioBlock::Create(disk, {.queue_size = 4});
  VirtioTestLink link(*device, {.queue_size = 4});
  ASSERT_TRUE(link.Activate());
  const Gpa header = link.Put(Header(block::kIn));
  const Gpa data = link.Allocate(513);
  VirtqueueDriver& driver = link.driver(0);
  const auto id = driver.Add({{.gpa = header, .size = 16},
                              {.gpa = data, .size = 513, .writable = true}});
  ASSERT_TRUE(id.has_value());
  link.Kick(0);
  for (int i = 0; i < 20; ++i) {
    driver.AddHead(*id);
    link.Kick(0);
  }
  EXPECT_LE(disk.held(), 4u);
  disk.FinishAll();
  EXPECT_LE(disk.held(), 4u);
}

// ---- Limits -----------------------------------------------------------------

TEST_P(VirtioBlockTest, RequestsAboveTheLimitWaitForTheirMoment) {
  Make({.device = {.limits = {.operations = {.rate = 10, .burst = 2}}}});
  ASSERT_EQ(Status(Header(block::kIn), 513), block::kOk);
  ASSERT_EQ(Status(Header(block::kIn), 513), block::kOk);
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
  const auto sent = link_->Send(0, Header(block::kIn), 513);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  EXPECT_EQ(link_->deadline(0), absl::Milliseconds(100));
  link_->Advance(absl::Milliseconds(99));
  EXPECT_FALSE(link_->Receive(sent).has_value());
  link_->Advance(absl::Milliseconds(1));
  EXPECT_TRUE(link_->Receive(sent).has_value());
  EXPECT_THAT(disk_->submitted(), SizeIs(3));
}

TEST_P(VirtioBlockTest, BytesAreLimited) {
  Make({.device = {.limits = {.bytes = {.rate = 5120, .burst = 1024}}}});
  ASSERT_EQ(Status(Write(0, Pattern(1024))), block::kOk);
  // Neither data nor a limit for it.
  ASSERT_EQ(Status(Header(block::kFlushRequest)), block::kOk);
  const auto sent = link_->Send(0, Header(block::kIn), 513);
  EXPECT_EQ(link_->deadline(0), absl::Milliseconds(100));
  link_->Advance(absl::Milliseconds(100));
  EXPECT_TRUE(link_->Receive(sent).has_value());
}

TEST_P(VirtioBlockTest, NewLimitsReachWhatWaits) {
  Make({.device = {.limits = {.operations = {.rate = 1, .burst = 1}}}});
  ASSERT_EQ(Status(Header(block::kIn), 513), block::kOk);
  const auto sent = link_->Send(0, Header(block::kIn), 513);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  ASSERT_OK(device_->SetLimits({}));
  EXPECT_TRUE(link_->Receive(sent).has_value());
  EXPECT_THAT(device_->SetLimits({.bytes = {.rate = ~uint64_t{0}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(VirtioBlockTest, WhatTheBackEndDidNotTakeIsNotCharged) {
  Make({.device = {.limits = {.operations = {.rate = 1, .burst = 2}}},
        .immediate = false});
  disk_->set_room(1);
  std::vector<VirtioTestLink::Sent> sent;
  for (int i = 0; i < 2; ++i) {
    sent.push_back(link_->Send(0, Header(block::kIn), 513));
  }
  for (int i = 0; i < 5; ++i) link_->Notify(0);
  disk_->Finish(0);
  ASSERT_EQ(disk_->held(), 1u);
  disk_->Finish(0);
  EXPECT_TRUE(link_->Receive(sent[1]).has_value());
}

// ---- Queues -----------------------------------------------------------------

TEST_P(VirtioBlockTest, QueuesWorkByThemselves) {
  Make({.device = {.queues = 3}, .immediate = false});
  std::vector<VirtioTestLink::Sent> sent;
  for (uint16_t queue = 0; queue < 3; ++queue) {
    sent.push_back(link_->Send(queue, Header(block::kIn, queue), 513));
  }
  ASSERT_EQ(disk_->held(), 3u);
  disk_->Finish(1);
  EXPECT_FALSE(link_->Receive(sent[0]).has_value());
  EXPECT_TRUE(link_->Receive(sent[1]).has_value());
  // Of several queues in one call.
  disk_->FinishAll();
  EXPECT_TRUE(link_->Receive(sent[0]).has_value());
  EXPECT_TRUE(link_->Receive(sent[2]).has_value());
}

TEST(VirtioBlockHotPathTest, ARequestTouchesNoHeap) {
  if (!testing::kHeapCallsCounted) GTEST_SKIP() << "under a sanitizer";
  const auto disk =
      *MemoryDisk::Create(*MemoryRegion::Anonymous({.size = kCapacity}), {});
  const auto device = *VirtioBlock::Create(*disk, {});
  VirtioTestLink link(*device);
  ASSERT_TRUE(link.Activate());
  const Gpa header = link.Put(Header(block::kIn));
  const Gpa data = link.Allocate(513);
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(link.driver(0)
                    .Add({{.gpa = header, .size = 16},
                          {.gpa = data, .size = 513, .writable = true}})
                    .has_value());
  }
  (void)link.driver(0).Publish();
  const uint64_t before = testing::ThreadHeapCalls();
  link.Notify(0);
  EXPECT_EQ(testing::ThreadHeapCalls() - before, 0u);
  EXPECT_TRUE(link.driver(0).Collect().has_value());
}

TEST(VirtioBlockCreateTest, WrongOptionsAreNamed) {
  HeldDisk disk({}, kCapacity);
  const struct {
    VirtioBlock::Options options;
    const char* words;
  } rows[] = {
      {{.queues = 0}, "Options::queues 0"},
      {{.queues = 65}, "Options::queues 65"},
      {{.queue_size = 2}, "Options::queue_size 2"},
      {{.queue_size = 100}, "Options::queue_size 100"},
      {{.queue_size = 2048}, "Options::queue_size 2048"},
      {{.serial = "123456789012345678901"}, "Options::serial"},
      {{.limits = {.bytes = {.rate = ~uint64_t{0}}}}, "Limits::bytes"},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(
        VirtioBlock::Create(disk, row.options).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.words)));
  }
  HeldDisk odd({.block_size = 100}, kCapacity);
  EXPECT_THAT(VirtioBlock::Create(odd, {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("back-end's block_size 100")));
}

}  // namespace
}  // namespace libvmm
