// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/user_memory.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Eq;

constexpr uint64_t k4K = 4096;
constexpr UserAccess kRead{.readable = true};
constexpr UserAccess kReadWrite{.readable = true, .writable = true};
constexpr Gva kAt{uint64_t{1} << 30};

struct Guest {
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  std::unique_ptr<AddressSpace> space;
};

Guest MakeGuest() {
  Guest guest;
  auto region = MemoryRegion::Anonymous({.size = 128 * k4K});
  EXPECT_OK(region);
  EXPECT_OK(guest.memory->Add(Gpa(0), *region));
  auto space =
      AddressSpace::Create(*guest.memory, {.managed = {Gpa(0), 128 * k4K},
                                           .fault_around_pages = 1,
                                           .eager_size = 0});
  EXPECT_OK(space);
  guest.space = *std::move(space);
  return guest;
}

void MapAt(Guest& guest, Gva at, uint64_t pages, UserAccess access) {
  EXPECT_EQ(guest.space->Map({.at = at,
                              .size = pages * k4K,
                              .place = AddressSpace::Place::kFixed,
                              .access = access}),
            static_cast<int64_t>(at.value()));
}

TEST(UserMemoryTest, ReadsAndWritesAcrossPages) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 4, kReadWrite);
  // Frames in another order than pages.
  ASSERT_EQ(guest.space->Populate(kAt + 2 * k4K, AccessKind::kRead),
            PopulateResult::kDone);
  UserMemory user(*guest.space);
  std::vector<std::byte> from(3 * k4K);
  for (size_t i = 0; i < from.size(); ++i) {
    from[i] = static_cast<std::byte>(i * 7 >> 3);
  }
  ASSERT_TRUE(user.Write(kAt + 100, from));
  std::vector<std::byte> to(from.size());
  ASSERT_TRUE(user.Read(kAt + 100, to));
  EXPECT_EQ(to, from);
  ASSERT_TRUE(user.Fill({kAt + 4000, 200}, std::byte{9}));
  EXPECT_EQ(user.Load<uint32_t>(kAt + 4095), 0x09090909u);
  EXPECT_NE(user.Load<uint8_t>(kAt + 4200), 9);
  EXPECT_FALSE(user.ran_out());
}

TEST(UserMemoryTest, UserRightsHold) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 1, kReadWrite);
  MapAt(guest, kAt + k4K, 1, kRead);
  MapAt(guest, kAt + 2 * k4K, 1, {});
  UserMemory user(*guest.space);
  ASSERT_TRUE(user.Store<uint64_t>(kAt + k4K - 8, 0));
  // The bytes before the bad page are written.
  EXPECT_FALSE(user.Store<uint64_t>(kAt + k4K - 4, ~uint64_t{0}));
  EXPECT_EQ(user.Load<uint64_t>(kAt + k4K - 8), 0xffff'ffff'0000'0000);
  EXPECT_EQ(user.Load<uint64_t>(kAt + k4K), 0u);
  EXPECT_FALSE(user.Fill({kAt + k4K, 1}, std::byte{1}));
  EXPECT_FALSE(user.Load<uint8_t>(kAt + 2 * k4K).has_value());
  EXPECT_FALSE(user.Load<uint16_t>(kAt + 2 * k4K - 1).has_value());
  // A loader may do all that.
  const uint64_t text = 0x1122'3344'5566'7788;
  const auto bytes = std::as_bytes(std::span(&text, 1));
  EXPECT_TRUE(user.LoadWrite(kAt + k4K, bytes));
  EXPECT_TRUE(user.LoadWrite(kAt + 2 * k4K - 4, bytes));
  EXPECT_EQ(user.Load<uint64_t>(kAt + k4K), text);
  uint64_t back = 0;
  EXPECT_TRUE(user.LoadRead(kAt + 2 * k4K - 4,
                            std::as_writable_bytes(std::span(&back, 1))));
  EXPECT_EQ(back, text);
  EXPECT_FALSE(user.LoadWrite(kAt + 3 * k4K - 4, bytes));
  EXPECT_FALSE(user.Load<uint8_t>(kAt + 2 * k4K).has_value());
}

