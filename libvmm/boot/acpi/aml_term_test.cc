// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_term.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace libvmm::aml {
namespace {

std::string Hex(const Term& term) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(term.bytes().data()), term.bytes().size()));
}

std::string HexOf(absl::string_view text) {
  return absl::BytesToHexString(text);
}

TEST(AmlTermTest, IntegersTakeTheirShortestForm) {
  struct Row {
    uint64_t value;
    const char* hex;
  };
  for (const Row& row : {Row{0, "00"},
                         {1, "01"},
                         {2, "0a02"},
                         {0xff, "0aff"},
                         {0x100, "0b0001"},
                         {0xffff, "0bffff"},
                         {0x10000, "0c00000100"},
                         {0xffff'ffff, "0cffffffff"},
                         {0x1'0000'0000, "0e0000000001000000"},
                         {~uint64_t{0}, "0effffffffffffffff"}}) {
    EXPECT_EQ(Hex(Integer(row.value)), row.hex) << row.value;
  }
}

TEST(AmlTermTest, StringEndsWithNul) {
  EXPECT_EQ(Hex(String("AB")), "0d414200");
  EXPECT_EQ(Hex(String("")), "0d00");
}

TEST(AmlTermTest, EisaIdIsHighByteFirst) {
  EXPECT_EQ(Hex(EisaId("PNP0A03")), "0c41d00a03");
  EXPECT_EQ(Hex(EisaId("PNP0501")), "0c41d00501");
  EXPECT_EQ(Hex(EisaId("ABC1f2E")), "0c04431f2e");
}

TEST(AmlTermTest, UuidSwapsItsFirstThreeGroups) {
  EXPECT_EQ(Hex(Uuid("00112233-4455-6677-8899-aabbccddeeff")),
            "11130a1033221100554477668899aabbccddeeff");
}

TEST(AmlTermTest, BufferGivesItsSizeTwice) {
  const std::vector<std::byte> two = {std::byte{0xaa}, std::byte{0xbb}};
  EXPECT_EQ(Hex(Buffer(two)), "11050a02aabb");
  EXPECT_EQ(Hex(Buffer({})), "110200");
}

// A package of zeros is one byte for each, behind its count: the length field
// changes its own size where the content passes 62, and 4093 bytes.
TEST(AmlTermTest, PackageLengthCountsItself) {
  const auto package = [](size_t zeros) {
    return Hex(Package(std::vector<Term>(zeros, Integer(0))));
  };
  EXPECT_EQ(package(0), "120200");
  EXPECT_EQ(package(61).substr(0, 8), "123f3d00");   // 63, one byte
  EXPECT_EQ(package(62).substr(0, 8), "1241043e");   // 65, two bytes
  EXPECT_EQ(package(255).substr(0, 8), "124210ff");  // 258
  // Buffers, with a size of three bytes in front of the content.
  const auto buffer = [](size_t size) {
    return Hex(Buffer(std::vector<std::byte>(size))).substr(0, 16);
  };
  EXPECT_EQ(buffer(4090), "114fff0bfa0f0000");      // 4095, two bytes
  EXPECT_EQ(buffer(4091), "118100010bfb0f00");      // 4097, three bytes
  EXPECT_EQ(buffer(0x100000), "11c90000010c0000");  // 1 MiB + 9, four
}

TEST(AmlTermTest, PackageHoldsItsElements) {
  EXPECT_EQ(Hex(Package({Integer(5), Integer(0), Package({Integer(1)})})),
            "1209030a0500"
            "12030101");
}

TEST(AmlTermTest, NamesAreSegmentsOfFour) {
  struct Row {
    const char* path;
    std::string hex;
  };
  for (const Row& row : {Row{"A", HexOf("A___")},
                         {"_HID", HexOf("_HID")},
                         {"\\", "5c00"},
                         {"\\_S5_", "5c" + HexOf("_S5_")},
                         {"^CRES", "5e" + HexOf("CRES")},
                         {"^^X1", "5e5e" + HexOf("X1__")},
                         {"\\_SB.PCI0", "5c2e" + HexOf("_SB_PCI0")},
                         {"A.B.C", "2f03" + HexOf("A___B___C___")},
                         {"^A.B", "5e2e" + HexOf("A___B___")}}) {
    EXPECT_EQ(Hex(Name(row.path)), row.hex) << row.path;
  }
}

TEST(AmlTermTest, ExpressionsArePrefixed) {
  struct Row {
    Term term;
    const char* hex;
  };
  const Term a = Local(1);
  const Term b = Arg(2);
  for (const Row& row : {Row{Local(0), "60"},
                         {Local(7), "67"},
                         {Arg(0), "68"},
                         {Arg(6), "6e"},
                         {NoTarget(), "00"},
                         {Add(a, b), "72616a00"},
                         {Add(a, b, Local(2)), "72616a62"},
                         {Subtract(a, b), "74616a00"},
                         {ShiftLeft(a, b), "79616a00"},
                         {ShiftRight(a, b), "7a616a00"},
                         {And(a, b), "7b616a00"},
                         {Or(a, b), "7d616a00"},
                         {Or(a, b, a), "7d616a61"},
                         {Not(a), "806100"},
                         {SizeOf(a), "8761"},
                         {Index(a, b), "88616a00"},
                         {DerefOf(a), "8361"},
                         {LogicalAnd(a, b), "90616a"},
                         {LogicalOr(a, b), "91616a"},
                         {LogicalNot(a), "9261"},
                         {Equal(a, b), "93616a"},
                         {NotEqual(a, b), "9293616a"},
                         {Greater(a, b), "94616a"},
                         {Less(a, b), "95616a"}}) {
    EXPECT_EQ(Hex(row.term), row.hex);
  }
}

TEST(AmlTermTest, CallIsTheNameAndTheArguments) {
  EXPECT_EQ(Hex(Call("\\_SB.DO", {Integer(1), Local(0)})),
            absl::StrCat("5c2e", HexOf("_SB_DO__"), "0160"));
}

TEST(AmlTermDeathTest, MisuseAborts) {
  for (const char* path :
       {"", "^", "ABCDE", "a", "1A", "A.", ".A", "A..B", "A B", "\\^A", "A^"}) {
    EXPECT_DEATH((void)Name(path), "aml_encoding.cc") << path;
  }
  EXPECT_DEATH((void)EisaId("PNP0A0"), "aml_term.cc");
  EXPECT_DEATH((void)EisaId("pnp0A03"), "aml_term.cc");
  EXPECT_DEATH((void)EisaId("PNP0G03"), "aml_term.cc");
  EXPECT_DEATH((void)Uuid("00112233-4455-6677-8899-aabbccddeef"),
               "aml_term.cc");
  EXPECT_DEATH((void)Uuid("00112233-4455-6677-8899-aabbccddeefg"),
               "aml_term.cc");
  EXPECT_DEATH((void)Uuid("001122334-455-6677-8899-aabbccddeeff"),
               "aml_term.cc");
  EXPECT_DEATH((void)String("\x80"), "aml_term.cc");
  EXPECT_DEATH((void)String(absl::string_view("\0", 1)), "aml_term.cc");
  EXPECT_DEATH((void)Local(8), "aml_term.cc");
  EXPECT_DEATH((void)Arg(7), "aml_term.cc");
  EXPECT_DEATH((void)Package(std::vector<Term>(256, Integer(0))),
               "aml_term.cc");
}

}  // namespace
}  // namespace libvmm::aml
