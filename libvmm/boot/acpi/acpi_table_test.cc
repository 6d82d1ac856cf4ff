// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/acpi_table.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;

std::string Hex(std::span<const std::byte> bytes) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

TEST(AcpiTableTest, HeaderIsThatOfTheSpecification) {
  const AcpiIdentity identity = {.oem_id = "OEM",
                                 .oem_table_id = "TABLE",
                                 .oem_revision = 0x01020304,
                                 .creator_id = "CR",
                                 .creator_revision = 0x05060708};
  const std::vector<std::byte> body = {std::byte{0xaa}, std::byte{0xbb}};
  const std::vector<std::byte> table =
      MakeAcpiTable(identity, {.signature = "TEST", .revision = 7}, body);
  EXPECT_EQ(Hex(table),
            "54455354"          // "TEST"
            "26000000"          // 38
            "07"                // revision
            "2c"                // checksum
            "4f454d202020"      // "OEM   "
            "5441424c45202020"  // "TABLE   "
            "04030201"
            "43522020"  // "CR  "
            "08070605"
            "aabb");
  EXPECT_EQ(ChecksumOf(table), 0);
}

TEST(AcpiTableTest, IdentityThatDoesNotFitIsRefused) {
  EXPECT_OK(AcpiIdentity{}.Validate());
  EXPECT_OK((AcpiIdentity{.oem_id = "", .oem_table_id = "", .creator_id = ""}
                 .Validate()));
  struct Row {
    AcpiIdentity identity;
    const char* message;
  };
  for (const Row& row :
       {Row{{.oem_id = "SEVEN77"},
            "ACPI oem_id is \"SEVEN77\", expected at most 6 printable ASCII "
            "characters"},
        {{.oem_table_id = "NINE99999"},
         "ACPI oem_table_id is \"NINE99999\", expected at most 8 printable "
         "ASCII characters"},
        {{.creator_id = "FIVE5"},
         "ACPI creator_id is \"FIVE5\", expected at most 4 printable ASCII "
         "characters"},
        {{.oem_id = "A\n"},
         "ACPI oem_id is \"A\\n\", expected at most 6 printable ASCII "
         "characters"}}) {
    EXPECT_THAT(row.identity.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
}

TEST(AcpiRegisterTest, IsAGenericAddress) {
  struct Row {
    AcpiRegister reg;
    const char* hex;
  };
  for (const Row& row :
       {Row{AcpiRegister::Port(0xcf9, 1), "01080001f90c000000000000"},
        {AcpiRegister::Port(0x604, 2), "011000020406000000000000"},
        {AcpiRegister::Port(0x608, 4), "012000030806000000000000"},
        {{.size = 4, .access = 2, .address = 0x600},
         "012000020006000000000000"},
        {{.space = AcpiRegister::Space::kSystemMemory,
        .size = 1,
        .address = 0x123456789a},
         "000800019a78563412000000"}}) {
    TableBytes bytes;
    AppendAcpiRegister(bytes, row.reg);
    EXPECT_EQ(Hex(bytes.bytes()), row.hex);
    EXPECT_OK(row.reg.Validate("r"));
  }
}

TEST(AcpiRegisterTest, OddSizesAreRefused) {
  EXPECT_THAT(AcpiRegister::Port(0, 3).Validate("reset register"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ACPI reset register size is 3, expected 1, 2 or 4 "
                       "bytes"));
  EXPECT_THAT(AcpiRegister::Port(0, 0).Validate("x"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT((AcpiRegister{.size = 4, .access = 8}.Validate("x")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ACPI x access is 8, expected 0, 1, 2 or 4 bytes"));
}

TEST(AcpiTableDeathTest, SignatureHasFourCharacters) {
  EXPECT_DEATH((void)MakeAcpiTable({}, {.signature = "ABC"}, {}),
               "acpi_table.cc");
}

}  // namespace
}  // namespace libvmm
