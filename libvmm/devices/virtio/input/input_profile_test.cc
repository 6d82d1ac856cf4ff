// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/input/input_profile.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/input/input_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using virtio::input::kDataSize;
using virtio::input::Select;

// What is shown, and that zeroes are behind it.
std::string Shown(const InputProfile& profile, Select select,
                  uint8_t subselect = 0) {
  std::array<std::byte, kDataSize> data;
  data.fill(std::byte{0xee});
  const size_t size =
      profile.Show(static_cast<uint8_t>(select), subselect, data);
  EXPECT_LE(size, kDataSize);
  for (const std::byte byte : std::span(data).subspan(size)) {
    EXPECT_EQ(byte, std::byte{0});
  }
  return std::string(reinterpret_cast<const char*>(data.data()), size);
}

InputProfile Example() {
  return {.name = "knob",
          .serial = "007",
          .ids = {.bus = 0x0102, .vendor = 0x0304, .product = 5, .version = 6},
          .properties = {1, 9},
          .events = {{.type = 1, .codes = {0, 7, 8, 1023}},
                     {.type = 3, .codes = {2}}},
          .axes = {{.code = 2,
                    .range = {.minimum = 1,
                              .maximum = 0x7fff,
                              .fuzz = 3,
                              .flat = 4,
                              .resolution = 5}}}};
}

TEST(InputProfileTest, ShowsWhatWasSelected) {
  const InputProfile profile = Example();
  ASSERT_OK(profile.Validate());
  EXPECT_EQ(Shown(profile, Select::kName), "knob");
  EXPECT_EQ(Shown(profile, Select::kSerial), "007");
  EXPECT_EQ(Shown(profile, Select::kIds),
            std::string("\x02\x01\x04\x03\x05\x00\x06\x00", 8));
  EXPECT_EQ(Shown(profile, Select::kProperties), "\x02\x02");
  std::string keys(128, '\0');
  keys[0] = static_cast<char>(0x81);
  keys[1] = 1;
  keys[127] = static_cast<char>(0x80);
  EXPECT_EQ(Shown(profile, Select::kEventCodes, 1), keys);
  EXPECT_EQ(Shown(profile, Select::kEventCodes, 3), "\x04");
  EXPECT_EQ(Shown(profile, Select::kAxis, 2),
            std::string("\1\0\0\0\xff\x7f\0\0\3\0\0\0\4\0\0\0\5\0\0\0", 20));
}

TEST(InputProfileTest, ShowsNothingForWhatThereIsNot) {
  const InputProfile profile = Example();
  EXPECT_EQ(Shown(profile, Select::kNothing), "");
  EXPECT_EQ(Shown(profile, Select::kName, 1), "");
  EXPECT_EQ(Shown(profile, Select::kSerial, 1), "");
  EXPECT_EQ(Shown(profile, Select::kIds, 255), "");
  EXPECT_EQ(Shown(profile, Select::kProperties, 1), "");
  EXPECT_EQ(Shown(profile, Select::kEventCodes, 2), "");
  EXPECT_EQ(Shown(profile, Select::kEventCodes, 255), "");
  EXPECT_EQ(Shown(profile, Select::kAxis, 1), "");
  EXPECT_EQ(Shown(profile, Select{0x13}), "");
  EXPECT_EQ(Shown(profile, Select{0xff}), "");
  EXPECT_EQ(Shown(InputProfile{}, Select::kName), "");
}

TEST(InputProfileTest, LongestTextsFit) {
  InputProfile profile = Example();
  profile.name = std::string(kDataSize, 'n');
  profile.serial = std::string(kDataSize, 's');
  ASSERT_OK(profile.Validate());
  EXPECT_EQ(Shown(profile, Select::kName), profile.name);
  EXPECT_EQ(Shown(profile, Select::kSerial), profile.serial);
}

TEST(InputProfileTest, ValidateNamesWhatCannotBe) {
  const struct {
    const char* message;
    void (*spoil)(InputProfile& profile);
  } kTable[] = {
      {"name has 129 bytes",
       [](InputProfile& p) { p.name = std::string(129, 'n'); }},
      {"serial has 129 bytes",
       [](InputProfile& p) { p.serial = std::string(129, 's'); }},
      {"properties has the code 1024",
       [](InputProfile& p) { p.properties.push_back(1024); }},
      {"events[0].codes has the code 1024",
       [](InputProfile& p) { p.events[0].codes.push_back(1024); }},
      {"events[2].type is 1, as that of another",
       [](InputProfile& p) { p.events.push_back({.type = 1}); }},
      {"axes[1].code is 3, which is none of the events",
       [](InputProfile& p) { p.axes.push_back({.code = 3}); }},
      {"axes[1].code is 2, as that of another",
       [](InputProfile& p) { p.axes.push_back({.code = 2}); }},
      {"events has the axis 2 and axes has not",
       [](InputProfile& p) { p.axes.clear(); }},
  };
  for (const auto& row : kTable) {
    InputProfile profile = Example();
    row.spoil(profile);
    EXPECT_THAT(profile.Validate(), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr(row.message)));
  }
}

TEST(InputProfileTest, HasItsOwnEventsOnly) {
  const InputProfile profile = Example();
  EXPECT_TRUE(profile.Has(1, 1023));
  EXPECT_TRUE(profile.Has(3, 2));
  EXPECT_FALSE(profile.Has(1, 2));
  EXPECT_FALSE(profile.Has(3, 7));
  EXPECT_FALSE(profile.Has(0, 0));
  EXPECT_FALSE(profile.Has(0x101, 7));
}

TEST(InputProfileTest, KeyboardHasKeysLightsAndRepeat) {
  const InputProfile profile = InputProfile::Keyboard();
  ASSERT_OK(profile.Validate());
  EXPECT_TRUE(profile.Has(input_code::kKey, 1));
  EXPECT_TRUE(profile.Has(input_code::kKey, 248));
  EXPECT_FALSE(profile.Has(input_code::kKey, 0));
  EXPECT_FALSE(profile.Has(input_code::kKey, input_code::kButtonLeft));
  EXPECT_EQ(Shown(profile, Select::kEventCodes, input_code::kLed), "\x07");
  EXPECT_EQ(Shown(profile, Select::kEventCodes, input_code::kRepeat), "\x03");
  EXPECT_EQ(Shown(profile, Select::kEventCodes, input_code::kAbsolute), "");
}

TEST(InputProfileTest, TabletHasTwoAxesAndButtons) {
  const InputProfile profile = InputProfile::Tablet();
  ASSERT_OK(profile.Validate());
  EXPECT_EQ(Shown(profile, Select::kEventCodes, input_code::kAbsolute), "\x03");
  for (const uint8_t axis : {0, 1}) {
    EXPECT_EQ(Shown(profile, Select::kAxis, axis).substr(0, 8),
              std::string("\0\0\0\0\xff\x7f\0\0", 8));
  }
  EXPECT_TRUE(profile.Has(input_code::kKey, input_code::kButtonExtra));
  EXPECT_TRUE(profile.Has(input_code::kRelative, input_code::kWheel));
}

}  // namespace
}  // namespace libvmm
