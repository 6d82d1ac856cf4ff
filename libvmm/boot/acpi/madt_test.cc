// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/madt.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/tables/table_bytes.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;

std::string Body(const MadtConfig& config) {
  const std::vector<std::byte> table = MakeMadt({}, config);
  EXPECT_EQ(ChecksumOf(table), 0);
  const absl::string_view text(reinterpret_cast<const char*>(table.data()),
                               table.size());
  EXPECT_EQ(text.substr(0, 4), "APIC");
  EXPECT_EQ(text[8], 5) << "revision";
  return absl::BytesToHexString(text.substr(kAcpiTableHeaderSize));
}

TEST(MadtTest, DefaultIsOneCpuOfAPc) {
  EXPECT_EQ(Body({}), absl::StrCat("0000e0fe", "01000000",      //
                                   "0008000001000000",          // CPU 0
                                   "010c00000000c0fe00000000",  // IOAPIC
                                   "020a0000020000000000",      // IRQ 0, GSI 2
                                   "020a0009090000000d00",      // IRQ 9, level
                                   "0406ff000001"));            // NMI, LINT1
}

TEST(MadtTest, CpusHaveTheirIndexAsUid) {
  EXPECT_EQ(Body({.processors = {{.apic_id = 0},
                                 {.apic_id = 4},
                                 {.apic_id = 5, .enabled = false}},
                  .io_apics = {},
                  .overrides = {},
                  .dual_8259 = false,
                  .nmi_lint = {}}),
            absl::StrCat("0000e0fe", "00000000",  //
                         "0008000001000000",      //
                         "0008010401000000",      //
                         "0008020502000000"));
}

TEST(MadtTest, HighIdsAreX2ApicEntries) {
  EXPECT_EQ(Body({.processors = {{.apic_id = 254},
                                 {.apic_id = 255},
                                 {.apic_id = 0x12345, .enabled = false}},
                  .io_apics = {},
                  .overrides = {}}),
            absl::StrCat("0000e0fe", "01000000",  //
                         "000800fe01000000",      //
                         "09100000"
                         "ff000000"
                         "01000000"
                         "01000000",  //
                         "09100000"
                         "45230100"
                         "02000000"
                         "02000000",      //
                         "0406ff000001",  //
                         "0a0c0000"
                         "ffffffff"
                         "01000000"));
}

TEST(MadtTest, OnlyX2ApicCpusHaveOnlyTheirNmiEntry) {
  EXPECT_EQ(Body({.processors = {{.apic_id = 256}},
                  .io_apics = {},
                  .overrides = {},
                  .nmi_lint = 0}),
            absl::StrCat("0000e0fe", "01000000",  //
                         "09100000"
                         "00010000"
                         "01000000"
                         "00000000",  //
                         "0a0c0000"
                         "ffffffff"
                         "00000000"));
}

TEST(MadtTest, IoApicsAndOverrides) {
  using aml::Polarity;
  using aml::Trigger;
  EXPECT_EQ(Body({.processors = {{}},
                  .local_apic = 0xfed00000,
                  .io_apics = {{.id = 3, .gpa = 0xfec01000, .gsi_base = 24}},
                  .overrides = {{.irq = 1,
                                 .gsi = 0x11223344,
                                 .trigger = Trigger::kEdge,
                                 .polarity = Polarity::kActiveLow},
                                {.irq = 15,
                                 .gsi = 15,
                                 .trigger = Trigger::kLevel,
                                 .polarity = Polarity::kActiveLow}},
                  .nmi_lint = {}}),
            absl::StrCat("0000d0fe", "01000000", "0008000001000000",  //
                         "010c03000010c0fe18000000",                  //
                         "020a0001443322110700", "020a000f0f0000000f00"));
}

TEST(MadtTest, ImpossibleConfigsAreRefused) {
  std::vector<AcpiProcessor> many;
  for (uint32_t id = 0; id < 255; ++id) many.push_back({.apic_id = id + 1000});
  MadtConfig fits;
  fits.processors = many;
  fits.processors.back().apic_id = 7;
  EXPECT_OK(fits.Validate());
  many.push_back({.apic_id = 8});
  struct Row {
    MadtConfig config;
    const char* message;
  };
  for (const Row& row : {
           Row{{.processors = {}}, "MADT processors is empty"},
           {{.processors = {{1}, {1}}}, "MADT apic_id 1 is there twice"},
           {{.processors = {{0xffff'ffff}}},
            "MADT apic_id of processor 0 is 0xffffffff, which addresses all"},
           {{.processors = many},
            "MADT apic_id of processor 255 is 8, expected 255 or more from "
            "processor 255 on"},
           {{.io_apics = {{.id = 2}, {.id = 2}}},
            "MADT IOAPIC id 2 is there twice"},
           {{.overrides = {{.irq = 16}}},
            "MADT override irq is 16, expected at most 15"},
           {{.overrides = {{.irq = 3}, {.irq = 3}}},
            "MADT override of irq 3 is there twice"},
           {{.nmi_lint = 2}, "MADT nmi_lint is 2, expected 0 or 1"},
       }) {
    EXPECT_THAT(row.config.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
}

}  // namespace
}  // namespace libvmm
