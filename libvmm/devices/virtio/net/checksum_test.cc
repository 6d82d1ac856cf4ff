// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/checksum.h"

#include <array>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/testing/net_frames.h"

namespace libvmm {
namespace {

using testing::Bytes;

// As RFC 1071 describes it, word by word in network order.
uint16_t Reference(std::span<const std::byte> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const auto high = std::to_integer<uint32_t>(bytes[i]) << 8;
    const uint32_t low =
        i + 1 < bytes.size() ? std::to_integer<uint32_t>(bytes[i + 1]) : 0;
    sum += high | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

uint16_t NetworkOrder(uint16_t in_memory) {
  std::array<uint8_t, 2> bytes;
  std::memcpy(bytes.data(), &in_memory, sizeof in_memory);
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

TEST(ChecksumTest, IsThatOfTheRfcForEveryLengthAndStart) {
  const Bytes frame = testing::MakeFrame(200, 7);
  for (uint16_t start = 0; start < 40; ++start) {
    for (size_t size = start + 2u; size < frame.size(); ++size) {
      const std::span<const std::byte> part(frame.data(), size);
      const uint16_t expected = Reference(part.subspan(start));
      ASSERT_EQ(NetworkOrder(FinishedChecksum({.csum_start = start}, part)),
                expected == 0 ? 0xffff : expected);
    }
  }
}

TEST(ChecksumTest, AnExampleOfTheRfc) {
  // Its section 3: the sum of these is ddf2.
  const std::array<uint8_t, 8> bytes{0x00, 0x01, 0xf2, 0x03,
                                     0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(NetworkOrder(FinishedChecksum({}, std::as_bytes(std::span(bytes)))),
            static_cast<uint16_t>(~0xddf2));
}

TEST(ChecksumTest, ZeroIsWrittenAsTheOtherZero) {
  const std::array<uint8_t, 2> bytes{0xff, 0xff};
  EXPECT_EQ(FinishedChecksum({}, std::as_bytes(std::span(bytes))), 0xffff);
}

TEST(ChecksumTest, TheFieldMustLieInTheFrame) {
  NetHeader header{
      .flags = NetHeader::kNeedsChecksum, .csum_start = 34, .csum_offset = 16};
  EXPECT_TRUE(ChecksumFits(header, 52));
  EXPECT_FALSE(ChecksumFits(header, 51));
  header.csum_start = header.csum_offset = 0xffff;
  EXPECT_FALSE(ChecksumFits(header, 65535));
  header.flags = 0;
  EXPECT_TRUE(ChecksumFits(header, 0));
}

}  // namespace
}  // namespace libvmm
