// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_reader.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {
namespace {

// The bytes 0 to 9 in pieces of 1, 4, 2 and 3.
class ChainReaderTest : public ::testing::Test {
 protected:
  ChainReaderTest() {
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i);
    }
    size_t at = 0;
    for (const size_t size : {1, 4, 2, 3}) {
      segments.push_back(
          {.data = bytes.data() + at, .size = size, .gpa = Gpa(at)});
      at += size;
    }
  }

  static std::vector<int> Values(std::span<const std::byte> some) {
    std::vector<int> values;
    for (const std::byte byte : some) values.push_back(static_cast<int>(byte));
    return values;
  }

  std::array<std::byte, 10> bytes;
  std::vector<ChainSegment> segments;
};

TEST_F(ChainReaderTest, ReadsAcrossPieces) {
  ChainReader reader(segments);
  EXPECT_EQ(reader.remaining(), 10u);
  std::array<std::byte, 6> to{};
  ASSERT_TRUE(reader.Read(to));
  EXPECT_EQ(Values(to), (std::vector{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(reader.remaining(), 4u);
}

TEST_F(ChainReaderTest, ReadIsAllOrNothing) {
  ChainReader reader(segments);
  EXPECT_EQ(reader.Skip(5), 5u);
  std::array<std::byte, 6> to{};
  EXPECT_FALSE(reader.Read(to));
  EXPECT_EQ(reader.remaining(), 5u);
  EXPECT_EQ(Values(to), std::vector<int>(6));
  EXPECT_TRUE(reader.Read(std::span(to).first(5)));
  EXPECT_EQ(Values(to), (std::vector{5, 6, 7, 8, 9, 0}));
  EXPECT_TRUE(reader.Read({}));
  EXPECT_FALSE(reader.Read(std::span(to).first(1)));
}

TEST_F(ChainReaderTest, ReadSomeEndsWhereTheChainDoes) {
  ChainReader reader(segments);
  EXPECT_EQ(reader.Skip(8), 8u);
  std::array<std::byte, 6> to{};
  EXPECT_EQ(reader.ReadSome(to), 2u);
  EXPECT_EQ(Values(to), (std::vector{8, 9, 0, 0, 0, 0}));
  EXPECT_EQ(reader.ReadSome(to), 0u);
}

TEST_F(ChainReaderTest, SkipEndsWhereTheChainDoes) {
  ChainReader reader(segments);
  EXPECT_EQ(reader.Skip(0), 0u);
  EXPECT_EQ(reader.Skip(~uint64_t{0}), 10u);
  EXPECT_EQ(reader.Skip(1), 0u);
  EXPECT_EQ(reader.remaining(), 0u);
}

TEST_F(ChainReaderTest, NextGivesThePiecesThatLieTogether) {
  ChainReader reader(segments);
  EXPECT_EQ(Values(reader.Next(100)), std::vector{0});
  EXPECT_EQ(Values(reader.Next(3)), (std::vector{1, 2, 3}));
  EXPECT_EQ(Values(reader.Next(3)), std::vector{4});
  EXPECT_EQ(reader.remaining(), 5u);
  EXPECT_TRUE(reader.Next(0).empty());
  EXPECT_EQ(Values(reader.Next(100)), (std::vector{5, 6}));
  EXPECT_EQ(Values(reader.Next(100)), (std::vector{7, 8, 9}));
  EXPECT_TRUE(reader.Next(100).empty());
}

TEST(ChainReaderEmptyTest, HasNothing) {
  ChainReader reader({});
  std::array<std::byte, 1> to{};
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.Read(to));
  EXPECT_EQ(reader.ReadSome(to), 0u);
  EXPECT_TRUE(reader.Next(1).empty());
}

}  // namespace
}  // namespace libvmm