TEST(UserMemoryTest, AddressesMayBeAnything) {
  Guest guest = MakeGuest();
  const Gva last = AddressSpace::kUserEnd - k4K;
  MapAt(guest, last, 1, kReadWrite);
  UserMemory user(*guest.space);
  std::vector<std::byte> bytes(k4K + 1);
  for (const Gva gva : {Gva(0), Gva(8), AddressSpace::kUserStart - 1, last - 1,
                        last + 1, AddressSpace::kUserEnd,
                        Gva(uint64_t{1} << 47), Gva(0xffff'8000'0000'0000),
                        Gva(~uint64_t{0}), Gva(~uint64_t{0} - k4K)}) {
    EXPECT_FALSE(user.Read(gva, bytes)) << gva.value();
    EXPECT_FALSE(user.Write(gva, bytes)) << gva.value();
    EXPECT_FALSE(user.ForEachPiece({gva, k4K + 1}, AccessKind::kRead,
                                   [](GpaRange) { return true; }));
    EXPECT_FALSE(user.ForEachPiece({gva, ~uint64_t{0}}, AccessKind::kRead,
                                   [](GpaRange) { return true; }));
    EXPECT_FALSE(user.Fill({gva, ~uint64_t{0}}, std::byte{0}));
    EXPECT_TRUE(user.Read(gva, {}));
    EXPECT_TRUE(user.Fill({gva, 0}, std::byte{0}));
    if (gva != last + 1) {
      EXPECT_FALSE(user.ReadString(gva, 10).has_value());
      EXPECT_EQ(user.UsableBytes({gva, ~uint64_t{0}}, AccessKind::kRead), 0u);
    }
  }
  EXPECT_TRUE(user.Read(last, std::span(bytes).first(k4K)));
  EXPECT_EQ(user.UsableBytes({last + 1, ~uint64_t{0}}, AccessKind::kWrite),
            k4K - 1);
}

TEST(UserMemoryTest, StringsEndWithNulOrAreTooLong) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 2, kReadWrite);
  UserMemory user(*guest.space);
  const Gva start = kAt + k4K - 3;
  ASSERT_TRUE(user.Write(start, std::as_bytes(std::span("abcdef"))));
  const auto string = user.ReadString(start, 100);
  ASSERT_TRUE(string.has_value());
  EXPECT_EQ(string->text, "abcdef");
  EXPECT_FALSE(string->too_long);
  EXPECT_FALSE(user.ReadString(start, 7)->too_long);
  const auto cut = user.ReadString(start, 6);
  ASSERT_TRUE(cut.has_value());
  EXPECT_TRUE(cut->too_long);
  EXPECT_EQ(cut->text, "abcdef");
  EXPECT_TRUE(user.ReadString(start, 0)->too_long);
  // No end before the mapping ends.
  ASSERT_TRUE(user.Fill({start, k4K + 3}, std::byte{'x'}));
  EXPECT_FALSE(user.ReadString(start, 2 * k4K).has_value());
  EXPECT_TRUE(user.ReadString(start, k4K + 3)->too_long);
}

TEST(UserMemoryTest, PiecesAreAsLongAsTheyLieTogether) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 5, kReadWrite);
  // Pages 3 and 4, then 0 to 2, in frames one after another.
  for (const uint64_t page : {3, 4, 0, 1, 2}) {
    ASSERT_EQ(guest.space->Populate(kAt + page * k4K, AccessKind::kWrite),
              PopulateResult::kDone);
  }
  const Gpa first = guest.space->Translate(kAt + 3 * k4K)->gpa;
  UserMemory user(*guest.space);
  std::vector<GpaRange> pieces;
  EXPECT_TRUE(user.ForEachPiece({kAt + 10, 5 * k4K - 20}, AccessKind::kWrite,
                                [&](GpaRange piece) {
                                  pieces.push_back(piece);
                                  return true;
                                }));
  EXPECT_THAT(pieces, ElementsAre(GpaRange{first + 2 * k4K + 10, 3 * k4K - 10},
                                  GpaRange{first, 2 * k4K - 10}));
  // It stops when told to, also at the last one.
  for (const size_t stop : {1, 2}) {
    size_t calls = 0;
    EXPECT_FALSE(user.ForEachPiece({kAt, 5 * k4K}, AccessKind::kRead,
                                   [&](GpaRange) { return ++calls != stop; }));
    EXPECT_EQ(calls, stop);
  }
}

TEST(UserMemoryTest, PiecesAreCheckedBeforeTheFirstIsVisited) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 1, kReadWrite);
  MapAt(guest, kAt + k4K, 1, kRead);
  UserMemory user(*guest.space);
  int calls = 0;
  const auto count = [&](auto) { return ++calls != 0; };
  EXPECT_FALSE(user.ForEachPiece({kAt, k4K + 1}, AccessKind::kWrite, count));
  EXPECT_FALSE(user.ForEachWritableSpan({kAt, k4K + 1}, count));
  EXPECT_FALSE(user.ForEachReadableSpan({kAt, 2 * k4K + 1}, count));
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(user.ForEachReadableSpan({kAt, 2 * k4K}, count));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(user.UsableBytes({kAt + 5, 2 * k4K}, AccessKind::kWrite), k4K - 5);
  EXPECT_EQ(user.UsableBytes({kAt + 5, 100}, AccessKind::kWrite), 100u);
}

TEST(UserMemoryTest, WritableSpansAreMarkedDirty) {
  Guest guest = MakeGuest();
  MapAt(guest, kAt, 2, kReadWrite);
  UserMemory user(*guest.space);
  ASSERT_TRUE(user.Fill({kAt, 2 * k4K}, std::byte{1}));
  auto dirty = guest.memory->TrackDirty(Gpa(0));
  ASSERT_OK(dirty);
  const uint64_t page = guest.space->Translate(kAt)->gpa.value() / k4K;
  EXPECT_TRUE(user.ForEachReadableSpan(
      {kAt, 2 * k4K}, [](std::span<const std::byte> bytes) {
        EXPECT_THAT(bytes, Each(Eq(std::byte{1})));
        return true;
      }));
  EXPECT_FALSE((*dirty)->Test(page));
  EXPECT_TRUE(user.ForEachWritableSpan({kAt + k4K - 1, 1},
                                       [](std::span<std::byte> bytes) {
                                         EXPECT_EQ(bytes.size(), 1u);
                                         bytes[0] = std::byte{2};
                                         return true;
                                       }));
  EXPECT_TRUE((*dirty)->Test(page));
  EXPECT_FALSE((*dirty)->Test(page + 1));
  EXPECT_EQ(user.Load<uint8_t>(kAt + k4K - 1), 2);
}

}  // namespace
}  // namespace libvmm::sandbox
