// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/address_space.h"

#include <cerrno>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t k4K = 4096;
constexpr uint64_t k2M = uint64_t{2} << 20;
constexpr UserAccess kRead{.readable = true};
constexpr UserAccess kReadWrite{.readable = true, .writable = true};
constexpr UserAccess kReadExecute{.readable = true, .executable = true};
constexpr UserAccess kNone{};
constexpr Gva kAt{uint64_t{1} << 30};

// Lazy, without fault-around, unless a test wants it otherwise.
AddressSpace::Options Plain() {
  return {.managed = {Gpa(0x4000), 256 * k4K},
          .fault_around_pages = 1,
          .eager_size = 0};
}

struct Guest {
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  std::unique_ptr<AddressSpace> space;

  uint64_t Entry(Gpa gpa) const { return *memory->Load<uint64_t>(gpa); }
  // Where the entry of the given level is; 1 is the last.
  Gpa EntryOf(Gva gva, int level) const {
    Gpa table = space->root();
    for (int at = 4;; --at) {
      const Gpa entry = table + (gva.value() >> (12 + 9 * (at - 1)) & 511) * 8;
      if (at == level) return entry;
      table = Gpa(Entry(entry) & 0x000f'ffff'ffff'f000);
    }
  }
  void TakeAllStale() {
    std::vector<StaleRange> buffer(100);
    while (space->TakeStale(buffer) != 0) {
    }
  }
};

Guest MakeGuest(const AddressSpace::Options& options) {
  Guest guest;
  auto region = MemoryRegion::Anonymous({.size = 512 * k4K});
  EXPECT_OK(region);
  EXPECT_OK(guest.memory->Add(Gpa(0), *region));
  auto space = AddressSpace::Create(*guest.memory, options);
  EXPECT_OK(space);
  guest.space = *std::move(space);
  return guest;
}

int64_t MapAt(Guest& guest, Gva at, uint64_t size, UserAccess access) {
  return guest.space->Map({.at = at,
                           .size = size,
                           .place = AddressSpace::Place::kFixed,
                           .access = access});
}

int64_t Value(Gva gva) { return static_cast<int64_t>(gva.value()); }

TEST(AddressSpaceTest, ImpossibleOptionsAreRefused) {
  struct Row {
    const char* message;
    AddressSpace::Options options;
  };
  std::vector<Row> rows;
  const auto add = [&](const char* message, auto change) {
    AddressSpace::Options options = Plain();
    change(options);
    rows.push_back({message, options});
  };
  using O = AddressSpace::Options;
  add("managed.start 0x4800 is not",
      [](O& o) { o.managed.start = Gpa(0x4800); });
  add("managed.size 0x0 is not", [](O& o) { o.managed.size = 0; });
  add("managed.size 0x1001 is not", [](O& o) { o.managed.size = 0x1001; });
  add("below 2^44", [](O& o) { o.managed.size = uint64_t{1} << 44; });
  add("max_areas 0x0", [](O& o) { o.max_areas = 0; });
  add("fault_around_pages 0x3", [](O& o) { o.fault_around_pages = 3; });
  add("fault_around_pages 0x0", [](O& o) { o.fault_around_pages = 0; });
  add("fault_around_pages 0x400", [](O& o) { o.fault_around_pages = 1024; });
  add("guard_gap 0x1", [](O& o) { o.guard_gap = 1; });
  add("guard_gap", [](O& o) { o.guard_gap = uint64_t{1} << 60; });
  add("stack_limit 0x1", [](O& o) { o.stack_limit = 1; });
  add("stack_limit", [](O& o) { o.stack_limit = uint64_t{1} << 60; });
  add("supervisor gva 0x0 is below", [](O& o) {
    o.supervisor = {{.gva = Gva(0), .gpa = Gpa(0), .size = k4K, .access = {}}};
  });
  Guest guest = MakeGuest(Plain());
  for (const Row& row : rows) {
    EXPECT_THAT(
        AddressSpace::Create(*guest.memory, row.options),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
  }
  AddressSpace::Options outside = Plain();
  outside.managed.size = 509 * k4K;
  EXPECT_THAT(AddressSpace::Create(*guest.memory, outside),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("0x1fd000")));
}

TEST(AddressSpaceTest, MapsTheSupervisorsPages) {
  AddressSpace::Options options = Plain();
  const Gva direct(0xffff'8000'0000'0000);
  options.supervisor = {
      {direct, Gpa(0), k2M, {.writable = true}},
      {AddressSpace::kUserEnd, Gpa(0x1000), k4K, {.executable = true}}};
  Guest guest = MakeGuest(options);
  EXPECT_EQ(guest.space->root(), Gpa(0x4000));
  EXPECT_EQ(guest.Entry(guest.EntryOf(direct, 2)), 0x8000'0000'0000'00e3);
  EXPECT_EQ(guest.Entry(guest.EntryOf(AddressSpace::kUserEnd, 1)), 0x1021u);
  // The root, two tables for one and three for the other.
  EXPECT_EQ(guest.space->used_frames(), 6u);
  EXPECT_EQ(guest.space->available_frames(), 250u);
  for (uint64_t i = 0; i < 6; ++i) {
    EXPECT_TRUE(guest.space->IsTable(Gpa(0x4000 + i * k4K)));
  }
  EXPECT_FALSE(guest.space->IsTable(Gpa(0xa000)));
  EXPECT_FALSE(guest.space->Translate(direct).has_value());
  EXPECT_FALSE(guest.space->Translate(AddressSpace::kUserEnd).has_value());
  // User code can neither get there nor change them.
  EXPECT_EQ(guest.space->Populate(direct, AccessKind::kRead),
            PopulateResult::kNotMapped);
  EXPECT_EQ(guest.space->Unmap({AddressSpace::kUserEnd, k4K}), -EINVAL);

  options.supervisor.push_back({direct + k4K, Gpa(0), k4K, {}});
  EXPECT_THAT(AddressSpace::Create(*guest.memory, options),
              StatusIs(absl::StatusCode::kAlreadyExists));
  options = Plain();
  options.managed.size = 3 * k4K;
  options.supervisor = {{direct, Gpa(0x1000), k4K, {}}};
  EXPECT_THAT(AddressSpace::Create(*guest.memory, options),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(AddressSpaceTest, EveryAccessBecomesItsBits) {
  struct Row {
    UserAccess access;
    uint64_t bits;
  };
  // P 1, R/W 2, U/S 4, A 20h, D 40h, XD 2^63.
  for (const Row& row :
       {Row{kRead, 0x8000'0000'0000'0025},
        Row{kReadWrite, 0x8000'0000'0000'0067},
        Row{{.writable = true}, 0x8000'0000'0000'0067}, Row{kReadExecute, 0x25},
        Row{{.executable = true}, 0x25}}) {
    Guest guest = MakeGuest(Plain());
    ASSERT_EQ(MapAt(guest, kAt, k4K, row.access), Value(kAt));
    ASSERT_EQ(guest.space->Populate(kAt, AccessKind::kRead),
              PopulateResult::kDone);
    const auto page = guest.space->Translate(kAt + 5);
    ASSERT_TRUE(page.has_value());
    EXPECT_EQ(guest.Entry(guest.EntryOf(kAt, 1)),
              row.bits | (page->gpa.value() - 5));
    EXPECT_EQ(guest.Entry(guest.EntryOf(kAt, 2)) & 0xfff, 0x27u);
    // Nothing was there before.
    EXPECT_TRUE(guest.space->stale().empty());
  }
}

TEST(AddressSpaceTest, PagesOfProtNoneKeepTheirBytesOutOfReach) {
  Guest guest = MakeGuest(Plain());
  ASSERT_EQ(MapAt(guest, kAt, k4K, kReadWrite), Value(kAt));
  UserMemory user(*guest.space);
  ASSERT_TRUE(user.Store<uint64_t>(kAt, 0x1234));
  const Gpa frame = guest.space->Translate(kAt)->gpa;
  ASSERT_EQ(guest.space->Protect({kAt, k4K}, kNone), 0);
  EXPECT_EQ(guest.Entry(guest.EntryOf(kAt, 1)),
            ~frame.value() & 0x000f'ffff'ffff'f000);
  EXPECT_FALSE(user.Load<uint64_t>(kAt).has_value());
  EXPECT_EQ(guest.space->Populate(kAt, AccessKind::kRead),
            PopulateResult::kDenied);
  EXPECT_EQ(guest.space->Translate(kAt)->access, kNone);
  guest.TakeAllStale();
  ASSERT_EQ(guest.space->Protect({kAt, k4K}, kRead), 0);
  EXPECT_EQ(user.Load<uint64_t>(kAt), 0x1234u);
  EXPECT_TRUE(guest.space->stale().empty());
}

TEST(AddressSpaceTest, WhatWasPresentAndChangesIsStale) {
  Guest guest = MakeGuest(Plain());
  ASSERT_EQ(MapAt(guest, kAt, 4 * k4K, kReadWrite), Value(kAt));
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(guest.space->Populate(kAt + i * k4K, AccessKind::kRead),
              PopulateResult::kDone);
  }
  const Gpa first = guest.EntryOf(kAt, 1);
  const Gpa above[] = {guest.EntryOf(kAt, 2), guest.EntryOf(kAt, 3),
                       guest.EntryOf(kAt, 4)};
  EXPECT_TRUE(guest.space->stale().empty());
  ASSERT_EQ(guest.space->Protect({kAt, 4 * k4K}, kReadWrite), 0);
  EXPECT_TRUE(guest.space->stale().empty()) << "nothing changed";
  ASSERT_EQ(guest.space->Protect({kAt + k4K, 3 * k4K}, kRead), 0);
  EXPECT_THAT(guest.space->stale().ranges(),
              ElementsAre(StaleRange{first + 8, 2}));
  guest.TakeAllStale();
  ASSERT_EQ(guest.space->Unmap({kAt, 4 * k4K}), 0);
  // The pages, then the three tables that led to nothing else.
  EXPECT_THAT(guest.space->stale().ranges(),
              ElementsAre(StaleRange{first, 3}, StaleRange{above[0], 1},
                          StaleRange{above[1], 1}, StaleRange{above[2], 1}));
  EXPECT_EQ(guest.space->used_frames(), 1u);
}

TEST(AddressSpaceTest, FreedFramesWaitForTheStaleList) {
  Guest guest = MakeGuest(Plain());
  ASSERT_EQ(MapAt(guest, kAt, k4K, kReadWrite), Value(kAt));
  ASSERT_EQ(guest.space->Populate(kAt, AccessKind::kWrite),
            PopulateResult::kDone);
  const uint64_t available = guest.space->available_frames();
  const Gpa frame = guest.space->Translate(kAt)->gpa;
  ASSERT_EQ(guest.space->Unmap({kAt, k4K}), 0);
  ASSERT_GE(guest.space->stale().size(), 2u);
  EXPECT_EQ(guest.space->available_frames(), available);
  ASSERT_EQ(MapAt(guest, kAt, k4K, kReadWrite), Value(kAt));
  ASSERT_EQ(guest.space->Populate(kAt, AccessKind::kWrite),
            PopulateResult::kDone);
  EXPECT_NE(guest.space->Translate(kAt)->gpa, frame);
  StaleRange one[1];
  ASSERT_EQ(guest.space->TakeStale(one), 1u);
  EXPECT_EQ(guest.space->available_frames(), available - 4);
  guest.TakeAllStale();
  EXPECT_EQ(guest.space->available_frames(), available);
}

TEST(AddressSpaceTest, AHugeLazyAreaCostsNothing) {
  Guest guest = MakeGuest(Plain());
  constexpr uint64_t kHuge = uint64_t{1} << 46;
  const int64_t at = guest.space->Map({.size = kHuge, .access = kReadWrite});
  ASSERT_GT(at, 0);
  const Gva start(static_cast<uint64_t>(at));
  EXPECT_EQ(guest.space->used_frames(), 1u);
  EXPECT_THAT(guest.space->areas(),
              ElementsAre(Area{start, start + kHuge, kReadWrite, false}));
  // Three pages far from each other.
  for (const uint64_t offset : {uint64_t{0}, kHuge / 2, kHuge - 1}) {
    ASSERT_EQ(guest.space->Populate(start + offset, AccessKind::kWrite),
              PopulateResult::kDone);
  }
  EXPECT_EQ(guest.space->used_frames(), 1u + 3 * 4);
  EXPECT_EQ(guest.space->Protect({start, kHuge}, kRead), 0);
  EXPECT_EQ(guest.space->Discard({start, kHuge}), 0);
  EXPECT_EQ(guest.space->Populate(start + kHuge / 2, AccessKind::kRead),
            PopulateResult::kDone);
  // Half the addresses again have no room beside it.
  EXPECT_EQ(guest.space->Map({.size = kHuge, .access = kRead}), -ENOMEM);
  const int64_t moved = guest.space->Remap(
      {.from = {start, kHuge}, .new_size = kHuge + k4K, .may_move = true});
  EXPECT_EQ(moved, -ENOMEM);
  ASSERT_EQ(guest.space->Unmap({AddressSpace::kUserStart, kHuge * 3 / 2}), 0);
  ASSERT_EQ(guest.space->Unmap({start, kHuge}), 0);
  EXPECT_EQ(guest.space->used_frames(), 1u);
  EXPECT_THAT(guest.space->areas(), IsEmpty());
}

TEST(AddressSpaceTest, AddressesAreGivenFromTheTopDown) {
  AddressSpace::Options options = Plain();
  Guest guest = MakeGuest(options);
  const Gva top = AddressSpace::kUserEnd;
  // A stack, which keeps room to grow and a gap.
  const uint64_t stack = 4 * k4K;
  EXPECT_EQ(guest.space->Map(
                {.size = stack, .access = kReadWrite, .grows_down = true}),
            Value(top - stack));
  const Gva below = top - options.stack_limit - options.guard_gap;
  EXPECT_EQ(guest.space->Map({.size = k4K, .access = kRead}),
            Value(below - k4K));
  EXPECT_EQ(guest.space->Map({.size = 1, .access = kReadWrite}),
            Value(below - 2 * k4K));
  // The first hole from the top that is large enough.
  ASSERT_EQ(guest.space->Unmap({below - k4K, k4K}), 0);
  EXPECT_EQ(guest.space->Map({.size = 2 * k4K, .access = kRead}),
            Value(below - 4 * k4K));
  EXPECT_EQ(guest.space->Map({.size = k4K, .access = kRead}),
            Value(below - k4K));
  // Another stack has room and gap below it.
  EXPECT_EQ(guest.space->Map(
                {.size = stack, .access = kReadWrite, .grows_down = true}),
            Value(below - 4 * k4K - stack));
  EXPECT_EQ(
      guest.space->Map({.size = k4K, .access = kRead}),
      Value(below - 4 * k4K - options.stack_limit - options.guard_gap - k4K));
}

TEST(AddressSpaceTest, AWishIsGrantedWhereItIsFree) {
  Guest guest = MakeGuest(Plain());
  EXPECT_EQ(guest.space->Map({.at = kAt + 5, .size = k4K, .access = kRead}),
            Value(kAt));
  const Gva top = AddressSpace::kUserEnd;
  EXPECT_EQ(guest.space->Map({.at = kAt, .size = k4K, .access = kRead}),
            Value(top - k4K));
  for (const Gva bad : {Gva(0), Gva(0xf000), top - k4K, top, Gva(1) - 2}) {
    const int64_t at =
        guest.space->Map({.at = bad, .size = 2 * k4K, .access = kRead});
    EXPECT_GT(at, 0);
    EXPECT_NE(at, Value(bad.AlignDown(k4K)));
  }
}

TEST(AddressSpaceTest, TheSeedMovesTheLayout) {
  const auto first_of = [](uint64_t seed) {
    AddressSpace::Options options = Plain();
    options.layout_seed = seed;
    Guest guest = MakeGuest(options);
    return guest.space->Map({.size = k4K, .access = kRead});
  };
  EXPECT_EQ(first_of(0), Value(AddressSpace::kUserEnd - k4K));
  EXPECT_EQ(first_of(1), first_of(1));
  EXPECT_NE(first_of(1), first_of(2));
  EXPECT_LT(first_of(1), first_of(0));
  EXPECT_GE(first_of(1), Value(AddressSpace::kUserEnd - (uint64_t{1} << 40)));
}

TEST(AddressSpaceTest, AreasAreLimited) {
  AddressSpace::Options options = Plain();
  options.max_areas = 3;
  Guest guest = MakeGuest(options);
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(MapAt(guest, kAt + i * k2M, 4 * k4K, kRead),
              Value(kAt + i * k2M));
  }
  EXPECT_EQ(MapAt(guest, kAt + 3 * k2M, k4K, kRead), -ENOMEM);
  EXPECT_EQ(guest.space->Map({.size = k4K, .access = kRead}), -ENOMEM);
  EXPECT_EQ(guest.space->Unmap({kAt + k4K, k4K}), -ENOMEM);
  EXPECT_EQ(guest.space->Protect({kAt + k4K, k4K}, kReadWrite), -ENOMEM);
  EXPECT_EQ(guest.space->Protect({kAt, k4K}, kReadWrite), -ENOMEM);
  EXPECT_EQ(guest.space->Remap(
                {.from = {kAt, k4K}, .new_size = 2 * k4K, .may_move = true}),
            -ENOMEM);
  EXPECT_EQ(guest.space->areas().size(), 3u);
  // What needs no more areas is done.
  EXPECT_EQ(guest.space->Protect({kAt, 4 * k4K}, kReadWrite), 0);
  EXPECT_EQ(guest.space->Unmap({kAt + 2 * k4K, 2 * k4K}), 0);
  EXPECT_EQ(guest.space->Unmap({kAt, k4K}), 0);
  EXPECT_EQ(guest.space->areas().size(), 3u);
}

TEST(AddressSpaceTest, WritableAndExecutableIsAPolicy) {
  constexpr UserAccess kBoth{.writable = true, .executable = true};
  Guest guest = MakeGuest(Plain());
  EXPECT_EQ(MapAt(guest, kAt, k4K, kBoth), -EACCES);
  ASSERT_EQ(MapAt(guest, kAt, k4K, kRead), Value(kAt));
  EXPECT_EQ(guest.space->Protect({kAt, k4K}, kBoth), -EACCES);
  AddressSpace::Options options = Plain();
  options.refuse_writable_executable = false;
  guest = MakeGuest(options);
  EXPECT_EQ(MapAt(guest, kAt, k4K, kBoth), Value(kAt));
  ASSERT_EQ(guest.space->Populate(kAt, AccessKind::kExecute),
            PopulateResult::kDone);
  EXPECT_EQ(guest.Entry(guest.EntryOf(kAt, 1)) >> 63, 0u);
}

TEST(AddressSpaceTest, TheManagedFramesAreTheCeiling) {
  AddressSpace::Options options = Plain();
  options.managed.size = 14 * k4K;
  options.eager_size = 4 * k4K;
  Guest guest = MakeGuest(options);
  // The root, three tables and ten pages.
  ASSERT_EQ(MapAt(guest, kAt, 100 * k4K, kReadWrite), Value(kAt));
  guest.space->SetHeapStart(kAt + 100 * k4K);
  for (uint64_t i = 0; i < 10; ++i) {
    if (i == 8) {
      // Of what needs frames at once, three pages are too many.
      EXPECT_EQ(MapAt(guest, kAt + 8 * k4K, 3 * k4K, kReadWrite), -ENOMEM);
      EXPECT_EQ(guest.space->Map({.at = kAt + 8 * k4K,
                                  .size = 50 * k4K,
                                  .place = AddressSpace::Place::kFixed,
                                  .access = kReadWrite,
                                  .populate = true}),
                -ENOMEM);
      EXPECT_EQ(guest.space->SetBreak(kAt + 103 * k4K), kAt + 100 * k4K);
    }
    ASSERT_EQ(guest.space->Populate(kAt + i * k4K, AccessKind::kWrite),
              PopulateResult::kDone);
  }
  EXPECT_EQ(guest.space->available_frames(), 0u);
  EXPECT_EQ(guest.space->Populate(kAt + 10 * k4K, AccessKind::kRead),
            PopulateResult::kOutOfMemory);
  EXPECT_EQ(guest.space->PopulateAny(kAt + 10 * k4K),
            PopulateResult::kOutOfMemory);
  UserMemory user(*guest.space);
  EXPECT_TRUE(user.Store<uint8_t>(kAt, 0));
  EXPECT_FALSE(user.ran_out());
  EXPECT_FALSE(user.Store<uint8_t>(kAt + 10 * k4K, 0));
  EXPECT_TRUE(user.ran_out());
  EXPECT_THAT(guest.space->areas(),
              ElementsAre(Area{kAt, kAt + 100 * k4K, kReadWrite, false}));
  // Addresses alone can be had.
  EXPECT_GT(guest.space->Map({.size = 50 * k4K, .access = kReadWrite}), 0);
  EXPECT_GT(guest.space->Map({.size = k4K, .access = kNone}), 0);
  // A page that goes makes room for one, which is all zero.
  ASSERT_TRUE(user.Store<uint64_t>(kAt + k4K - 8, ~uint64_t{0}));
  ASSERT_EQ(guest.space->Unmap({kAt, k4K}), 0);
  guest.TakeAllStale();
  EXPECT_EQ(user.Load<uint64_t>(kAt + 10 * k4K + k4K - 8), 0u);
}

TEST(AddressSpaceTest, AMoveWithoutRoomForTablesChangesNothing) {
  AddressSpace::Options options = Plain();
  options.managed.size = 8 * k4K;
  Guest guest = MakeGuest(options);
  ASSERT_EQ(MapAt(guest, kAt, 2 * k4K, kReadWrite), Value(kAt));
  UserMemory user(*guest.space);
  ASSERT_TRUE(user.Store<uint64_t>(kAt, 7));
  ASSERT_TRUE(user.Store<uint64_t>(kAt + k4K, 8));
  // Two frames are left, and three tables are needed there.
  EXPECT_EQ(guest.space->Remap({.from = {kAt, 2 * k4K},
                                .new_size = 2 * k4K,
                                .may_move = true,
                                .to_fixed = true,
                                .to = Gva(uint64_t{1} << 40)}),
            -ENOMEM);
  EXPECT_EQ(guest.space->used_frames(), 6u);
  EXPECT_EQ(user.Load<uint64_t>(kAt), 7u);
  EXPECT_EQ(user.Load<uint64_t>(kAt + k4K), 8u);
  // One table is enough for this place.
  guest.TakeAllStale();
  EXPECT_EQ(guest.space->Remap({.from = {kAt, 2 * k4K},
                                .new_size = 2 * k4K,
                                .may_move = true,
                                .to_fixed = true,
                                .to = kAt + k2M}),
            Value(kAt + k2M));
  EXPECT_EQ(user.Load<uint64_t>(kAt + k2M + k4K), 8u);
  EXPECT_FALSE(user.Load<uint64_t>(kAt).has_value());
}

TEST(AddressSpaceTest, FaultsBringTheirNeighboursInTheArea) {
  AddressSpace::Options options = Plain();
  options.fault_around_pages = 8;
  Guest guest = MakeGuest(options);
  ASSERT_EQ(MapAt(guest, kAt + 3 * k4K, 20 * k4K, kRead), Value(kAt + 3 * k4K));
  const auto populated = [&] {
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < 32; ++i) {
      if (guest.space->Translate(kAt + i * k4K)) pages.push_back(i);
    }
    return pages;
  };
  ASSERT_EQ(guest.space->Populate(kAt + 4 * k4K, AccessKind::kRead),
            PopulateResult::kDone);
  EXPECT_THAT(populated(), ElementsAre(3, 4, 5, 6, 7));
  ASSERT_EQ(guest.space->Populate(kAt + 22 * k4K, AccessKind::kRead),
            PopulateResult::kDone);
  EXPECT_THAT(populated(),
              ElementsAre(3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22));
  EXPECT_TRUE(guest.space->stale().empty());
}

TEST(AddressSpaceTest, TheLastFramesAreForWhatIsUsed) {
  AddressSpace::Options options = Plain();
  options.managed.size = 60 * k4K;
  options.fault_around_pages = 8;
  Guest guest = MakeGuest(options);
  ASSERT_EQ(MapAt(guest, kAt, 56 * 8 * k4K, kRead), Value(kAt));
  // Three blocks leave 32 frames, after which a fault takes one.
  for (uint64_t i = 0; i < 3 + 32; ++i) {
    ASSERT_EQ(guest.space->Populate(kAt + i * 8 * k4K, AccessKind::kRead),
              PopulateResult::kDone);
    EXPECT_EQ(guest.space->available_frames(),
              i < 3 ? 56 - 8 * (i + 1) : 32 - (i - 2));
  }
  EXPECT_EQ(guest.space->Populate(kAt + 40 * 8 * k4K, AccessKind::kRead),
            PopulateResult::kOutOfMemory);
}

TEST(AddressSpaceTest, SmallMapsAreEager) {
  AddressSpace::Options options = Plain();
  options.eager_size = 4 * k4K;
  Guest guest = MakeGuest(options);
  const auto last_page = [&](uint64_t size) {
    const int64_t at = guest.space->Map({.size = size, .access = kReadWrite});
    const Gva start(static_cast<uint64_t>(at));
    return guest.space->Translate(start + size - 1).has_value();
  };
  EXPECT_TRUE(last_page(4 * k4K));
  EXPECT_FALSE(last_page(4 * k4K + 1));
  guest.space->SetHeapStart(kAt);
  EXPECT_EQ(guest.space->SetBreak(kAt + 100), kAt + 100);
  EXPECT_TRUE(guest.space->Translate(kAt).has_value());
}

TEST(AddressSpaceTest, AStackGrowsToItsLimit) {
  AddressSpace::Options options = Plain();
  options.stack_limit = 8 * k4K;
  options.guard_gap = 2 * k4K;
  Guest guest = MakeGuest(options);
  const Gva end = kAt + 100 * k4K;
  const auto map_stack = [&] {
    return guest.space->Map({.at = end - 2 * k4K,
                             .size = 2 * k4K,
                             .place = AddressSpace::Place::kFixed,
                             .access = kReadWrite,
                             .grows_down = true});
  };
  ASSERT_EQ(map_stack(), Value(end - 2 * k4K));
  const auto fault = [&](uint64_t pages) {
    return guest.space->Populate(end - pages * k4K, AccessKind::kWrite);
  };
  EXPECT_EQ(fault(9), PopulateResult::kNotMapped);
  EXPECT_EQ(fault(5), PopulateResult::kDone);
  EXPECT_EQ(guest.space->areas()[0].start, end - 5 * k4K);
  EXPECT_EQ(fault(8), PopulateResult::kDone);
  EXPECT_EQ(fault(9), PopulateResult::kNotMapped);
  // Not closer than the gap to what is below.
  ASSERT_EQ(guest.space->Unmap({kAt, 100 * k4K}), 0);
  ASSERT_EQ(map_stack(), Value(end - 2 * k4K));
  ASSERT_EQ(MapAt(guest, end - 8 * k4K, k4K, kRead), Value(end - 8 * k4K));
  EXPECT_EQ(fault(6), PopulateResult::kNotMapped);
  EXPECT_EQ(fault(5), PopulateResult::kDone);
  EXPECT_EQ(guest.space->FindArea(end - 5 * k4K),
            (Area{end - 5 * k4K, end, kReadWrite, true}));
  EXPECT_FALSE(guest.space->FindArea(end - 6 * k4K).has_value());
}

TEST(AddressSpaceTest, AFreedSnapshotFrameIsATableOnlyThere) {
  Guest guest = MakeGuest(Plain());
  ASSERT_EQ(MapAt(guest, kAt, k4K, kReadWrite), Value(kAt));
  ASSERT_EQ(guest.space->Populate(kAt, AccessKind::kRead),
            PopulateResult::kDone);
  const Gpa table = guest.EntryOf(kAt, 1).AlignDown(k4K);
  const AddressSpace::Snapshot snapshot = guest.space->Save();
  ASSERT_EQ(guest.space->Unmap({kAt, k4K}), 0);
  EXPECT_TRUE(snapshot.IsTable(table));
  EXPECT_FALSE(guest.space->IsTable(table));
  EXPECT_FALSE(snapshot.IsTable(table + 8));
  guest.space->Restore(snapshot);
  EXPECT_TRUE(guest.space->IsTable(table));
  EXPECT_EQ(guest.space->areas().size(), 1u);
}

TEST(AddressSpaceTest, RestoreTableRefusesWhatIsNoPage) {
  Guest guest = MakeGuest(Plain());
  const std::vector<std::byte> page(k4K);
  EXPECT_FALSE(guest.space->RestoreTable(guest.space->root() + 8, page));
  EXPECT_FALSE(guest.space->RestoreTable(Gpa(512 * k4K), page));
  EXPECT_FALSE(guest.space->RestoreTable(guest.space->root(),
                                         std::span(page).first(k4K - 1)));
  EXPECT_TRUE(guest.space->RestoreTable(guest.space->root(), page));
  EXPECT_TRUE(guest.space->stale().empty());
}

// Whatever the tables hold, the host stays in the managed frames and comes
// back. (Only ring 0 could damage them.)
TEST(AddressSpaceTest, DamagedTablesLeadNowhere) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 100; ++round) {
    Guest guest = MakeGuest(Plain());
    ASSERT_TRUE(
        guest.memory->Fill({Gpa(260 * k4K), 252 * k4K}, std::byte{0x5a}));
    ASSERT_EQ(MapAt(guest, kAt, 700 * k4K, kReadWrite), Value(kAt));
    for (uint64_t i = 0; i < 700; i += 50) {
      (void)guest.space->Populate(kAt + i * k4K, AccessKind::kWrite);
    }
    const Gpa last_level = guest.EntryOf(kAt, 1).AlignDown(k4K);
    // Words of all tables, or of one that maps pages: anything, or with the look of an entry that leads
    // to a table, to a page, or out of memory.
    for (uint64_t frame = 0; frame < 20; ++frame) {
      const Gpa table = guest.space->root() + frame * k4K;
      if (!guest.space->IsTable(table)) continue;
      if (round % 4 >= 2 && table != last_level) continue;
      for (uint64_t i = 0; i < 512; ++i) {
        uint64_t entry = random();
        if (round % 2 == 0) {
          entry = (random() % (round % 3 == 0 ? 5 : 508) * k4K + 0x4000) | 0x67;
        }
        ASSERT_TRUE(guest.memory->Store<uint64_t>(table + i * 8, entry));
      }
    }
    std::vector<std::byte> bytes(3 * k4K);
    UserMemory user(*guest.space);
    for (int i = 0; i < 20; ++i) {
      const Gva gva = kAt + random() % (700 * k4K);
      const GvaRange pages{gva.AlignDown(k4K), random() % 40 * k4K};
      (void)guest.space->Translate(gva);
      (void)user.Write(gva, bytes);
      (void)user.LoadRead(gva, bytes);
      (void)guest.space->Protect(pages, random() % 2 ? kRead : kReadWrite);
      (void)guest.space->Discard(pages);
      (void)guest.space->Remap(
          {.from = pages, .new_size = 50 * k4K, .may_move = true});
      (void)guest.space->Map({.size = k4K, .access = kRead, .populate = true});
      (void)guest.space->Unmap(pages);
      guest.TakeAllStale();
    }
    const uint64_t all = AddressSpace::kUserEnd - AddressSpace::kUserStart;
    EXPECT_EQ(guest.space->Unmap({AddressSpace::kUserStart, all}), 0);
    EXPECT_LE(guest.space->used_frames(), 256u);
    EXPECT_THAT(guest.space->areas(), IsEmpty());
    for (uint64_t gpa = 260 * k4K; gpa < 512 * k4K; gpa += 8) {
      ASSERT_EQ(guest.Entry(Gpa(gpa)), 0x5a5a'5a5a'5a5a'5a5a);
    }
    for (uint64_t gpa = 0; gpa < 0x4000; gpa += 8) {
      ASSERT_EQ(guest.Entry(Gpa(gpa)), 0u);
    }
  }
}

}  // namespace
}  // namespace libvmm::sandbox
