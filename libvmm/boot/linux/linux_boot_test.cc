// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/linux_boot.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(LinuxBootOptionsTest, WithinItsLimitsAllIsValid) {
  LinuxBootOptions options;
  EXPECT_OK(options.Validate(0));
  for (uint64_t i = 0; i < 128; ++i) {
    ASSERT_OK(options.memory_map.Add({Gpa(i * 0x2000), 1}, E820Type::kRam));
  }
  ASSERT_OK(options.command_line.Append(std::string(100, 'x')));
  const std::vector<std::byte> seed(4096);
  options.random_seed = seed;
  EXPECT_OK(options.Validate(100));
}

TEST(LinuxBootOptionsTest, BeyondALimitTheMessageNamesIt) {
  LinuxBootOptions map;
  for (uint64_t i = 0; i < 129; ++i) {
    ASSERT_OK(map.memory_map.Add({Gpa(i * 0x2000), 1}, E820Type::kRam));
  }
  EXPECT_THAT(
      map.Validate(100),
      StatusIs(kInvalid,
               "number of memory map entries is 129, at most 128 is possible"));

  LinuxBootOptions line;
  ASSERT_OK(line.command_line.Append(std::string(101, 'x')));
  EXPECT_THAT(
      line.Validate(100),
      StatusIs(kInvalid, "command line size is 101, at most 100 is possible"));

  const std::vector<std::byte> seed(4097);
  EXPECT_THAT(
      LinuxBootOptions{.random_seed = seed}.Validate(100),
      StatusIs(kInvalid, "random seed size is 4097, at most 4096 is possible"));

  // Never touched.
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion four_gib,
      MemoryRegion::Anonymous({.size = uint64_t{1} << 32, .no_reserve = true}));
  LinuxBootOptions initrd{.initrd = four_gib.bytes()};
  EXPECT_THAT(initrd.Validate(100),
              StatusIs(kInvalid,
                       "initrd size is 4294967296, at most 4294967295 is "
                       "possible"));
  initrd.initrd = initrd.initrd.subspan(1);
  EXPECT_OK(initrd.Validate(100));
}

}  // namespace
}  // namespace libvmm
