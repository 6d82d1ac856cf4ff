// SPDX-License-Identifier: Apache-2.0
// What every back-end does alike, as a table of back-ends.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/callback_disk.h"
#include "libvmm/devices/virtio/block/file_disk.h"
#include "libvmm/devices/virtio/block/memory_disk.h"
#include "libvmm/devices/virtio/block/uring_disk.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/block_requests.h"
#include "libvmm/testing/empty_file.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BlockRequests;

constexpr size_t kCapacity = 256 * 1024;

// A file of zeroes without a name.
UniqueFd EmptyFile() { return testing::EmptyFile(kCapacity); }

// A disk of zeroes, or why it cannot be here.
struct Made {
  std::unique_ptr<BlockBackend> backend = nullptr;
  EventSource* source = nullptr;
  // What else it needs.
  std::shared_ptr<std::vector<std::byte>> bytes = nullptr;
  std::string skip = {};
};

Made MakeMemory(bool read_only) {
  return {.backend =
              *MemoryDisk::Create(*MemoryRegion::Anonymous({.size = kCapacity}),
                                  {.read_only = read_only})};
}

Made MakeCallback(bool read_only) {
  auto bytes = std::make_shared<std::vector<std::byte>>(kCapacity);
  CallbackDisk::Options options{
      .capacity = kCapacity,
      .read =
          [bytes](uint64_t offset, std::span<std::byte> to) {
            std::memcpy(to.data(), bytes->data() + offset, to.size());
            return true;
          },
      .flush = [] { return true; }};
  if (!read_only) {
    options.write = [bytes](uint64_t offset, std::span<const std::byte> from) {
      std::memcpy(bytes->data() + offset, from.data(), from.size());
      return true;
    };
  }
  return {.backend = *CallbackDisk::Create(std::move(options)), .bytes = bytes};
}

template <DiskCache kCache>
Made MakeFile(bool read_only) {
  auto disk =
      FileDisk::Create(EmptyFile(), {.cache = kCache, .read_only = read_only});
  if (!disk.ok()) return {.skip = disk.status().ToString()};
  return {.backend = *std::move(disk)};
}

template <DiskCache kCache>
Made MakeUring(bool read_only) {
  auto disk = UringDisk::Create(
      EmptyFile(),
      {.file = {.cache = kCache, .read_only = read_only}, .entries = 8});
  if (!disk.ok()) return {.skip = disk.status().ToString()};
  UringDisk* const uring = disk->get();
  return {.backend = *std::move(disk), .source = uring};
}

struct Row {
  const char* name;
  Made (*make)(bool read_only);
};

constexpr Row kRows[] = {
    {"Memory", MakeMemory},
    {"Callback", MakeCallback},
    {"FileWriteback", MakeFile<DiskCache::kWriteback>},
    {"FileDirect", MakeFile<DiskCache::kNone>},
    {"FileUnsafe", MakeFile<DiskCache::kUnsafe>},
    {"UringWriteback", MakeUring<DiskCache::kWriteback>},
    {"UringDirect", MakeUring<DiskCache::kNone>},
    {"UringUnsafe", MakeUring<DiskCache::kUnsafe>},
};

class BlockBackendsTest : public ::testing::TestWithParam<Row> {
 protected:
  void Make(bool read_only = false) {
    made_ = GetParam().make(read_only);
    if (!made_.skip.empty()) GTEST_SKIP() << made_.skip;
    disk_ = made_.backend.get();
    block_ = disk_->traits().block_size;
    requests_ = std::make_unique<BlockRequests>(*disk_);
    if (EventSource* const source = made_.source; source != nullptr) {
      requests_->wait = [source] {
        pollfd fd{.fd = source->fd(), .events = source->events(), .revents = 0};
        ::poll(&fd, 1, -1);
        source->OnReady(fd.revents);
      };
    }
  }
  ~BlockBackendsTest() override {
    if (disk_ != nullptr) disk_->Drain();
  }

  std::vector<std::byte> Random(size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
    return bytes;
  }

