// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/ecam.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_exerciser.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::testing::Each;

// Device 31, function 7, with an extended space; and device 0, function 0.
constexpr uint64_t kLast = 0xff000;
constexpr uint64_t kFirst = 0;

class PciEcamTest : public ::testing::Test {
 protected:
  PciEcamTest()
      : bus_(*PciBus::Create({.mmio = mmio_, .pio = pio_}, {})),
        extended_(MakeExtended()),
        first_(*bus_->Attach({}, exerciser_.function())),
        last_(*bus_->Attach({.device = 31, .function = 7}, *extended_)) {}

  static std::unique_ptr<PciFunction> MakeExtended() {
    PciFunction::Options options;
    options.vendor_id = 0x1234;
    options.device_id = 0x5678;
    options.extended_config = true;
    options.registers.push_back(
        {.offset = 0xff8, .size = 8, .writable = ~uint64_t{0}});
    return *PciFunction::Create(std::move(options));
  }

  template <typename T>
  T In(uint64_t offset) {
    T value = static_cast<T>(0x5a5a5a5a);
    EXPECT_EQ(ecam_.Read(offset, std::as_writable_bytes(std::span(&value, 1))),
              IoResult::kDone);
    return value;
  }
  template <typename T>
  void Out(uint64_t offset, T value) {
    EXPECT_EQ(ecam_.Write(offset, std::as_bytes(std::span(&value, 1))),
              IoResult::kDone);
  }

  IoBus mmio_{AddressSpace::kMmio};
  IoBus pio_{AddressSpace::kPio};
  PciExerciser exerciser_;
  std::unique_ptr<PciBus> bus_;
  std::unique_ptr<PciFunction> extended_;
  PciAttachment first_;
  PciAttachment last_;
  PciEcam ecam_{*bus_};
};

TEST_F(PciEcamTest, EachFunctionHasItsPage) {
  EXPECT_EQ(In<uint32_t>(kFirst), 0x10f01af4u);
  EXPECT_EQ(In<uint32_t>(kLast), 0x56781234u);
  EXPECT_EQ(In<uint32_t>(0x1000), 0xffffffffu);
  EXPECT_EQ(In<uint32_t>(kLast - 0x1000), 0xffffffffu);
}

TEST_F(PciEcamTest, OtherBusesAreEmpty) {
  EXPECT_EQ(PciEcam::Size(256), 256u << 20);
  EXPECT_EQ(In<uint32_t>(PciEcam::Size(1)), 0xffffffffu);
  EXPECT_EQ(In<uint32_t>(PciEcam::Size(255) + kLast), 0xffffffffu);
  EXPECT_EQ(In<uint32_t>(PciEcam::Size(256)), 0xffffffffu);
  EXPECT_EQ(In<uint32_t>(~uint64_t{3}), 0xffffffffu);
  Out<uint32_t>(PciEcam::Size(1) + 0x10, 0xffffffff);
  Out<uint32_t>(PciEcam::Size(256) + 0x10, 0xffffffff);
  EXPECT_EQ(In<uint32_t>(0x10), 0u);
}

TEST_F(PciEcamTest, AccessesOfAnySizeAndAlignment) {
  Out<uint64_t>(kFirst + 0x20, 0x1122334455667788);
  EXPECT_EQ(In<uint64_t>(kFirst + 0x20), 0x1122334455660004u);
  EXPECT_EQ(In<uint32_t>(kFirst + 0x23), 0x22334455u);
  EXPECT_EQ(In<uint64_t>(kFirst + 0x1d), 0x4455660004000000u);
  EXPECT_EQ(In<uint8_t>(kFirst + 0x27), 0x11u);
  Out<uint16_t>(kFirst + 0x23, 0xabcd);
  EXPECT_EQ(In<uint64_t>(kFirst + 0x20), 0x112233abcd660004u);
}

TEST_F(PciEcamTest, ExtendedRegisters) {
  Out<uint64_t>(kLast + 0xff8, 0x1122334455667788);
  EXPECT_EQ(In<uint64_t>(kLast + 0xff8), 0x1122334455667788u);
  EXPECT_EQ(In<uint8_t>(kLast + 0xfff), 0x11u);
  EXPECT_EQ(In<uint32_t>(kLast + 0x100), 0u);
  // A conventional function has none.
  EXPECT_EQ(In<uint32_t>(kFirst + 0x100), 0xffffffffu);
  Out<uint32_t>(kFirst + 0x100, 0);
}

TEST_F(PciEcamTest, AccessesThatLeaveAFunctionAreNobodys) {
  EXPECT_EQ(In<uint64_t>(kLast - 4), ~uint64_t{0});
  EXPECT_EQ(In<uint16_t>(kLast - 1), 0xffffu);
  Out<uint64_t>(kLast + 0xffc, 0);
  Out<uint64_t>(kLast + 0xff8, 0x1122334455667788);
  Out<uint32_t>(kLast + 0xffd, 0);
  EXPECT_EQ(In<uint64_t>(kLast + 0xff8), 0x1122334455667788u);
  EXPECT_EQ(In<uint32_t>(kLast + 0xffd), 0xffffffffu);
  std::vector<std::byte> page(4097);
  EXPECT_EQ(ecam_.Read(kFirst, page), IoResult::kDone);
  EXPECT_THAT(page, Each(std::byte{0xff}));
  page.resize(4096);
  EXPECT_EQ(ecam_.Read(kLast, page), IoResult::kDone);
  EXPECT_EQ(page[0], std::byte{0x34});
}

}  // namespace
}  // namespace libvmm
