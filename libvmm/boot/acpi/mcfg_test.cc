// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/mcfg.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {
namespace {

TEST(McfgTest, HasAnEntryForEachWindow) {
  const AcpiEcam windows[] = {{.bus_0 = Gpa(0xe0000000)},
                              {.bus_0 = Gpa(0x40'0000'0000),
                               .segment = 0x102,
                               .buses = {.first = 3, .last = 4}}};
  const std::vector<std::byte> table = MakeMcfg({}, windows);
  EXPECT_EQ(ChecksumOf(table), 0);
  const absl::string_view text(reinterpret_cast<const char*>(table.data()),
                               table.size());
  EXPECT_EQ(text.substr(0, 4), "MCFG");
  EXPECT_EQ(text[8], 1) << "revision";
  EXPECT_EQ(absl::BytesToHexString(text.substr(kAcpiTableHeaderSize)),
            absl::StrCat("0000000000000000",                          //
                         "000000e000000000", "0000", "00ff00000000",  //
                         "0000000040000000", "0201", "030400000000"));
}

TEST(McfgTest, RangeIsThatOfTheBuses) {
  EXPECT_EQ(AcpiEcam{.bus_0 = Gpa(0xe0000000)}.range(),
            (GpaRange{Gpa(0xe0000000), 256 << 20}));
  EXPECT_EQ(
      (AcpiEcam{.bus_0 = Gpa(0xe0000000), .buses = {.first = 3, .last = 4}}
           .range()),
      (GpaRange{Gpa(0xe0300000), 2 << 20}));
}

}  // namespace
}  // namespace libvmm
