// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/fadt.h"

#include <cstring>
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

template <typename T>
T At(const std::vector<std::byte>& table, size_t offset) {
  T value;
  std::memcpy(&value, table.data() + offset, sizeof(value));
  return value;
}

std::string HexAt(const std::vector<std::byte>& table, size_t offset,
                  size_t size) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(table.data()) + offset, size));
}

constexpr FadtPointers kLow = {.dsdt = Gpa(0xe1000), .facs = Gpa(0xe0040)};

// Offsets are those of ACPI 6.4, table 5.9.
TEST(FadtTest, FixedHardware) {
  const std::vector<std::byte> fadt = MakeFadt(
      {}, {.hardware = AcpiFixedHardware{}, .i8042 = true, .cmos_rtc = true},
      kLow);
  ASSERT_EQ(fadt.size(), 276u);
  EXPECT_EQ(ChecksumOf(fadt), 0);
  EXPECT_EQ(At<uint8_t>(fadt, 8), 6) << "major version";
  EXPECT_EQ(At<uint8_t>(fadt, 131), 4) << "minor version";
  EXPECT_EQ(At<uint16_t>(fadt, 46), 9) << "SCI_INT";
  EXPECT_EQ(At<uint32_t>(fadt, 48), 0u) << "SMI_CMD: always in ACPI mode";
  EXPECT_EQ(At<uint32_t>(fadt, 56), 0x600u) << "PM1a_EVT_BLK";
  EXPECT_EQ(At<uint32_t>(fadt, 64), 0x604u) << "PM1a_CNT_BLK";
  EXPECT_EQ(At<uint32_t>(fadt, 76), 0x608u) << "PM_TMR_BLK";
  EXPECT_EQ(HexAt(fadt, 88, 4), "04020004") << "lengths";
  EXPECT_EQ(At<uint16_t>(fadt, 96), 0x0fff) << "P_LVL2_LAT above 100: none";
  EXPECT_EQ(At<uint16_t>(fadt, 98), 0x0fff) << "P_LVL3_LAT above 1000: none";
  EXPECT_EQ(At<uint8_t>(fadt, 108), 0x32) << "CENTURY";
  EXPECT_EQ(At<uint16_t>(fadt, 109), 0x0007) << "no VGA";
  EXPECT_EQ(At<uint32_t>(fadt, 112), 0x565u) << "flags";
  EXPECT_EQ(HexAt(fadt, 116, 13), "01080001f90c00000000000006") << "reset";
  EXPECT_EQ(HexAt(fadt, 148, 12), "012000020006000000000000") << "X_PM1a_EVT";
  EXPECT_EQ(HexAt(fadt, 172, 12), "011000020406000000000000") << "X_PM1a_CNT";
  EXPECT_EQ(HexAt(fadt, 208, 12), "012000030806000000000000") << "X_PM_TMR";
  EXPECT_EQ(HexAt(fadt, 220, 56), std::string(112, '0')) << "GPEs, sleep";
}

TEST(FadtTest, ReducedHardware) {
  const std::vector<std::byte> fadt = MakeFadt(
      {},
      {.hardware = AcpiReducedHardware{}, .reset = {}, .legacy_devices = false},
      {.dsdt = Gpa(0xe1000), .facs = Gpa(0)});
  EXPECT_EQ(At<uint16_t>(fadt, 46), 0) << "SCI_INT";
  EXPECT_EQ(HexAt(fadt, 56, 40), std::string(80, '0')) << "register blocks";
  EXPECT_EQ(At<uint8_t>(fadt, 108), 0) << "CENTURY";
  EXPECT_EQ(At<uint16_t>(fadt, 109), 0x0024) << "no VGA, no CMOS RTC";
  EXPECT_EQ(At<uint32_t>(fadt, 112), 0x100075u) << "flags";
  EXPECT_EQ(HexAt(fadt, 116, 13), std::string(26, '0')) << "no reset register";
  EXPECT_EQ(HexAt(fadt, 148, 96), std::string(192, '0')) << "X_ blocks";
  EXPECT_EQ(HexAt(fadt, 244, 12), "010800010006000000000000") << "control";
  EXPECT_EQ(HexAt(fadt, 256, 12), "010800010106000000000000") << "status";
  EXPECT_EQ(At<uint32_t>(fadt, 36), 0u) << "no FACS";
  EXPECT_EQ(At<uint64_t>(fadt, 132), 0u) << "no FACS";
}

TEST(FadtTest, EachFlagIsItsOwn) {
  struct Row {
    const char* name;
    FadtConfig config;
    uint32_t flags;
    uint16_t boot;
  };
  AcpiFixedHardware no_button;
  no_button.power_button = false;
  AcpiFixedHardware sleep_button;
  sleep_button.sleep_button = true;
  AcpiFixedHardware narrow_timer;
  narrow_timer.pm_timer_32_bit = false;
  for (const Row& row : {
           Row{"plain", {}, 0x565, 0x25},
           {"no reset", {.reset = {}}, 0x165, 0x25},
           {"no button", {.hardware = no_button}, 0x575, 0x25},
           {"sleep button", {.hardware = sleep_button}, 0x545, 0x25},
           {"24 bits", {.hardware = narrow_timer}, 0x465, 0x25},
           {"physical", {.apic_physical_destination = true}, 0x80565, 0x25},
           {"no legacy", {.legacy_devices = false}, 0x565, 0x24},
           {"i8042", {.i8042 = true}, 0x565, 0x27},
           {"vga", {.vga = true}, 0x565, 0x21},
           {"rtc", {.cmos_rtc = true}, 0x565, 0x05},
       }) {
    const std::vector<std::byte> fadt = MakeFadt({}, row.config, kLow);
    EXPECT_EQ(At<uint32_t>(fadt, 112), row.flags) << row.name;
    EXPECT_EQ(At<uint16_t>(fadt, 109), row.boot) << row.name;
  }
}

