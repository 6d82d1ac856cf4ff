// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_writer.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace libvmm::aml {
namespace {

std::string Hex(const Writer& writer) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(writer.bytes().data()),
                        writer.bytes().size()));
}

std::string HexOf(absl::string_view text) {
  return absl::BytesToHexString(text);
}

TEST(AmlWriterTest, NameIsPathAndValue) {
  Writer aml;
  aml.Name("_UID", Integer(3));
  EXPECT_EQ(Hex(aml), absl::StrCat("08", HexOf("_UID"), "0a03"));
}

TEST(AmlWriterTest, BodiesNest) {
  Writer aml;
  aml.Scope("\\_SB_", [&] {
    aml.Device("DEV0", [&] { aml.Name("_UID", Integer(0)); });
    aml.Device("DEV1", [&] {});
  });
  aml.Name("X", Integer(1));
  const std::string dev0 =
      absl::StrCat("5b820b", HexOf("DEV0"), "08", HexOf("_UID"), "00");
  const std::string dev1 = absl::StrCat("5b8205", HexOf("DEV1"));
  EXPECT_EQ(Hex(aml), absl::StrCat("101a5c", HexOf("_SB_"), dev0, dev1, "08",
                                   HexOf("X___"), "01"));
}

TEST(AmlWriterTest, MethodHasFlags) {
  Writer aml;
  aml.Method("_STA", {}, [&] { aml.Return(Integer(15)); });
  EXPECT_EQ(Hex(aml), absl::StrCat("1409", HexOf("_STA"), "00", "a40a0f"));
  Writer serialized;
  serialized.Method("M", {.argument_count = 7, .serialized = true}, [] {});
  EXPECT_EQ(Hex(serialized), absl::StrCat("1406", HexOf("M___"), "0f"));
}

TEST(AmlWriterTest, BranchesAndLoops) {
  Writer aml;
  aml.If(Equal(Arg(0), Integer(1)), [&] { aml.Store(Integer(2), Local(0)); });
  aml.Else([&] { aml.Notify("\\_SB.PWRB", 0x80); });
  aml.While(Less(Local(0), Integer(9)),
            [&] { aml.Evaluate(Add(Local(0), Integer(1), Local(0))); });
  EXPECT_EQ(Hex(aml),
            absl::StrCat("a008", "936801", "700a0260",                 //
                         "a10e", "865c2e", HexOf("_SB_PWRB"), "0a80",  //
                         "a209", "95600a09", "72600160"));
}

TEST(AmlWriterTest, RegionsAndFields) {
  Writer aml;
  aml.OperationRegion("REG", RegionSpace::kSystemIo, 0x505, 1);
  const FieldUnit units[] = {{"LOW", 4}, {"", 100}, {"HIGH", 8}};
  aml.Field("REG", FieldAccess::kByte, units);
  EXPECT_EQ(Hex(aml),
            absl::StrCat("5b80", HexOf("REG_"), "01", "0b0505", "01",  //
                         "5b8113", HexOf("REG_"), "01",                //
                         HexOf("LOW_"), "04", "004406", HexOf("HIGH"), "08"));
}

TEST(AmlWriterTest, RegionSpacesAndAccessWidths) {
  Writer aml;
  aml.OperationRegion("REG", RegionSpace::kPciConfig, 0, 256);
  aml.Field("REG", FieldAccess::kQWord, {});
  EXPECT_EQ(Hex(aml), absl::StrCat("5b80", HexOf("REG_"), "02", "00",
                                   "0b0001",  //
                                   "5b8106", HexOf("REG_"), "04"));
}

TEST(AmlWriterTest, FieldInABuffer) {
  Writer aml;
  aml.CreateDWordField(Arg(3), Integer(8), "CDW3");
  EXPECT_EQ(Hex(aml), absl::StrCat("8a6b0a08", HexOf("CDW3")));
}

TEST(AmlWriterTest, LongBodiesHaveLongLengths) {
  Writer aml;
  aml.Scope("A", [&] {
    for (int i = 0; i < 20; ++i) aml.Name("B", Integer(0));
  });
  // Two bytes of length, the path, and 20 names of 6.
  EXPECT_EQ(Hex(aml).substr(0, 14), absl::StrCat("104e07", HexOf("A___")));
  EXPECT_EQ(aml.bytes().size(), 1u + 2 + 4 + 20 * 6);
}

TEST(AmlWriterDeathTest, MisuseAborts) {
  Writer aml;
  EXPECT_DEATH(aml.Device("TOOLONG", [] {}), "aml_encoding.cc");
  EXPECT_DEATH(aml.Method("M", {.argument_count = 8}, [] {}), "aml_writer.cc");
  const FieldUnit unit = {"A.B", 1};
  EXPECT_DEATH(aml.Field("R", FieldAccess::kAny, {&unit, 1}),
               "aml_encoding.cc");
  const FieldUnit huge = {"A", 1u << 28};
  EXPECT_DEATH(aml.Field("R", FieldAccess::kAny, {&huge, 1}),
               "aml_encoding.cc");
}

}  // namespace
}  // namespace libvmm::aml
