// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/page_tables.h"

#include <map>
#include <memory>
#include <optional>
#include <random>
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
using ::testing::HasSubstr;

constexpr uint64_t k4K = 4096;
constexpr uint64_t k2M = 512 * k4K;
constexpr uint64_t k1G = 512 * k2M;
constexpr PageAccess kReadOnly{};
constexpr PageAccess kAll{.writable = true, .executable = true, .user = true};

// A guest whose RAM, at 0x100000, is `tables` pages that are filled with ones.
struct Guest {
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  GpaRange space;
};

Guest MakeGuest(uint64_t tables) {
  Guest guest;
  guest.space = {Gpa(0x100000), tables * k4K};
  auto region = MemoryRegion::Anonymous({.size = guest.space.size});
  EXPECT_OK(region);
  std::fill(region->bytes().begin(), region->bytes().end(), std::byte{0xff});
  EXPECT_OK(guest.memory->Add(guest.space.start, *region));
  return guest;
}

struct Walked {
  Gpa gpa;
  PageAccess access;
  uint64_t page_size = 0;
  uint64_t leaf = 0;
  friend bool operator==(const Walked&, const Walked&) = default;
};

// The CPU's own walk, written from the manual with literal bits: rights are the
// conjunction over all levels.
std::optional<Walked> Walk(const GuestMemory& memory, Gpa root, Gva gva) {
  Gpa table = root;
  PageAccess access = kAll;
  for (int shift = 39;; shift -= 9) {
    const uint64_t index = gva.value() >> shift & 511;
    const auto entry = memory.Load<uint64_t>(table + index * 8);
    EXPECT_TRUE(entry.has_value()) << "table outside memory";
    if (!entry || (*entry & 1) == 0) return {};
    access.writable = access.writable && (*entry & 2) != 0;
    access.user = access.user && (*entry & 4) != 0;
    access.executable = access.executable && (*entry >> 63) == 0;
    EXPECT_NE(*entry & 0x20, 0u) << "accessed bit";
    const bool leaf = shift == 12 || (*entry & 0x80) != 0;
    const uint64_t address = *entry & 0x000f'ffff'ffff'f000;
    if (leaf) {
      EXPECT_LT(shift, 39) << "PS is reserved in the root";
      const uint64_t page_size = uint64_t{1} << shift;
      EXPECT_EQ(address % page_size, 0u) << "reserved bits";
      return Walked{Gpa(address + gva.value() % page_size), access, page_size,
                    *entry};
    }
    table = Gpa(address);
  }
}

PageTables Tables(const Guest& guest,
                  PageTables::Leaf largest = PageTables::Leaf::k2MiB) {
  auto tables = PageTables::Create({.space = guest.space, .largest = largest});
  EXPECT_OK(tables);
  return *std::move(tables);
}