  Made made_;
  BlockBackend* disk_ = nullptr;
  uint64_t block_ = 0;
  std::unique_ptr<BlockRequests> requests_;
  std::mt19937_64 random_{7};
};

#define MAKE_OR_SKIP(...) \
  Make(__VA_ARGS__);      \
  if (disk_ == nullptr) return

TEST_P(BlockBackendsTest, ReadsWhatWasWritten) {
  MAKE_OR_SKIP();
  EXPECT_EQ(disk_->capacity(), kCapacity);
  const std::vector<std::byte> data = Random(8 * block_);
  ASSERT_EQ(requests_->Write(block_, data), BlockAnswer::kOk);
  std::vector<std::byte> back(8 * block_);
  ASSERT_EQ(requests_->Read(block_, back), BlockAnswer::kOk);
  EXPECT_EQ(back, data);
}

TEST_P(BlockBackendsTest, BuffersMayHaveAnySizesAndPlaces) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Random(64 * 1024);
  ASSERT_EQ(
      requests_->Write(
          0, data, {.pieces = {1, 511, 3, 4096, 1, 1, 7777}, .misaligned = 1}),
      BlockAnswer::kOk);
  std::vector<std::byte> back(data.size());
  ASSERT_EQ(requests_->Read(0, back, {.pieces = {4095, 2}, .misaligned = 513}),
            BlockAnswer::kOk);
  EXPECT_EQ(back, data);
}

TEST_P(BlockBackendsTest, TheLastBlockIsThere) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Random(block_);
  ASSERT_EQ(requests_->Write(kCapacity - block_, data), BlockAnswer::kOk);
  std::vector<std::byte> back(block_);
  ASSERT_EQ(requests_->Read(kCapacity - block_, back), BlockAnswer::kOk);
  EXPECT_EQ(back, data);
}

TEST_P(BlockBackendsTest, AReadOnlyDiskIsNotWritten) {
  MAKE_OR_SKIP(/*read_only=*/true);
  EXPECT_TRUE(disk_->traits().read_only);
  EXPECT_FALSE(disk_->traits().discard);
  EXPECT_FALSE(disk_->traits().write_zeroes);
  EXPECT_EQ(requests_->Write(0, Random(block_)), BlockAnswer::kIoError);
  for (const BlockOperation operation :
       {BlockOperation::kDiscard, BlockOperation::kWriteZeroes}) {
    EXPECT_NE(requests_->Run({.operation = operation, .size = block_}),
              BlockAnswer::kOk);
  }
  std::vector<std::byte> back(block_, std::byte{1});
  EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
  EXPECT_EQ(back, std::vector<std::byte>(block_));
}

TEST_P(BlockBackendsTest, FlushesAndDurableWritesSucceed) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Random(4 * block_);
  EXPECT_EQ(requests_->Write(0, data, {.durable = true}), BlockAnswer::kOk);
  EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
}

TEST_P(BlockBackendsTest, WriteZeroesReadsBackAsZeroes) {
  MAKE_OR_SKIP();
  if (!disk_->traits().write_zeroes) {
    EXPECT_EQ(requests_->Run(
                  {.operation = BlockOperation::kWriteZeroes, .size = block_}),
              BlockAnswer::kUnsupported);
    return;
  }
  for (const bool unmap : {false, true}) {
    for (const bool durable : {false, true}) {
      std::vector<std::byte> data = Random(4 * block_);
      ASSERT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
      EXPECT_EQ(requests_->Run({.operation = BlockOperation::kWriteZeroes,
                                .offset = block_,
                                .size = 2 * block_,
                                .durable = durable,
                                .unmap = unmap}),
                BlockAnswer::kOk);
      std::vector<std::byte> back(4 * block_);
      ASSERT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
      std::fill_n(data.begin() + static_cast<ptrdiff_t>(block_), 2 * block_,
                  std::byte{0});
      EXPECT_EQ(back, data);
    }
  }
}

