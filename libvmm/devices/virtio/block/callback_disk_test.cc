// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/callback_disk.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/block_requests.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BlockRequests;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(CallbackDiskTest, EachBufferIsACallWithItsOffset) {
  std::vector<std::pair<uint64_t, size_t>> calls;
  const auto disk = *CallbackDisk::Create(
      {.capacity = 1 << 20,
       .read = [&](uint64_t offset, std::span<std::byte> to) {
         calls.emplace_back(offset, to.size());
         for (size_t i = 0; i < to.size(); ++i) {
           to[i] = static_cast<std::byte>(offset + i);
         }
         return true;
       }});
  BlockRequests requests(*disk);
  std::array<std::byte, 1024> back;
  ASSERT_EQ(requests.Read(4096, back, {.pieces = {100, 500}}),
            BlockAnswer::kOk);
  EXPECT_THAT(calls,
              ElementsAre(Pair(4096, 100), Pair(4196, 500), Pair(4696, 424)));
  for (size_t i = 0; i < back.size(); ++i) {
    ASSERT_EQ(back[i], static_cast<std::byte>(i));
  }
}

TEST(CallbackDiskTest, AFunctionThatFailsIsAnIoErrorAndTheLastOneCalled) {
  std::vector<std::string> calls;
  bool write_ok = false;
  bool flush_ok = false;
  const auto disk =
      *CallbackDisk::Create({.capacity = 1 << 20,
                             .read =
                                 [&](uint64_t, std::span<std::byte>) {
                                   calls.push_back("read");
                                   return false;
                                 },
                             .write =
                                 [&](uint64_t, std::span<const std::byte>) {
                                   calls.push_back("write");
                                   return write_ok;
                                 },
                             .flush =
                                 [&] {
                                   calls.push_back("flush");
                                   return flush_ok;
                                 }});
  BlockRequests requests(*disk);
  std::array<std::byte, 1024> data{};
  EXPECT_EQ(requests.Read(0, data, {.pieces = {512}}), BlockAnswer::kIoError);
  EXPECT_EQ(requests.Write(0, data, {.durable = true, .pieces = {512}}),
            BlockAnswer::kIoError);
  EXPECT_THAT(calls, ElementsAre("read", "write"));
  write_ok = true;
  EXPECT_EQ(requests.Write(0, data, {.durable = true}), BlockAnswer::kIoError);
  EXPECT_EQ(requests.Write(0, data), BlockAnswer::kOk);
  EXPECT_EQ(requests.Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kIoError);
  flush_ok = true;
  EXPECT_EQ(requests.Write(0, data, {.durable = true}), BlockAnswer::kOk);
  EXPECT_EQ(requests.Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
}

TEST(CallbackDiskTest, TraitsFollowTheFunctions) {
  const auto read = [](uint64_t, std::span<std::byte>) { return true; };
  const auto write = [](uint64_t, std::span<const std::byte>) { return true; };
  const auto read_only = *CallbackDisk::Create({.capacity = 1, .read = read});
  EXPECT_TRUE(read_only->traits().read_only);
  EXPECT_FALSE(read_only->traits().volatile_cache);
  const auto cached = *CallbackDisk::Create(
      {.capacity = 1, .read = read, .write = write, .flush = [] {
         return true;
       }});
  EXPECT_FALSE(cached->traits().read_only);
  EXPECT_TRUE(cached->traits().volatile_cache);
}

TEST(CallbackDiskTest, WrongOptionsAreNamed) {
  EXPECT_THAT(CallbackDisk::Create({.capacity = 512}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("CallbackDisk::Options::read")));
  EXPECT_THAT(
      CallbackDisk::Create(
          {.block_size = 0,
           .read = [](uint64_t, std::span<std::byte>) { return true; }})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block_size 0")));
}

}  // namespace
}  // namespace libvmm