TEST(PageTablesTest, MapsOnePageThroughFourLevels) {
  Guest guest = MakeGuest(4);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({.gva = Gva(0x7fff'1234'5000),
                        .gpa = Gpa(0x9000),
                        .size = k4K,
                        .access = {.writable = true}}));
  EXPECT_EQ(tables.root(), Gpa(0x100000));
  EXPECT_EQ(tables.used(), (GpaRange{Gpa(0x100000), 4 * k4K}));
  ASSERT_OK(tables.Write(*guest.memory));
  // P, R/W, A, D and XD.
  EXPECT_EQ(
      Walk(*guest.memory, tables.root(), Gva(0x7fff'1234'5678)),
      (Walked{Gpa(0x9678), {.writable = true}, k4K, 0x8000'0000'0000'9063}));
  EXPECT_FALSE(Walk(*guest.memory, tables.root(), Gva(0x7fff'1234'4fff)));
  EXPECT_FALSE(Walk(*guest.memory, tables.root(), Gva(0x7fff'1234'6000)));
}

TEST(PageTablesTest, EveryAccessBecomesItsBits) {
  struct Row {
    PageAccess access;
    uint64_t entry;
  };
  const Row rows[] = {
      {kReadOnly, 0x8000'0000'0000'0021},
      {{.writable = true}, 0x8000'0000'0000'0063},
      {{.executable = true}, 0x21},
      {{.user = true}, 0x8000'0000'0000'0025},
      {{.executable = true, .user = true}, 0x25},
      {kAll, 0x67},
  };
  for (const Row& row : rows) {
    Guest guest = MakeGuest(4);
    PageTables tables = Tables(guest);
    ASSERT_OK(tables.Map({Gva(0x4000), Gpa(0x5000), k4K, row.access}));
    ASSERT_OK(tables.Write(*guest.memory));
    const auto walked = Walk(*guest.memory, tables.root(), Gva(0x4000));
    ASSERT_TRUE(walked.has_value());
    EXPECT_EQ(walked->leaf, row.entry | 0x5000);
    EXPECT_EQ(walked->access, row.access);
  }
}

TEST(PageTablesTest, UsesTheLargestPagesThatFit) {
  Guest guest = MakeGuest(8);
  // 4 KiB pages up to 2 MiB, then one of 2 MiB, then 4 KiB pages.
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map(
      IdentityMapping({Gpa(k2M - k4K), k4K + k2M + k4K}, kReadOnly)));
  ASSERT_OK(tables.Write(*guest.memory));
  const Gpa root = tables.root();
  EXPECT_EQ(Walk(*guest.memory, root, Gva(k2M - 1))->page_size, k4K);
  EXPECT_EQ(Walk(*guest.memory, root, Gva(k2M))->page_size, k2M);
  EXPECT_EQ(Walk(*guest.memory, root, Gva(2 * k2M - 1))->gpa, Gpa(2 * k2M - 1));
  EXPECT_EQ(Walk(*guest.memory, root, Gva(2 * k2M))->page_size, k4K);
  EXPECT_FALSE(Walk(*guest.memory, root, Gva(2 * k2M + k4K)));
  EXPECT_EQ(tables.used().size, 5 * k4K);
}

TEST(PageTablesTest, LargePagesNeedBothAddressesAligned) {
  Guest guest = MakeGuest(8);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(k2M), Gpa(k2M + k4K), k2M, kReadOnly}));
  ASSERT_OK(tables.Write(*guest.memory));
  const auto walked = Walk(*guest.memory, tables.root(), Gva(2 * k2M - 1));
  EXPECT_EQ(walked->page_size, k4K);
  EXPECT_EQ(walked->gpa, Gpa(2 * k2M + k4K - 1));
}

TEST(PageTablesTest, GigabytePagesOnlyWhenAllowed) {
  const PageMapping mapping =
      IdentityMapping({Gpa(0), 2 * k1G}, {.writable = true});
  Guest guest = MakeGuest(8);
  PageTables small = Tables(guest);
  ASSERT_OK(small.Map(mapping));
  EXPECT_EQ(small.used().size, 4 * k4K);
  PageTables large = Tables(guest, PageTables::Leaf::k1GiB);
  ASSERT_OK(large.Map(mapping));
  EXPECT_EQ(large.used().size, 2 * k4K);
  ASSERT_OK(large.Write(*guest.memory));
  const auto walked = Walk(*guest.memory, large.root(), Gva(k1G + 5));
  EXPECT_EQ(walked->page_size, k1G);
  EXPECT_EQ(walked->gpa, Gpa(k1G + 5));
  PageTables smallest = Tables(guest, PageTables::Leaf::k4KiB);
  EXPECT_THAT(smallest.Map(mapping),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(PageTablesTest, MapsTheUpperHalf) {
  Guest guest = MakeGuest(4);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(0xffff'ffff'ffff'f000), Gpa(0x9000), k4K, kAll}));
  ASSERT_OK(tables.Write(*guest.memory));
  EXPECT_EQ(Walk(*guest.memory, tables.root(), Gva(0xffff'ffff'ffff'ffff))->gpa,
            Gpa(0x9fff));
}

TEST(PageTablesTest, OverlapIsRefused) {
  Guest guest = MakeGuest(8);
  struct Row {
    PageMapping first, second;
  };
  const Row rows[] = {
      // Page on page, small in large, large over small.
      {{Gva(0x1000), Gpa(0), k4K, kAll}, {Gva(0x1000), Gpa(0), k4K, kAll}},
      {{Gva(0), Gpa(0), k2M, kAll}, {Gva(0x1000), Gpa(0x1000), k4K, kAll}},
      {{Gva(0x1000), Gpa(0), k4K, kAll}, {Gva(0), Gpa(0), k2M, kAll}},
  };
  for (const Row& row : rows) {
    PageTables tables = Tables(guest);
    ASSERT_OK(tables.Map(row.first));
    EXPECT_THAT(tables.Map(row.second),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr("is mapped already")));
  }
}

TEST(PageTablesTest, FullSpaceIsReported) {
  Guest guest = MakeGuest(4);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(0), Gpa(0), k4K, kAll}));
  ASSERT_OK(tables.Map({Gva(k4K), Gpa(0), k4K, kAll}));
  EXPECT_THAT(tables.Map({Gva(k2M), Gpa(0), k4K, kAll}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "page table space of 4 tables is full at gva 0x200000"));
  EXPECT_EQ(tables.used(), guest.space);
}

TEST(PageTablesTest, ImpossibleMappingsAreRefused) {
  struct Row {
    const char* name;
    PageMapping mapping;
    const char* message;
  };
  constexpr uint64_t kHalf = uint64_t{1} << 47;
  constexpr uint64_t kTop = uint64_t{1} << 52;
  const Row rows[] = {
      {"gva", {Gva(1), Gpa(0), k4K, kAll}, "not a multiple of 4 KiB"},
      {"gpa", {Gva(0), Gpa(0x800), k4K, kAll}, "not a multiple of 4 KiB"},
      {"size", {Gva(0), Gpa(0), 4095, kAll}, "not a multiple of 4 KiB"},
      {"hole", {Gva(kHalf), Gpa(0), k4K, kAll}, "not canonical"},
      {"below the upper half",
       {Gva(~(kHalf - 1) - k4K), Gpa(0), k4K, kAll},
       "not canonical"},
      {"into the hole",
       {Gva(kHalf - k4K), Gpa(0), 2 * k4K, kAll},
       "not canonical"},
      {"past the end",
       {Gva(~uint64_t{0xfff}), Gpa(0), 2 * k4K, kAll},
       "not canonical"},
      {"gpa too high", {Gva(0), Gpa(kTop), k4K, kAll}, "above 52 bits"},
      {"gpa end too high",
       {Gva(0), Gpa(kTop - k4K), 2 * k4K, kAll},
       "above 52 bits"},
  };
  Guest guest = MakeGuest(4);
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    PageTables tables = Tables(guest);
    EXPECT_THAT(
        tables.Map(row.mapping),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
    EXPECT_EQ(tables.used().size, k4K) << "a refused mapping took tables";
  }
}

TEST(PageTablesTest, EmptyMappingAddsNothing) {
  Guest guest = MakeGuest(1);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(0x1000), Gpa(0x1000), 0, kAll}));
  EXPECT_EQ(tables.used().size, k4K);
  EXPECT_FALSE(tables.Translate(Gva(0x1000)).has_value());
}

