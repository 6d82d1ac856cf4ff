// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/mp_table/mp_table.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::StartsWith;

constexpr GpaRange kSpace = {Gpa(0xf8000), 0x4000};

uint8_t Sum(absl::string_view bytes) {
  uint8_t sum = 0;
  for (const char byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return sum;
}

// A table as a guest finds it.
struct Table {
  std::string header;
  std::vector<std::string> entries;

  // The entries of a type, as hexadecimal digits.
  [[nodiscard]] std::vector<std::string> OfType(int type) const {
    std::vector<std::string> found;
    for (const std::string& entry : entries) {
      if (entry[0] == type) found.push_back(absl::BytesToHexString(entry));
    }
    return found;
  }
};

Table Parse(const PlacedBytes& placed) {
  const absl::string_view all(
      reinterpret_cast<const char*>(placed.bytes.data()), placed.bytes.size());
  EXPECT_TRUE(placed.gpa.IsAligned(16));
  EXPECT_EQ(all.substr(0, 4), "_MP_");
  EXPECT_EQ(Sum(all.substr(0, 16)), 0);
  EXPECT_EQ(absl::BytesToHexString(all.substr(8, 2)), "0104");
  EXPECT_EQ(absl::BytesToHexString(all.substr(11, 5)), "0000000000");
  uint32_t gpa = 0;
  std::memcpy(&gpa, all.data() + 4, 4);
  absl::string_view rest = all.substr(gpa - placed.gpa.value());
  EXPECT_EQ(rest.substr(0, 4), "PCMP");
  uint16_t length = 0;
  uint16_t count = 0;
  std::memcpy(&length, rest.data() + 4, 2);
  std::memcpy(&count, rest.data() + 34, 2);
  EXPECT_EQ(length, rest.size());
  EXPECT_EQ(Sum(rest), 0);

  Table table;
  table.header = std::string(rest.substr(0, 44));
  rest.remove_prefix(44);
  int last_type = 0;
  while (!rest.empty()) {
    EXPECT_GE(rest[0], last_type) << "entries stand in order of their types";
    last_type = rest[0];
    const size_t size = last_type == 0 ? 20 : 8;
    table.entries.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  EXPECT_EQ(count, table.entries.size());
  return table;
}

TEST(MpTableTest, TwoCpus) {
  MpConfig config;
  config.apic_ids = {0, 4};
  config.cpu_signature = 0x00a20f10;
  config.cpu_features = 0x178bfbff;
  config.io_apic.id = 5;
  config.isa_interrupts = {{.irq = 0, .pin = 2},
                           {.irq = 9, .pin = 9, .level = true}};
  ASSERT_OK_AND_ASSIGN(const PlacedBytes placed, BuildMpTable(config, kSpace));
  EXPECT_EQ(placed.gpa, kSpace.start);
  const Table table = Parse(placed);
  EXPECT_EQ(table.header.substr(6, 1), "\x04");
  EXPECT_EQ(table.header.substr(8, 20), "LIBVMM  PC          ");
  EXPECT_EQ(absl::BytesToHexString(table.header.substr(28, 6)), "000000000000");
  EXPECT_EQ(absl::BytesToHexString(table.header.substr(36, 8)),
            "0000e0fe00000000");
  EXPECT_THAT(table.OfType(0), ElementsAre("00001403"
                                           "100f0000"
                                           "fffb8b17"
                                           "0000000000000000",
                                           "00041401"
                                           "100f0000"
                                           "fffb8b17"
                                           "0000000000000000"));
  EXPECT_THAT(table.OfType(1),
              ElementsAre("0100" + absl::BytesToHexString("ISA   ")));
  EXPECT_THAT(table.OfType(2), ElementsAre("020511010000c0fe"));
  EXPECT_THAT(table.OfType(3),
              ElementsAre("0300000000000502", "03000d0000090509"));
  EXPECT_THAT(table.OfType(4),
              ElementsAre("040300000000ff00", "040100000000ff01"));
}

TEST(MpTableTest, DefaultInterruptsAreThoseOfAPc) {
  ASSERT_OK_AND_ASSIGN(const PlacedBytes placed, BuildMpTable({}, kSpace));
  const std::vector<std::string> interrupts = Parse(placed).OfType(3);
  ASSERT_EQ(interrupts.size(), 15u);
  EXPECT_EQ(interrupts[0], "0300000000000102") << "timer";
  EXPECT_EQ(interrupts[1], "0300000000010101");
  EXPECT_EQ(interrupts[2], "0300000000030103") << "no cascade";
  EXPECT_EQ(interrupts[14], "03000000000f010f");
}

TEST(MpTableTest, SpaceIsUsedFromItsFirstMultipleOf16) {
  ASSERT_OK_AND_ASSIGN(const PlacedBytes placed,
                       BuildMpTable({}, {Gpa(0x9fc01), 1023}));
  EXPECT_EQ(placed.gpa, Gpa(0x9fc10));
  Parse(placed);
}

TEST(MpTableTest, TooSmallASpaceSaysWhatIsNeeded) {
  ASSERT_OK_AND_ASSIGN(const PlacedBytes fits, BuildMpTable({}, kSpace));
  const size_t size = fits.bytes.size();
  EXPECT_OK(BuildMpTable({}, {Gpa(0xf0000), size}));
  EXPECT_OK(BuildMpTable({}, {Gpa(0x1'0000'0000 - 0x1000), 0x1000}));
  EXPECT_THAT(BuildMpTable({}, {Gpa(0xf0000), size - 1}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("MP table needs ", size,
                                    " bytes from a multiple of 16 on; the "
                                    "space has ",
                                    size - 1, " at gpa 0xf0000")));
  EXPECT_THAT(BuildMpTable({}, {Gpa(0xfffff000), 0x1001}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "MP table space of 0x1001 bytes at gpa 0xfffff000 "
                       "passes 4 GiB"));
}

TEST(MpTableTest, ImpossibleConfigsAreRefused) {
  const auto with = [](auto change) {
    MpConfig config;
    change(config);
    return config;
  };
  struct Row {
    MpConfig config;
    const char* message;
  };
  for (const Row& row : {
           Row{with([](auto& c) { c.oem_id = "NINE99999"; }),
               "MP table oem_id is \"NINE99999\", expected at most 8 printable "
               "ASCII characters"},
           {with([](auto& c) { c.product_id = "\x7f"; }),
            "MP table product_id is \"\\x7f\", expected at most 12 printable "
            "ASCII characters"},
           {with([](auto& c) { c.apic_ids.clear(); }),
            "MP table apic_ids is empty"},
           {with([](auto& c) {
              c.apic_ids = {0, 255};
            }),
            "MP table apic_ids has 255, which addresses all"},
           {with([](auto& c) {
              c.apic_ids = {3, 3};
            }),
            "MP table apic_ids has 3 twice"},
           {with([](auto& c) { c.io_apic.id = 255; }),
            "MP table io_apic.id is 255, which addresses all"},
           {with([](auto& c) { c.io_apic.id = 0; }),
            "MP table io_apic.id is 0, which is a CPU's"},
           {with([](auto& c) { c.isa_interrupts = {{.irq = 16}}; }),
            "MP table irq is 16, expected at most 15"},
           {with([](auto& c) {
              c.isa_interrupts = {{.irq = 1}, {.irq = 1}};
            }),
            "MP table irq 1 is there twice"},
           {with([](auto& c) { c.isa_interrupts = {{.irq = 1, .pin = 24}}; }),
            "MP table pin of irq 1 is 24, expected below 24"},
       }) {
    EXPECT_THAT(BuildMpTable(row.config, kSpace),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
}

TEST(MpTableTest, RandomConfigsAreReadBack) {
  std::mt19937 random(20261126);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    MpConfig config;
    const size_t cpus = 1 + random() % 254;
    config.apic_ids.clear();
    for (size_t i = 0; i < cpus; ++i) {
      config.apic_ids.push_back(static_cast<uint8_t>(i));
    }
    config.io_apic.id = 254;
    config.io_apic.gpa = static_cast<uint32_t>(random());
    config.isa_interrupts.resize(random() % 16);
    for (size_t i = 0; i < config.isa_interrupts.size(); ++i) {
      config.isa_interrupts[i] = {.irq = static_cast<uint8_t>(i),
                                  .pin = static_cast<uint8_t>(random() % 24),
                                  .level = random() % 2 == 0};
    }
    ASSERT_OK_AND_ASSIGN(const PlacedBytes placed,
                         BuildMpTable(config, kSpace));
    const Table table = Parse(placed);
    const std::vector<std::string> found = table.OfType(0);
    ASSERT_EQ(found.size(), cpus);
    for (size_t i = 0; i < cpus; ++i) {
      EXPECT_THAT(found[i],
                  StartsWith(absl::StrCat("00", absl::Hex(i, absl::kZeroPad2),
                                          "14", i == 0 ? "03" : "01")));
    }
    EXPECT_EQ(table.OfType(3).size(), config.isa_interrupts.size());
    EXPECT_EQ(table.entries.size(), cpus + 4 + config.isa_interrupts.size());
  }
}

}  // namespace
}  // namespace libvmm
