// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/tables/table_bytes.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace libvmm {
namespace {

std::string Hex(std::span<const std::byte> bytes) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

TEST(TableBytesTest, IntegersAreLittleEndian) {
  TableBytes bytes;
  bytes.U8(0x12).U16(0x3456).U32(0x789abcde).U64(0x0123456789abcdef);
  EXPECT_EQ(Hex(bytes.bytes()), "125634debc9a78efcdab8967452301");
  EXPECT_EQ(bytes.size(), 15u);
}

TEST(TableBytesTest, TextFillsOrIsCutToItsField) {
  TableBytes bytes;
  bytes.Text("ab").Text("cd", 4).Text("efgh", 2).Text("i", 3, '\0');
  EXPECT_EQ(Hex(bytes.bytes()),
            Hex(std::as_bytes(std::span("abcd  efi\0\0", 11))));
  bytes.Text("", 0).Text("");
  EXPECT_EQ(bytes.size(), 11u);
}

TEST(TableBytesTest, AlignsWithZeros) {
  TableBytes bytes;
  bytes.AlignTo(8);
  EXPECT_EQ(bytes.size(), 0u);
  bytes.U8(0xff).AlignTo(4);
  EXPECT_EQ(Hex(bytes.bytes()), "ff000000");
  bytes.AlignTo(4).Zeros(2);
  EXPECT_EQ(bytes.size(), 6u);
}

TEST(TableBytesTest, PatchesOverwrite) {
  TableBytes bytes;
  bytes.Zeros(16);
  bytes.PatchU8(0, 0x11);
  bytes.PatchU16(1, 0x2233);
  bytes.PatchU32(3, 0x44556677);
  bytes.PatchU64(8, 0x8899aabbccddeeff);
  EXPECT_EQ(Hex(bytes.bytes()),
            "11332277665544"
            "00"
            "ffeeddccbbaa9988");
}

TEST(TableBytesTest, TakeGivesTheBytes) {
  TableBytes bytes;
  bytes.U16(0x0201);
  EXPECT_EQ(std::move(bytes).Take(),
            (std::vector<std::byte>{std::byte{1}, std::byte{2}}));
}

TEST(TableBytesDeathTest, PatchOutsideAborts) {
  TableBytes bytes;
  bytes.Zeros(4);
  bytes.PatchU32(0, 1);
  EXPECT_DEATH(bytes.PatchU32(1, 1), "table_bytes.cc");
  EXPECT_DEATH(bytes.PatchU8(4, 1), "table_bytes.cc");
}

TEST(ChecksumOfTest, MakesTheSumZero) {
  TableBytes bytes;
  EXPECT_EQ(ChecksumOf(bytes.bytes()), 0);
  bytes.U8(0x01).U8(0x02);
  EXPECT_EQ(ChecksumOf(bytes.bytes()), 0xfd);
  bytes.U8(0xff).U8(0xfe);
  EXPECT_EQ(ChecksumOf(bytes.bytes()), 0x00);
}

}  // namespace
}  // namespace libvmm
