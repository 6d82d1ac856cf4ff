// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/config_space.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/pci/pci_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint16_t kStatus = 0x06;
constexpr uint16_t kPointer = 0x34;

std::vector<uint8_t> ReadBytes(const PciConfigSpace& space, uint64_t offset,
                               size_t size) {
  std::vector<uint8_t> bytes(size, 0x5a);
  space.Read(offset, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void WriteBytes(PciConfigSpace& space, uint64_t offset,
                std::vector<uint8_t> bytes) {
  space.Write(offset, std::as_bytes(std::span(bytes)));
}

TEST(PciConfigSpaceTest, NumbersAreLittleEndian) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  space.Set<uint32_t>(0x40, 0x44332211);
  EXPECT_THAT(ReadBytes(space, 0x3f, 6),
              ElementsAre(0, 0x11, 0x22, 0x33, 0x44, 0));
  EXPECT_EQ(space.Get<uint16_t>(0x41), 0x3322);
  EXPECT_EQ(space.Get<uint8_t>(0x43), 0x44);
}

TEST(PciConfigSpaceTest, GuestWritesOnlyWritableBits) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  space.Set<uint32_t>(0x40, 0x5a5a5a5a);
  space.SetWritable<uint16_t>(0x41, 0xf00f);
  WriteBytes(space, 0x40, {0xff, 0xff, 0xff, 0xff});
  EXPECT_EQ(space.Get<uint32_t>(0x40), 0x5afa5f5au);
  WriteBytes(space, 0x40, {0, 0, 0, 0});
  EXPECT_EQ(space.Get<uint32_t>(0x40), 0x5a0a505au);
  EXPECT_EQ(space.Writable<uint32_t>(0x40), 0x00f00f00u);
}

TEST(PciConfigSpaceTest, BehindTheEndIsNothing) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  space.SetWritable<uint8_t>(0xff, 0xff);
  WriteBytes(space, 0xff, {1, 2, 3});
  EXPECT_THAT(ReadBytes(space, 0xff, 3), ElementsAre(1, 0xff, 0xff));
  EXPECT_THAT(ReadBytes(space, 0xffc, 4), ElementsAre(0xff, 0xff, 0xff, 0xff));
  EXPECT_THAT(ReadBytes(space, ~uint64_t{0}, 1), ElementsAre(0xff));
  WriteBytes(space, ~uint64_t{0}, {1});
}

TEST(PciConfigSpaceTest, CapabilitiesAreAListInOrderAtDwords) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  EXPECT_EQ(space.Get<uint16_t>(kStatus), 0);
  const std::array<uint8_t, 5> body{1, 2, 3, 4, 5};
  const std::array<uint8_t, 2> writable{0, 0x0f};
  ASSERT_OK_AND_ASSIGN(
      const uint16_t first,
      space.AddCapability(9, {.bytes = body, .writable = writable}));
  ASSERT_OK_AND_ASSIGN(const uint16_t second,
                       space.AddCapability(0x11, {.bytes = body}));
  EXPECT_EQ(first, 0x40);
  EXPECT_EQ(second, 0x48);
  EXPECT_EQ(space.Get<uint16_t>(kStatus), 1 << 4);
  EXPECT_EQ(space.Get<uint8_t>(kPointer), first);
  EXPECT_THAT(
      ReadBytes(space, 0x40, 16),
      ElementsAre(9, 0x48, 1, 2, 3, 4, 5, 0, 0x11, 0, 1, 2, 3, 4, 5, 0));
  WriteBytes(space, 0x40, std::vector<uint8_t>(16, 0xff));
  EXPECT_THAT(
      ReadBytes(space, 0x40, 16),
      ElementsAre(9, 0x48, 1, 0x0f, 3, 4, 5, 0, 0x11, 0, 1, 2, 3, 4, 5, 0));
}

TEST(PciConfigSpaceTest, ExtendedCapabilitiesAreAListOfTheirOwn) {
  PciConfigSpace space(pci::kExtendedConfigSize);
  const std::array<uint8_t, 6> body{1, 2, 3, 4, 5, 6};
  ASSERT_OK_AND_ASSIGN(
      const uint16_t first,
      space.AddExtendedCapability({.id = 3, .version = 2}, {.bytes = body}));
  ASSERT_OK_AND_ASSIGN(
      const uint16_t second,
      space.AddExtendedCapability({.id = 0x0b}, {.bytes = body}));
  EXPECT_EQ(first, 0x100);
  EXPECT_EQ(second, 0x10c);
  EXPECT_EQ(space.Get<uint32_t>(first), 0x10c20003u);
  EXPECT_EQ(space.Get<uint32_t>(second), 0x0001000bu);
  EXPECT_EQ(space.Get<uint32_t>(second + 4), 0x04030201u);
  EXPECT_EQ(space.Get<uint8_t>(kPointer), 0);
}

TEST(PciConfigSpaceTest, CapabilitiesThatDoNotFitChangeNothing) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  const std::vector<uint8_t> all(0x100 - 0x40 - 2, 7);
  const std::vector<uint8_t> too_much(all.size() + 1);
  EXPECT_THAT(space.AddCapability(9, {.bytes = too_much}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("193 bytes does not fit at 0x40")));
  EXPECT_EQ(space.Get<uint8_t>(kPointer), 0);
  ASSERT_OK(space.AddCapability(9, {.bytes = all}));
  EXPECT_EQ(space.Get<uint8_t>(0xff), 7);
  EXPECT_THAT(
      space.AddCapability(9, {}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at 0x100")));
  EXPECT_EQ(space.Get<uint8_t>(0x41), 0);
}

TEST(PciConfigSpaceTest, CapabilitiesThatCannotBeAreRefused) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  const std::array<uint8_t, 2> body{};
  const std::array<uint8_t, 3> writable{};
  EXPECT_THAT(space.AddCapability(9, {.bytes = body, .writable = writable}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("3 writable bytes in a body of 2")));
  EXPECT_THAT(space.AddExtendedCapability({}, {.bytes = body}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(PciConfigSpaceTest, ReadOnlyChangesAreFound) {
  PciConfigSpace space(pci::kConventionalConfigSize);
  space.SetWritable<uint8_t>(0x80, 0xf0);
  std::vector<uint8_t> values(space.values().begin(), space.values().end());
  values[0x80] = 0x50;
  EXPECT_EQ(space.FindReadOnlyChange(values), space.size());
  values[0x80] = 0x51;
  EXPECT_EQ(space.FindReadOnlyChange(values), 0x80);
  values[0x20] = 1;
  EXPECT_EQ(space.FindReadOnlyChange(values), 0x20);
  space.SetValues(values);
  EXPECT_EQ(space.FindReadOnlyChange(values), space.size());
  EXPECT_EQ(space.Get<uint8_t>(0x80), 0x51);
}

}  // namespace
}  // namespace libvmm
