// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/tables/placed_bytes.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::Eq;

constexpr Gpa kRam(0xe0000);
constexpr uint64_t kRamSize = 0x1000;

std::unique_ptr<GuestMemory> MakeMemory() {
  auto memory = GuestMemory::Create();
  auto region = MemoryRegion::Anonymous({.size = kRamSize});
  EXPECT_OK(region);
  std::fill(region->bytes().begin(), region->bytes().end(), std::byte{0xff});
  EXPECT_OK(memory->Add(kRam, *region));
  return memory;
}

TEST(PlacedBytesTest, WriteCopiesToThePlaceAndNothingElse) {
  const auto memory = MakeMemory();
  const PlacedBytes placed = {.gpa = kRam + 16,
                              .bytes = {std::byte{1}, std::byte{2}}};
  EXPECT_EQ(placed.range(), (GpaRange{kRam + 16, 2}));
  ASSERT_OK(placed.Write(*memory));
  EXPECT_EQ(memory->Load<uint32_t>(kRam + 16), 0xffff0201u);
  EXPECT_EQ(memory->Load<uint32_t>(kRam + 12), 0xffffffffu);
}

TEST(PlacedBytesTest, WriteIsAllOrNothing) {
  const auto memory = MakeMemory();
  const PlacedBytes placed = {.gpa = kRam + kRamSize - 1,
                              .bytes = {std::byte{1}, std::byte{2}}};
  EXPECT_THAT(placed.Write(*memory),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "firmware tables of 2 bytes at gpa 0xe0fff are not "
                       "wholly in writable guest memory"));
  std::vector<std::byte> bytes(kRamSize);
  ASSERT_TRUE(memory->Read(kRam, bytes));
  EXPECT_THAT(bytes, Each(Eq(std::byte{0xff})));
}

}  // namespace
}  // namespace libvmm
