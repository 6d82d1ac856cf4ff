// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/interrupt_swizzle.h"

#include <cstdint>

#include "gtest/gtest.h"
#include "libvmm/devices/pci/pci_address.h"

namespace libvmm {
namespace {

TEST(PciInterruptSwizzleTest, PinsRotateWithTheDevice) {
  constexpr PciInterruptSwizzle kSwizzle{.gsis = {16, 17, 18, 19}};
  const struct {
    PciAddress address;
    uint8_t pin;
    uint32_t gsi;
  } kTable[] = {
      {{.device = 0}, 1, 16},  {{.device = 0}, 4, 19},
      {{.device = 1}, 1, 17},  {{.device = 3}, 1, 19},
      {{.device = 3}, 2, 16},  {{.device = 31}, 1, 19},
      {{.device = 31}, 4, 18}, {{.device = 2, .function = 5}, 2, 19},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(kSwizzle.Gsi(row.address, row.pin), row.gsi);
  }
}

TEST(PciInterruptSwizzleTest, FirstShiftsAllDevices) {
  constexpr PciInterruptSwizzle kSwizzle{.gsis = {10, 10, 11, 11}, .first = 3};
  EXPECT_EQ(kSwizzle.Line({.device = 1}, 1), 0u);
  EXPECT_EQ(kSwizzle.Line({.device = 0}, 1), 3u);
  EXPECT_EQ(kSwizzle.Gsi({.device = 3}, 1), 11u);
}

TEST(PciAddressTest, DevfnAndBack) {
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const auto address = PciAddress::FromDevfn(static_cast<uint8_t>(devfn));
    EXPECT_TRUE(address.valid());
    EXPECT_EQ(address.devfn(), devfn);
  }
  EXPECT_EQ((PciAddress{.device = 3, .function = 2}).devfn(), 0x1a);
  EXPECT_FALSE((PciAddress{.device = 32}).valid());
  EXPECT_FALSE((PciAddress{.function = 8}).valid());
}

}  // namespace
}  // namespace libvmm
