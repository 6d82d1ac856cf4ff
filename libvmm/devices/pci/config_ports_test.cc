// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/config_ports.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_exerciser.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kAddress = 0;
constexpr uint64_t kData = 4;
constexpr uint32_t kEnable = 0x80000000;
// Device 2, function 1.
constexpr uint32_t kFunction = kEnable | 2 << 11 | 1 << 8;

class PciConfigPortsTest : public ::testing::Test {
 protected:
  PciConfigPortsTest()
      : bus_(*PciBus::Create({.mmio = mmio_, .pio = pio_}, {})),
        place_(
            *bus_->Attach({.device = 2, .function = 1}, exerciser_.function())),
        ports_(*bus_, {.reset_control = reset_control_.get()}) {}

  template <typename T>
  T In(uint64_t offset) {
    T value = static_cast<T>(0x5a5a5a5a);
    EXPECT_EQ(ports_.Read(offset, std::as_writable_bytes(std::span(&value, 1))),
              IoResult::kDone);
    return value;
  }
  template <typename T>
  void Out(uint64_t offset, T value) {
    EXPECT_EQ(ports_.Write(offset, std::as_bytes(std::span(&value, 1))),
              IoResult::kDone);
  }
  void Select(uint32_t address) { Out<uint32_t>(kAddress, address); }

  IoBus mmio_{AddressSpace::kMmio};
  IoBus pio_{AddressSpace::kPio};
  PciExerciser exerciser_;
  std::vector<uint64_t> resets_;
  uint8_t reset_value_ = 0;
  std::unique_ptr<IoDevice> reset_control_ = MakeIoDevice(
      [this](uint64_t offset, std::span<std::byte> data) {
        resets_.push_back(offset);
        data[0] = std::byte{reset_value_};
      },
      [this](uint64_t offset, std::span<const std::byte> data) {
        resets_.push_back(offset);
        reset_value_ = static_cast<uint8_t>(data[0]);
        return IoResult::kStop;
      });
  std::unique_ptr<PciBus> bus_;
  PciAttachment place_;
  PciConfigPorts ports_;
};

TEST_F(PciConfigPortsTest, AddressKeepsItsBits) {
  EXPECT_EQ(In<uint32_t>(kAddress), 0u);
  Select(0xffffffff);
  EXPECT_EQ(In<uint32_t>(kAddress), 0x80fffffcu);
  Select(kEnable);
  EXPECT_EQ(In<uint32_t>(kAddress), kEnable);
}

TEST_F(PciConfigPortsTest, DataInAnyBytes) {
  Select(kFunction | 0x10);
  Out<uint32_t>(kData, 0x12345678);
  EXPECT_EQ(In<uint32_t>(kData), 0x12345000u);
  EXPECT_EQ(In<uint16_t>(kData), 0x5000u);
  EXPECT_EQ(In<uint16_t>(kData + 1), 0x3450u);
  EXPECT_EQ(In<uint16_t>(kData + 2), 0x1234u);
  EXPECT_EQ(In<uint8_t>(kData + 3), 0x12u);
  Out<uint16_t>(kData + 1, 0xabcd);
  EXPECT_EQ(In<uint32_t>(kData), 0x12abc000u);
  Out<uint8_t>(kData + 3, 0xee);
  EXPECT_EQ(In<uint32_t>(kData), 0xeeabc000u);
  std::vector<std::byte> three(3, std::byte{0x77});
  EXPECT_EQ(ports_.Write(kData + 1, three), IoResult::kDone);
  EXPECT_EQ(In<uint32_t>(kData), 0x77777000u);
}

TEST_F(PciConfigPortsTest, ReachesTheLastRegisterAndNoFurther) {
  Select(kFunction | 0xff);
  EXPECT_EQ(In<uint32_t>(kAddress), kFunction | 0xfc);
  EXPECT_EQ(In<uint32_t>(kData), 0u);
  EXPECT_EQ(In<uint8_t>(kData + 3), 0u);
}

