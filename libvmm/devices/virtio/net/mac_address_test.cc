// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/mac_address.h"

#include <array>
#include <span>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(MacAddressTest, TextGoesThereAndBack) {
  const auto address = MacAddress::Parse("52:54:00:Ab:cD:0f");
  ASSERT_TRUE(address.ok());
  EXPECT_EQ(address->bytes(),
            (std::array<uint8_t, 6>{0x52, 0x54, 0, 0xab, 0xcd, 0x0f}));
  EXPECT_EQ(address->ToString(), "52:54:00:ab:cd:0f");
}

TEST(MacAddressTest, OtherTextsAreRefusedWithWhatTheyAre) {
  for (const char* const text :
       {"", "52:54:00:ab:cd", "52:54:00:ab:cd:0f:11", "52-54-00-ab-cd-0f",
        "5:54:00:ab:cd:0f", "52:54:00:ab:cd:0g", "52:54:00:ab:cd:0f "}) {
    EXPECT_THAT(MacAddress::Parse(text).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string("\"") + text + "\"")));
  }
}

TEST(MacAddressTest, GroupsAreToldFromInterfaces) {
  EXPECT_FALSE(MacAddress({2, 0, 0, 0, 0, 1}).is_group());
  EXPECT_TRUE(MacAddress({1, 0, 0x5e, 0, 0, 1}).is_group());
  EXPECT_FALSE(MacAddress({1, 0, 0x5e, 0, 0, 1}).is_broadcast());
  EXPECT_TRUE(MacAddress({255, 255, 255, 255, 255, 255}).is_broadcast());
  EXPECT_TRUE(MacAddress().is_zero());
  EXPECT_FALSE(MacAddress({0, 0, 0, 0, 0, 1}).is_zero());
}

TEST(MacAddressTest, BytesAndWordAreTheSame) {
  const MacAddress address({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(address.ToWord(), 0x060504030201u);
  EXPECT_EQ(MacAddress::FromWord(0x060504030201u), address);
  EXPECT_EQ(MacAddress::FromBytes(
                std::as_bytes(std::span<const uint8_t, 6>(address.bytes()))),
            address);
}

}  // namespace
}  // namespace libvmm
