// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/coalesced_ring.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A page as the kernel shares it, filled by the test.
class FakeRing {
 public:
  static constexpr uint32_t kCapacity =
      (4096 - sizeof(kvm_coalesced_mmio_ring)) / sizeof(kvm_coalesced_mmio);

  void SetIndices(uint32_t first, uint32_t last) {
    ring()->first = first;
    ring()->last = last;
  }
  uint32_t first() { return ring()->first; }
  void Put(uint32_t index, const kvm_coalesced_mmio& entry) {
    std::memcpy(page_ + sizeof(kvm_coalesced_mmio_ring) + index * sizeof(entry),
                &entry, sizeof(entry));
  }
  std::vector<CoalescedWrite> Drain() {
    std::vector<CoalescedWrite> writes;
    count_ = internal::DrainCoalescedRing(
        page_, [&](const CoalescedWrite& write) { writes.push_back(write); });
    return writes;
  }
  size_t count() const { return count_; }
  std::span<std::byte> page() { return page_; }

 private:
  kvm_coalesced_mmio_ring* ring() {
    return reinterpret_cast<kvm_coalesced_mmio_ring*>(page_);
  }
  alignas(8) std::byte page_[4096] = {};
  size_t count_ = 0;
};

kvm_coalesced_mmio Entry(uint64_t address, uint32_t size) {
  kvm_coalesced_mmio entry = {};
  entry.phys_addr = address;
  entry.len = size;
  for (int i = 0; i < 8; ++i) entry.data[i] = static_cast<__u8>(0x10 + i);
  return entry;
}

TEST(CoalescedRingTest, EmptyRingGivesNothing) {
  FakeRing ring;
  ring.SetIndices(7, 7);
  EXPECT_THAT(ring.Drain(), IsEmpty());
  EXPECT_EQ(ring.first(), 7u);
}

TEST(CoalescedRingTest, WritesComeInOrderAcrossTheEnd) {
  FakeRing ring;
  ring.SetIndices(FakeRing::kCapacity - 1, 1);
  ring.Put(FakeRing::kCapacity - 1, Entry(0x1000, 4));
  kvm_coalesced_mmio port = Entry(0x70, 1);
  port.pio = 1;
  ring.Put(0, port);
  const std::vector<CoalescedWrite> writes = ring.Drain();
  ASSERT_EQ(writes.size(), 2u);
  EXPECT_EQ(writes[0].space, IoSpace::kMmio);
  EXPECT_EQ(writes[0].address, 0x1000u);
  EXPECT_THAT(writes[0].bytes(), ElementsAre(std::byte{0x10}, std::byte{0x11},
                                             std::byte{0x12}, std::byte{0x13}));
  EXPECT_EQ(writes[1].space, IoSpace::kPio);
  EXPECT_EQ(writes[1].address, 0x70u);
  EXPECT_THAT(writes[1].bytes(), ElementsAre(std::byte{0x10}));
  EXPECT_EQ(ring.first(), 1u);
}

TEST(CoalescedRingTest, LengthIsCutToTheData) {
  FakeRing ring;
  ring.SetIndices(0, 1);
  ring.Put(0, Entry(0x1000, 0xffffffff));
  const std::vector<CoalescedWrite> writes = ring.Drain();
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].bytes().size(), 8u);
}

TEST(CoalescedRingTest, IndicesOutsideTheRingEndTheDrain) {
  FakeRing ring;
  for (const auto& [first, last] :
       {std::pair<uint32_t, uint32_t>{FakeRing::kCapacity, 0},
        {0xffffffff, 3},
        {0, FakeRing::kCapacity},
        {3, 0xffffffff}}) {
    ring.SetIndices(first, last);
    EXPECT_THAT(ring.Drain(), IsEmpty()) << first << " " << last;
    EXPECT_EQ(ring.first(), first);
  }
}

TEST(CoalescedRingTest, DrainInsideADrainTakesTheRest) {
  FakeRing ring;
  ring.SetIndices(0, 3);
  for (uint32_t i = 0; i < 3; ++i) ring.Put(i, Entry(0x1000 + i, 1));
  std::vector<uint64_t> addresses;
  const size_t count = internal::DrainCoalescedRing(
      ring.page(), [&](const CoalescedWrite& write) {
        addresses.push_back(write.address);
        for (const CoalescedWrite& inner : ring.Drain()) {
          addresses.push_back(inner.address);
        }
      });
  EXPECT_EQ(count, 1u);
  EXPECT_THAT(addresses, ElementsAre(0x1000, 0x1001, 0x1002));
  EXPECT_EQ(ring.first(), 3u);
}

// A producer that keeps the ring full does not keep the consumer for ever.
TEST(CoalescedRingTest, DrainEndsAfterOneRingFull) {
  alignas(8) std::byte page[4096] = {};
  auto* const ring = reinterpret_cast<kvm_coalesced_mmio_ring*>(page);
  ring->last = FakeRing::kCapacity - 1;
  size_t calls = 0;
  const size_t count =
      internal::DrainCoalescedRing(page, [&](const CoalescedWrite&) {
        ++calls;
        ring->last =
            (ring->first + FakeRing::kCapacity - 1) % FakeRing::kCapacity;
      });
  EXPECT_EQ(count, FakeRing::kCapacity);
  EXPECT_EQ(calls, count);
}

}  // namespace
}  // namespace libvmm