TEST_F(PciConfigPortsTest, OtherFunctionsAndBusesAreAbsent) {
  Select(kFunction);
  EXPECT_EQ(In<uint32_t>(kData), 0x10f01af4u);
  for (const uint32_t address :
       {kEnable, kEnable | 2 << 11, kFunction | 1 << 9, kFunction | 1 << 16,
        kFunction | 0xff0000, kFunction & ~kEnable}) {
    Select(address);
    EXPECT_EQ(In<uint32_t>(kData), 0xffffffffu) << std::hex << address;
    Out<uint32_t>(kData, 0);
  }
}

TEST_F(PciConfigPortsTest, DisabledDataIsDropped) {
  Select((kFunction | 0x10) & ~kEnable);
  Out<uint32_t>(kData, 0xffffffff);
  Select(kFunction | 1 << 16 | 0x10);
  Out<uint32_t>(kData, 0xffffffff);
  Select(kFunction | 0x10);
  EXPECT_EQ(In<uint32_t>(kData), 0u);
}

TEST_F(PciConfigPortsTest, SmallAccessesPassTheAddressBy) {
  Select(kFunction | 0x10);
  for (uint64_t offset = 0; offset < 4; ++offset) {
    Out<uint16_t>(offset, 0);
    EXPECT_EQ(In<uint16_t>(offset), 0xffffu);
    if (offset == 1) continue;
    Out<uint8_t>(offset, 0);
    EXPECT_EQ(In<uint8_t>(offset), 0xffu);
  }
  EXPECT_EQ(In<uint32_t>(kAddress), kFunction | 0x10);
  EXPECT_THAT(resets_, ElementsAre());
}

TEST_F(PciConfigPortsTest, CrossingAccessesAreNobodys) {
  Select(kFunction | 0x10);
  for (uint64_t offset = 1; offset < 4; ++offset) {
    Out<uint32_t>(offset, 0xffffffff);
    EXPECT_EQ(In<uint32_t>(offset), 0xffffffffu);
  }
  Out<uint64_t>(kAddress, ~uint64_t{0});
  EXPECT_EQ(In<uint64_t>(kAddress), ~uint64_t{0});
  Out<uint32_t>(kData + 1, 0xffffffff);
  EXPECT_EQ(In<uint32_t>(kData + 1), 0xffffffffu);
  Out<uint64_t>(kData, ~uint64_t{0});
  EXPECT_EQ(In<uint64_t>(kData), ~uint64_t{0});
  EXPECT_EQ(In<uint32_t>(kAddress), kFunction | 0x10);
  EXPECT_EQ(In<uint32_t>(kData), 0u);
}

TEST_F(PciConfigPortsTest, ByteAtCf9IsTheResetControl) {
  const std::byte value{0x06};
  EXPECT_EQ(ports_.Write(1, std::span(&value, 1)), IoResult::kStop);
  EXPECT_EQ(In<uint8_t>(1), 0x06);
  EXPECT_THAT(resets_, ElementsAre(0, 0));
  EXPECT_EQ(In<uint32_t>(kAddress), 0u);

  PciConfigPorts without(*bus_, {});
  std::byte read{0};
  EXPECT_EQ(without.Write(1, std::span(&value, 1)), IoResult::kDone);
  EXPECT_EQ(without.Read(1, std::span(&read, 1)), IoResult::kDone);
  EXPECT_EQ(read, std::byte{0xff});
}

TEST_F(PciConfigPortsTest, ResetSaveRestore) {
  Select(kFunction);
  const uint32_t saved = ports_.Save();
  ports_.Reset();
  EXPECT_EQ(In<uint32_t>(kAddress), 0u);
  ASSERT_OK(ports_.Restore(saved));
  EXPECT_EQ(In<uint32_t>(kAddress), kFunction);
  EXPECT_THAT(ports_.Restore(saved | 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("config_address is 0x80001101")));
  EXPECT_EQ(In<uint32_t>(kAddress), kFunction);
}

}  // namespace
}  // namespace libvmm