TEST(PageTablesTest, ImpossibleSpacesAreRefused) {
  for (const GpaRange& space :
       {GpaRange{Gpa(0x1000), 0}, GpaRange{Gpa(0x1000), 0x800},
        GpaRange{Gpa(0x1000), 0x1800}, GpaRange{Gpa(0x1800), 0x1000},
        GpaRange{Gpa(uint64_t{1} << 52), 0x1000},
        GpaRange{Gpa((uint64_t{1} << 52) - 0x1000), 0x2000}}) {
    EXPECT_THAT(PageTables::Create({.space = space}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("page table space")));
  }
}

TEST(PageTablesTest, WriteOutsideMemoryWritesNothing) {
  Guest guest = MakeGuest(3);
  auto tables = PageTables::Create({.space = {guest.space.start, 4 * k4K}});
  ASSERT_OK(tables->Map({Gva(0), Gpa(0), k4K, kAll}));
  EXPECT_THAT(tables->Write(*guest.memory),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "page tables of 16384 bytes at gpa 0x100000 are not "
                       "wholly in writable guest memory"));
  std::vector<std::byte> bytes(3 * k4K);
  ASSERT_TRUE(guest.memory->Read(guest.space.start, bytes));
  EXPECT_THAT(bytes, Each(Eq(std::byte{0xff})));
}

