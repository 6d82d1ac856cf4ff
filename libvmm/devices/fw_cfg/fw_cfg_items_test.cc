// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(FwCfgItemsTest, KeysThatCannotBe) {
  FwCfgItems items;
  for (const uint16_t key : {0x00, 0x01, 0x19, 0x20, 0x3fff}) {
    EXPECT_THAT(items.Add(static_cast<fw_cfg::Key>(key), {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("the device's own")))
        << key;
  }
  for (const uint16_t key : {0x4002, 0xc002}) {
    EXPECT_THAT(items.Add(static_cast<fw_cfg::Key>(key), {}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << key;
  }
  for (const uint16_t key : {0x02, 0x18, 0x1a, 0x1f, 0x8000, 0x8020, 0xbfff}) {
    EXPECT_OK(items.Add(static_cast<fw_cfg::Key>(key), {})) << key;
  }
}

TEST(FwCfgItemsTest, KeysAndNamesAreTakenOnce) {
  FwCfgItems items;
  ASSERT_OK(items.AddNumber<uint16_t>(fw_cfg::Key::kCpuCount, 1));
  EXPECT_THAT(items.AddNumber<uint16_t>(fw_cfg::Key::kCpuCount, 1),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("key 0x5")));
  ASSERT_OK(items.AddTextFile("a", "text"));
  EXPECT_THAT(
      items.AddNumberFile<uint8_t>("a", 1),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("file \"a\"")));
  EXPECT_TRUE(items.HasFile("a"));
  EXPECT_FALSE(items.HasFile("b"));
}

TEST(FwCfgItemsTest, NamesThatCannotBe) {
  FwCfgItems items;
  EXPECT_OK(items.AddFile(std::string(55, 'x'), {}));
  for (const std::string& name :
       {std::string(56, 'x'), std::string(), std::string("a\0b", 3)}) {
    EXPECT_THAT(items.AddFile(name, {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("a name has 1 to 55 characters")));
  }
}

TEST(FwCfgItemsTest, LazyFilesHaveAReaderAndASize) {
  FwCfgItems items;
  EXPECT_THAT(items.AddLazyFile("a", 1, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("reader of file \"a\" is null")));
  const auto reader = [](uint64_t, std::span<std::byte>) {};
  EXPECT_THAT(items.AddLazyFile("a", uint64_t{1} << 32, reader),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("file \"a\" has 4294967296 bytes")));
  EXPECT_OK(items.AddLazyFile("a", 0xffffffff, reader));
}

TEST(FwCfgItemsTest, KeysForFilesRunOut) {
  FwCfgItems items;
  for (int i = 0; i < 0x4000 - 0x20; ++i) {
    ASSERT_OK(items.AddFile(absl::StrCat("f", i), {}));
  }
  EXPECT_THAT(items.AddFile("one more", {}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("there are 16352 already")));
}

}  // namespace
}  // namespace libvmm
