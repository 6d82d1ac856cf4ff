// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/byte_ring.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

std::vector<std::byte> Numbered(size_t size, uint32_t start) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((start + i) % 251);
  }
  return bytes;
}

TEST(ByteRingTest, WithoutMemoryThereIsNoRoomAndNoByte) {
  ByteRing ring;
  EXPECT_EQ(ring.capacity(), 0u);
  EXPECT_EQ(ring.room(), 0u);
  EXPECT_TRUE(ring.Room().empty());
  EXPECT_TRUE(ring.Peek().empty());
  EXPECT_EQ(ring.Write(Numbered(3, 0)), 0u);
}

TEST(ByteRingTest, FullRingTakesNoMore) {
  ByteRing ring;
  ring.Make(16);
  EXPECT_EQ(ring.Write(Numbered(20, 0)), 16u);
  EXPECT_EQ(ring.size(), 16u);
  EXPECT_EQ(ring.room(), 0u);
  EXPECT_TRUE(ring.Room().empty());
  std::vector<std::byte> got(20);
  EXPECT_EQ(ring.Read(got), 16u);
  got.resize(16);
  EXPECT_EQ(got, Numbered(16, 0));
  EXPECT_EQ(ring.size(), 0u);
}

TEST(ByteRingTest, SpansEndWhereTheMemoryDoes) {
  ByteRing ring;
  ring.Make(16);
  EXPECT_EQ(ring.Write(Numbered(12, 0)), 12u);
  ring.Consume(10);
  EXPECT_EQ(ring.Room().size(), 4u);
  EXPECT_EQ(ring.room(), 14u);
  EXPECT_EQ(ring.Write(Numbered(14, 12)), 14u);
  EXPECT_EQ(ring.Peek().size(), 6u);
  std::vector<std::byte> got(16);
  EXPECT_EQ(ring.Read(got), 16u);
  EXPECT_EQ(got, Numbered(16, 10));
  EXPECT_EQ(ring.written_total(), 26u);
  EXPECT_EQ(ring.read_total(), 26u);
}

TEST(ByteRingTest, MadeAnewItIsEmpty) {
  ByteRing ring;
  ring.Make(16);
  EXPECT_EQ(ring.Write(Numbered(5, 0)), 5u);
  ring.Free();
  EXPECT_EQ(ring.size(), 0u);
  ring.Make(32);
  EXPECT_EQ(ring.room(), 32u);
  EXPECT_EQ(ring.written_total(), 0u);
}

TEST(ByteRingTest, TwoThreadsSeeEachByteOnceAndInOrder) {
  constexpr uint32_t kTotal = 1 << 20;
  ByteRing ring;
  ring.Make(64);
  std::thread writer([&ring] {
    for (uint32_t done = 0; done < kTotal;) {
      const size_t size = ring.Write(
          Numbered(std::min<uint32_t>(done % 40 + 1, kTotal - done), done));
      done += static_cast<uint32_t>(size);
      if (size == 0) std::this_thread::yield();
    }
  });
  uint32_t wrong = 0;
  for (uint32_t done = 0; done < kTotal;) {
    const std::span<const std::byte> bytes = ring.Peek();
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != static_cast<std::byte>((done + i) % 251)) ++wrong;
    }
    ring.Consume(bytes.size());
    done += static_cast<uint32_t>(bytes.size());
    if (bytes.empty()) std::this_thread::yield();
  }
  writer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(ring.size(), 0u);
}

}  // namespace
}  // namespace libvmm