TEST(PageTablesTest, WriteLeavesTheUnusedSpaceAlone) {
  Guest guest = MakeGuest(5);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(0), Gpa(0), k4K, kAll}));
  ASSERT_OK(tables.Write(*guest.memory));
  std::vector<std::byte> bytes(k4K);
  ASSERT_TRUE(guest.memory->Read(guest.space.start + 4 * k4K, bytes));
  EXPECT_THAT(bytes, Each(Eq(std::byte{0xff})));
}

// Random mappings against a map from page to frame; Translate and the walk in
// guest memory must both agree with it.
TEST(PageTablesTest, AgreesWithAModel) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    Guest guest = MakeGuest(64);
    PageTables tables =
        Tables(guest, static_cast<PageTables::Leaf>(random() % 3));
    struct Page {
      Gpa gpa;
      PageAccess access;
    };
    std::map<uint64_t, Page> model;
    for (int i = 0; i < 12; ++i) {
      const PageMapping mapping{
          .gva = Gva(random() % 4096 * k4K + (random() % 2 ? k1G : 0)),
          .gpa = Gpa(random() % 4096 * k4K),
          .size = random() % 1024 * k4K,
          .access = {.writable = random() % 2 == 0,
                     .executable = random() % 2 == 0,
                     .user = random() % 2 == 0}};
      const uint64_t first = mapping.gva.value() / k4K;
      const uint64_t pages = mapping.size / k4K;
      const auto hit = model.lower_bound(first);
      if (hit != model.end() && hit->first < first + pages) continue;
      ASSERT_OK(tables.Map(mapping));
      for (uint64_t page = 0; page < pages; ++page) {
        model[first + page] = {mapping.gpa + page * k4K, mapping.access};
      }
    }
    ASSERT_OK(tables.Write(*guest.memory));
    for (uint64_t page = 0; page < 6000; ++page) {
      for (const uint64_t base : {uint64_t{0}, k1G / k4K}) {
        const Gva gva((base + page) * k4K + 123);
        const auto expected = model.find(base + page);
        const auto walked = Walk(*guest.memory, tables.root(), gva);
        const auto translated = tables.Translate(gva);
        ASSERT_EQ(walked.has_value(), expected != model.end());
        ASSERT_EQ(translated.has_value(), expected != model.end());
        if (expected == model.end()) continue;
        ASSERT_EQ(walked->gpa, expected->second.gpa + 123);
        ASSERT_EQ(walked->access, expected->second.access);
        ASSERT_EQ(translated->gpa, expected->second.gpa + 123);
        ASSERT_EQ(translated->access, expected->second.access);
      }
    }
  }
}

TEST(PageTablesTest, TranslateRefusesNonCanonicalAddresses) {
  Guest guest = MakeGuest(4);
  PageTables tables = Tables(guest);
  ASSERT_OK(tables.Map({Gva(0), Gpa(0), k4K, kAll}));
  EXPECT_TRUE(tables.Translate(Gva(0)).has_value());
  EXPECT_FALSE(tables.Translate(Gva(uint64_t{1} << 48)).has_value());
}

}  // namespace
}  // namespace libvmm