TEST(FadtTest, GeneralPurposeEventsAndSmiCommand) {
  AcpiFixedHardware hardware;
  hardware.gpe0 = AcpiFixedHardware::Gpe0{.port = 0x60c, .size = 4};
  hardware.smi = AcpiFixedHardware::SmiCommand{
      .port = 0xb2, .acpi_enable = 0xf1, .acpi_disable = 0xf0};
  ASSERT_OK(FadtConfig{.hardware = hardware}.Validate());
  const std::vector<std::byte> fadt =
      MakeFadt({}, {.hardware = hardware}, kLow);
  EXPECT_EQ(HexAt(fadt, 48, 8), "b2000000f1f00000") << "SMI_CMD";
  EXPECT_EQ(At<uint32_t>(fadt, 80), 0x60cu) << "GPE0_BLK";
  EXPECT_EQ(HexAt(fadt, 88, 7), "04020004040000") << "lengths";
}

TEST(FadtTest, NoPmTimer) {
  AcpiFixedHardware hardware;
  hardware.pm_timer = {};
  const std::vector<std::byte> fadt =
      MakeFadt({}, {.hardware = hardware}, kLow);
  EXPECT_EQ(At<uint32_t>(fadt, 76), 0u);
  EXPECT_EQ(HexAt(fadt, 88, 4), "04020000");
  EXPECT_EQ(HexAt(fadt, 208, 12), std::string(24, '0'));
}

TEST(FadtTest, PointersBelow4GiB) {
  const std::vector<std::byte> fadt = MakeFadt({}, {}, kLow);
  EXPECT_EQ(At<uint32_t>(fadt, kFadtFacsOffset), 0xe0040u);
  EXPECT_EQ(At<uint64_t>(fadt, kFadtXFacsOffset), 0u);
  EXPECT_EQ(At<uint32_t>(fadt, kFadtDsdtOffset), 0xe1000u);
  EXPECT_EQ(At<uint64_t>(fadt, kFadtXDsdtOffset), 0xe1000u);
}

TEST(FadtTest, PointersAbove4GiB) {
  const std::vector<std::byte> fadt = MakeFadt(
      {}, {}, {.dsdt = Gpa(0x1'0000'1000), .facs = Gpa(0x1'0000'0040)});
  EXPECT_EQ(At<uint32_t>(fadt, kFadtFacsOffset), 0u);
  EXPECT_EQ(At<uint64_t>(fadt, kFadtXFacsOffset), 0x1'0000'0040u);
  EXPECT_EQ(At<uint32_t>(fadt, kFadtDsdtOffset), 0u);
  EXPECT_EQ(At<uint64_t>(fadt, kFadtXDsdtOffset), 0x1'0000'1000u);
}

TEST(FadtTest, RegistersOfAWrongSizeAreRefused) {
  EXPECT_OK(FadtConfig{}.Validate());
  EXPECT_OK(FadtConfig{.hardware = AcpiReducedHardware{}}.Validate());
  EXPECT_THAT((FadtConfig{.reset = AcpiResetRegister{.reg = AcpiRegister::Port(
                                                         0xcf8, 4)}}
                   .Validate()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ACPI reset register size is 4, expected 1 byte"));
  EXPECT_THAT(
      (FadtConfig{.hardware = AcpiReducedHardware{.sleep_control =
                                                      AcpiRegister::Port(1, 2)}}
           .Validate()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "ACPI sleep_control size is 2, expected 1 byte"));
  EXPECT_THAT(
      (FadtConfig{.hardware = AcpiReducedHardware{.sleep_status =
                                                      AcpiRegister::Port(1, 9)}}
           .Validate()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "ACPI sleep_status size is 9, expected 1, 2 or 4 bytes"));
}

TEST(FadtTest, OddGeneralPurposeEventsAreRefused) {
  for (const uint8_t size : {0, 3}) {
    AcpiFixedHardware hardware;
    hardware.gpe0 = AcpiFixedHardware::Gpe0{.port = 0x620, .size = size};
    EXPECT_THAT(FadtConfig{.hardware = hardware}.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("ACPI gpe0 size is ", size,
                                      ", expected an even number of bytes")));
  }
}

TEST(FacsTest, IsAnIdleVersionTwo) {
  const std::vector<std::byte> facs = MakeFacs();
  ASSERT_EQ(facs.size(), 64u);
  EXPECT_EQ(HexAt(facs, 0, 8), "4641435340000000");
  EXPECT_EQ(HexAt(facs, 8, 24), std::string(48, '0'));
  EXPECT_EQ(HexAt(facs, 32, 32), "02" + std::string(62, '0'));
}

}  // namespace
}  // namespace libvmm
