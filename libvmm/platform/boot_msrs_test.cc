// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/boot_msrs.h"

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/cpuid_samples.h"

namespace libvmm {
namespace {

using ::libvmm::testing::AmdSample;
using ::libvmm::testing::IntelSample;

TEST(BootMsrsTest, ValuesAreThoseThatFirmwareLeaves) {
  const Msrs msrs = BootMsrs({}, AmdSample());
  for (const uint32_t index : {0x174u, 0x175u, 0x176u, 0xc0000081u, 0xc0000082u,
                               0xc0000083u, 0xc0000084u, 0xc0000102u, 0x10u}) {
    EXPECT_EQ(msrs.Find(index), 0u) << index;
  }
  EXPECT_EQ(msrs.Find(0x1a0), 1u);
  EXPECT_EQ(msrs.Find(0x2ff), 0x806u);
  EXPECT_EQ(msrs.size(), 11u);
}

TEST(BootMsrsTest, VmxIsUnlockedWhereTheGuestSeesIt) {
  EXPECT_EQ(BootMsrs({}, IntelSample()).Find(0x3a), 5u);
  EXPECT_EQ(BootMsrs({}, AmdSample()).Find(0x3a), std::nullopt);
  EXPECT_EQ(BootMsrs({}, Cpuid()).Find(0x3a), std::nullopt);
}

TEST(BootMsrsTest, OwnValuesReplaceOthersAndAreAdded) {
  CustomCpu own;
  own.msrs.Set({.index = 0x2ff, .value = 0xc06});
  own.msrs.Set({.index = 0x277, .value = 0x0007040600070406});
  const Msrs msrs = BootMsrs({.model = own}, AmdSample());
  EXPECT_EQ(msrs.Find(0x2ff), 0xc06u);
  EXPECT_EQ(msrs.Find(0x277), 0x0007040600070406u);
  EXPECT_EQ(msrs.size(), 12u);
}

}  // namespace
}  // namespace libvmm
