// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/flat_image.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::Eq;

constexpr uint64_t kPage = 4096;

// Two pages of RAM at 0x1000, one of ROM behind them, all 0x55.
std::unique_ptr<GuestMemory> Memory() {
  auto ram = MemoryRegion::Anonymous({.size = 2 * kPage});
  auto rom = MemoryRegion::Anonymous({.size = kPage});
  EXPECT_OK(ram);
  EXPECT_OK(rom);
  std::fill(ram->bytes().begin(), ram->bytes().end(), std::byte{0x55});
  std::fill(rom->bytes().begin(), rom->bytes().end(), std::byte{0x55});
  auto memory = GuestMemory::Create();
  EXPECT_OK(memory->Add(Gpa(kPage), *ram));
  EXPECT_OK(memory->Add(Gpa(3 * kPage), rom->AsReadOnly()));
  return memory;
}

std::vector<std::byte> All(const GuestMemory& memory) {
  std::vector<std::byte> bytes(3 * kPage);
  EXPECT_TRUE(memory.Read(Gpa(kPage), bytes));
  return bytes;
}

std::vector<std::byte> Image(size_t size) {
  return std::vector<std::byte>(size, std::byte{0xaa});
}

TEST(FlatImageTest, FillsExactlyItsRange) {
  const auto memory = Memory();
  ASSERT_OK_AND_ASSIGN(const GpaRange range,
                       LoadFlatImage(Image(100), Gpa(kPage + 7), *memory));
  EXPECT_EQ(range, (GpaRange{Gpa(kPage + 7), 100}));
  const std::vector<std::byte> bytes = All(*memory);
  EXPECT_EQ(bytes[6], std::byte{0x55});
  EXPECT_THAT(std::span(bytes).subspan(7, 100), Each(Eq(std::byte{0xaa})));
  EXPECT_EQ(bytes[107], std::byte{0x55});
}

TEST(FlatImageTest, MayEndWithTheMemory) {
  const auto memory = Memory();
  EXPECT_OK(LoadFlatImage(Image(2 * kPage), Gpa(kPage), *memory));
}

struct Refused {
  const char* name;
  size_t size;
  Gpa gpa;
  absl::StatusCode code;
  const char* message;
};

constexpr Refused kRefused[] = {
    {"empty", 0, Gpa(kPage), absl::StatusCode::kInvalidArgument,
     "flat image is empty"},
    {"wraps", 2, Gpa(std::numeric_limits<uint64_t>::max()),
     absl::StatusCode::kInvalidArgument,
     "flat image of 2 bytes at gpa 0xffffffffffffffff passes the end of the "
     "address space"},
    {"absent", 1, Gpa(0), absl::StatusCode::kOutOfRange,
     "flat image of 1 bytes at gpa 0x0 is not wholly in writable guest memory"},
    {"starts before", 2, Gpa(kPage - 1), absl::StatusCode::kOutOfRange,
     "flat image of 2 bytes at gpa 0xfff is not wholly in writable guest "
     "memory"},
    {"ends behind", 3 * kPage, Gpa(2 * kPage), absl::StatusCode::kOutOfRange,
     "flat image of 12288 bytes at gpa 0x2000 is not wholly in writable guest "
     "memory"},
    {"read-only", kPage + 1, Gpa(2 * kPage), absl::StatusCode::kOutOfRange,
     "flat image of 4097 bytes at gpa 0x2000 is not wholly in writable guest "
     "memory"},
    {"last byte of the space", 1, Gpa(std::numeric_limits<uint64_t>::max()),
     absl::StatusCode::kOutOfRange,
     "flat image of 1 bytes at gpa 0xffffffffffffffff is not wholly in "
     "writable guest memory"},
};

TEST(FlatImageTest, RefusalWritesNothing) {
  for (const Refused& refused : kRefused) {
    SCOPED_TRACE(refused.name);
    const auto memory = Memory();
    EXPECT_THAT(LoadFlatImage(Image(refused.size), refused.gpa, *memory),
                StatusIs(refused.code, refused.message));
    EXPECT_THAT(All(*memory), Each(Eq(std::byte{0x55})));
  }
}

}  // namespace
}  // namespace libvmm
