// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/rsdp.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {
namespace {

std::string Hex(std::span<const std::byte> bytes) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

TEST(RsdpTest, IsOfRevisionTwoWithTwoChecksums) {
  const std::vector<std::byte> rsdp = MakeRsdp({}, Gpa(0x1122334455667788));
  EXPECT_EQ(Hex(rsdp), absl::StrCat("5253442050545220", "18", "4c4942564d4d",
                                    "02", "00000000", "24000000",
                                    "8877665544332211", "78", "000000"));
  EXPECT_EQ(ChecksumOf(std::span(rsdp).first(20)), 0);
  EXPECT_EQ(ChecksumOf(rsdp), 0);
}

TEST(XsdtTest, ListsTheTables) {
  const Gpa tables[] = {Gpa(0xe0070), Gpa(0x1'0000'0000)};
  const std::vector<std::byte> xsdt = MakeXsdt({}, tables);
  EXPECT_EQ(ChecksumOf(xsdt), 0);
  EXPECT_EQ(Hex(xsdt).substr(0, 18),
            "58534454"
            "34000000"
            "01");
  EXPECT_EQ(Hex(xsdt).substr(72),
            "70000e0000000000"
            "0000000001000000");
}

}  // namespace
}  // namespace libvmm