TEST_P(BlockBackendsTest, DiscardLeavesTheRestAlone) {
  MAKE_OR_SKIP();
  if (!disk_->traits().discard) {
    EXPECT_EQ(
        requests_->Run({.operation = BlockOperation::kDiscard, .size = block_}),
        BlockAnswer::kUnsupported);
    return;
  }
  const std::vector<std::byte> data = Random(3 * block_);
  ASSERT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
  ASSERT_EQ(requests_->Run({.operation = BlockOperation::kDiscard,
                            .offset = block_,
                            .size = block_}),
            BlockAnswer::kOk);
  std::vector<std::byte> back(3 * block_);
  ASSERT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
  EXPECT_TRUE(std::equal(data.begin(),
                         data.begin() + static_cast<ptrdiff_t>(block_),
                         back.begin()));
  EXPECT_TRUE(std::equal(data.end() - static_cast<ptrdiff_t>(block_),
                         data.end(),
                         back.end() - static_cast<ptrdiff_t>(block_)));
  EXPECT_EQ(disk_->capacity(), kCapacity);
}

TEST_P(BlockBackendsTest, RandomRequestsAgreeWithAnArrayOfBytes) {
  MAKE_OR_SKIP();
  std::vector<std::byte> model(kCapacity);
  const uint64_t blocks = kCapacity / block_;
  for (int step = 0; step < 400; ++step) {
    const uint64_t first = random_() % blocks;
    const uint64_t count =
        random_() % std::min<uint64_t>(16, blocks - first) + 1;
    const uint64_t offset = first * block_;
    const uint64_t size = count * block_;
    const auto at = model.begin() + static_cast<ptrdiff_t>(offset);
    BlockRequests::Args more;
    while (random_() % 4 != 0) more.pieces.push_back(random_() % 5000 + 1);
    more.misaligned = random_() % 2 * (random_() % 64);
    switch (random_() % 4) {
      case 0:
      case 1: {
        const std::vector<std::byte> data = Random(size);
        ASSERT_EQ(requests_->Write(offset, data, more), BlockAnswer::kOk);
        std::ranges::copy(data, at);
        break;
      }
      case 2: {
        std::vector<std::byte> back(size);
        ASSERT_EQ(requests_->Read(offset, back, more), BlockAnswer::kOk);
        ASSERT_TRUE(std::ranges::equal(back, std::span(at, size))) << step;
        break;
      }
      case 3:
        if (!disk_->traits().write_zeroes) break;
        ASSERT_EQ(requests_->Run({.operation = BlockOperation::kWriteZeroes,
                                  .offset = offset,
                                  .size = size,
                                  .unmap = random_() % 2 == 0}),
                  BlockAnswer::kOk);
        std::fill_n(at, size, std::byte{0});
        break;
    }
  }
  std::vector<std::byte> back(kCapacity);
  ASSERT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
  EXPECT_EQ(back, model);
}

// Many at once, and Drain in the middle: each is answered once, and after it
// nothing is.
TEST_P(BlockBackendsTest, DrainFinishesAllThatWasTaken) {
  MAKE_OR_SKIP();
  std::vector<const BlockRequests::Entry*> taken;
  const std::vector<std::byte> data = Random(4 * block_);
  for (uint64_t i = 0; i < 20; ++i) {
    taken.push_back(&requests_->Submit({.operation = BlockOperation::kWrite,
                                        .offset = i * data.size() % kCapacity,
                                        .size = data.size()},
                                       data));
    if (i % 5 == 0) disk_->Start();
  }
  disk_->Drain();
  for (const BlockRequests::Entry* entry : taken) {
    EXPECT_NE(requests_->Answer(*entry), BlockAnswer::kPending);
    EXPECT_EQ(requests_->Finished(*entry), 1u);
  }
  // And it goes on working.
  EXPECT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
}

INSTANTIATE_TEST_SUITE_P(All, BlockBackendsTest, ::testing::ValuesIn(kRows),
                         [](const ::testing::TestParamInfo<Row>& row) {
                           return row.param.name;
                         });

}  // namespace
}  // namespace libvmm
