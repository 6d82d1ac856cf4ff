// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_resources.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace libvmm::aml {
namespace {

// The descriptors: without the buffer around them, whose head is four bytes up
// to a size of 60, and without the end tag, which is checked.
std::string Hex(const ResourceTemplate& resources) {
  const Term term = resources.ToTerm();
  const std::string hex = absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(term.bytes().data()), term.bytes().size()));
  EXPECT_EQ(hex.substr(0, 2), "11");
  EXPECT_EQ(hex.substr(hex.size() - 4), "7900");
  return hex.substr(8, hex.size() - 12);
}

TEST(AmlResourcesTest, EmptyTemplateIsAnEndTag) {
  const Term term = ResourceTemplate().ToTerm();
  EXPECT_EQ(absl::BytesToHexString(absl::string_view(
                reinterpret_cast<const char*>(term.bytes().data()),
                term.bytes().size())),
            "11050a027900");
}

TEST(AmlResourcesTest, Ports) {
  EXPECT_EQ(Hex(ResourceTemplate().Ports({.first = 0x3f8, .count = 8})),
            "4701f803f8030108");
}

TEST(AmlResourcesTest, IsaInterruptIsABitMask) {
  EXPECT_EQ(Hex(ResourceTemplate().IsaInterrupt(0)), "220100");
  EXPECT_EQ(Hex(ResourceTemplate().IsaInterrupt(12)), "220010");
}

TEST(AmlResourcesTest, InterruptFlags) {
  struct Row {
    Trigger trigger;
    Polarity polarity;
    const char* hex;
  };
  for (const Row& row :
       {Row{Trigger::kEdge, Polarity::kActiveHigh, "890600030144332211"},
        {Trigger::kLevel, Polarity::kActiveHigh, "890600010144332211"},
        {Trigger::kLevel, Polarity::kActiveLow, "890600050144332211"},
        {Trigger::kEdge, Polarity::kActiveLow, "890600070144332211"}}) {
    EXPECT_EQ(Hex(ResourceTemplate().Interrupt(0x11223344, row.trigger,
                                               row.polarity)),
              row.hex);
  }
}

TEST(AmlResourcesTest, MemoryIsFixed32UpTo4GiB) {
  EXPECT_EQ(Hex(ResourceTemplate().Memory({Gpa(0xd0001000), 0x1000})),
            "86090001"
            "001000d0"
            "00100000");
  EXPECT_EQ(Hex(ResourceTemplate().Memory({Gpa(0xffff0000), 0x10000})),
            "86090001"
            "0000ffff"
            "00000100");
}

TEST(AmlResourcesTest, MemoryIsQWordAbove) {
  EXPECT_EQ(Hex(ResourceTemplate().Memory({Gpa(0x100000000), 0x1000})),
            "8a2b00"
            "00"
            "0d"
            "01"
            "0000000000000000"
            "0000000001000000"
            "ff0f000001000000"
            "0000000000000000"
            "0010000000000000");
  EXPECT_EQ(
      Hex(ResourceTemplate().Memory({Gpa(0xfffff000), 0x2000})).substr(0, 2),
      "8a");
}

// 4 GiB in one piece end below 4 GiB, but 32 bits do not count them.
TEST(AmlResourcesTest, AllOf4GiBIsAQWord) {
  const GpaRange all = {Gpa(0), uint64_t{1} << 32};
  EXPECT_EQ(Hex(ResourceTemplate().Memory(all)).substr(0, 2), "8a");
  EXPECT_EQ(Hex(ResourceTemplate().MemoryRange({.range = all})).substr(0, 2),
            "8a");
  const GpaRange most = {Gpa(1), (uint64_t{1} << 32) - 1};
  EXPECT_EQ(Hex(ResourceTemplate().MemoryRange({.range = most})).substr(0, 2),
            "87");
}

TEST(AmlResourcesTest, BusRange) {
  EXPECT_EQ(Hex(ResourceTemplate().BusRange({.first = 0, .last = 255})),
            "880d00"
            "02"
            "0c"
            "00"
            "0000"
            "0000"
            "ff00"
            "0000"
            "0001");
}

TEST(AmlResourcesTest, IoRange) {
  EXPECT_EQ(Hex(ResourceTemplate().IoRange({.first = 0xd00, .last = 0xffff})),
            "880d00"
            "01"
            "0c"
            "03"
            "0000"
            "000d"
            "ffff"
            "0000"
            "00f3");
  // All ports are one more than 16 bits count.
  EXPECT_EQ(Hex(ResourceTemplate().IoRange({.first = 0, .last = 0xffff})),
            "871700"
            "01"
            "0c"
            "03"
            "00000000"
            "00000000"
            "ffff0000"
            "00000000"
            "00000100");
}

TEST(AmlResourcesTest, MemoryRange) {
  EXPECT_EQ(Hex(ResourceTemplate().MemoryRange(
                {.range = {Gpa(0xc0000000), 0x10000000}})),
            "871700"
            "00"
            "0c"
            "01"
            "00000000"
            "000000c0"
            "ffffffcf"
            "00000000"
            "00000010");
  EXPECT_EQ(
      Hex(ResourceTemplate().MemoryRange(
          {.range = {Gpa(0x8000000000), 0x100000000}, .prefetchable = true})),
      "8a2b00"
      "00"
      "0c"
      "07"
      "0000000000000000"
      "0000000080000000"
      "ffffffff80000000"
      "0000000000000000"
      "0000000001000000");
}

TEST(AmlResourcesTest, DescriptorsKeepTheirOrder) {
  EXPECT_EQ(Hex(ResourceTemplate()
                    .IsaInterrupt(1)
                    .Ports({.first = 0x60, .count = 1})
                    .IsaInterrupt(2)),
            "220200"
            "4701600060000101"
            "220400");
}

TEST(AmlResourcesDeathTest, MisuseAborts) {
  ResourceTemplate resources;
  EXPECT_DEATH(resources.IsaInterrupt(16), "aml_resources.cc");
  EXPECT_DEATH(resources.Memory({Gpa(0x1000), 0}), "aml_resources.cc");
  EXPECT_DEATH(resources.Memory({Gpa(~uint64_t{0}), 2}), "aml_resources.cc");
  EXPECT_DEATH(resources.IoRange({.first = 2, .last = 1}), "aml_resources.cc");
  EXPECT_DEATH(resources.BusRange({.first = 2, .last = 1}), "aml_resources.cc");
  EXPECT_DEATH(resources.MemoryRange({.range = {Gpa(0), 0}}),
               "aml_resources.cc");
}

}  // namespace
}  // namespace libvmm::aml
