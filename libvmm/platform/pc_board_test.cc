// SPDX-License-Identifier: Apache-2.0
// Each device of PcDevices answers at its place when it is there, and the place
// reads all ones when it is not.
#include "libvmm/platform/pc_board.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "libvmm/devices/testdev/pc_testdev_registers.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

class PcBoardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(kvm_, Kvm::Open());
  }

  // A machine with what `devices` says, not run.
  void Create(const PcDevices& devices,
              PcIrqChip irqchip = PcIrqChip::kInKernel) {
    PcConfig config{
        .memory = {.size_mib = 1}, .irqchip = irqchip, .devices = devices};
    ASSERT_OK_AND_ASSIGN(pc_, Pc::Create(*kvm_, config, PcHost()));
  }

  static PcDevices Nothing() {
    return {.serial_ports = 0, .rtc = false, .pci = false, .pvpanic = false};
  }

  uint32_t Read(IoBus& bus, uint64_t address, size_t size) {
    std::array<std::byte, 4> data{};
    IoCursor cursor = bus.MakeCursor();
    EXPECT_EQ(cursor.Read(address, std::span(data).first(size)),
              IoOutcome::kDone);
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= static_cast<uint32_t>(data[i]) << (8 * i);
    }
    return value;
  }
  uint32_t In(uint64_t port, size_t size = 1) {
    return Read(pc_->ports(), port, size);
  }
  IoOutcome Out(uint64_t port, uint8_t value) {
    IoCursor cursor = pc_->ports().MakeCursor();
    const std::array data{std::byte{value}};
    return cursor.Write(port, data);
  }

  std::optional<Kvm> kvm_;
  std::unique_ptr<Pc> pc_;
};

struct Place {
  const char* name;
  std::function<void(PcDevices&)> add;
  bool mmio;
  uint64_t address;
  size_t size;
  // What it reads after power-on.
  uint32_t value;
};

TEST_F(PcBoardTest, ADeviceIsAtItsPlaceOrThePlaceIsEmpty) {
  for (const Place& place : {
           Place{"COM1", [](auto& d) { d.serial_ports = 1; }, false, 0x3fd, 1,
                 0x60},
           Place{"COM2", [](auto& d) { d.serial_ports = 2; }, false, 0x2fd, 1,
                 0x60},
           Place{"COM3", [](auto& d) { d.serial_ports = 3; }, false, 0x3ed, 1,
                 0x60},
           Place{"COM4", [](auto& d) { d.serial_ports = 4; }, false, 0x2ed, 1,
                 0x60},
           Place{"i8042", [](auto& d) { d.keyboard = true; }, false, 0x64, 1,
                 0x1c},
           Place{"PCI ports", [](auto& d) { d.pci = true; }, false, 0xcf8, 4,
                 0},
           Place{"pvpanic", [](auto& d) { d.pvpanic = true; }, false, 0x505, 1,
                 3},
           Place{"fw_cfg", [](auto& d) { d.fw_cfg = true; }, false, 0x511, 1,
                 'Q'},
           Place{"debug console",
                 [](auto& d) { d.debug_console = PcDebugConsole(); }, false,
                 0xe9, 1, 0xe9},
           Place{"test device", [](auto& d) { d.test_device = true; }, false,
                 pc_testdev::kScratchPort, 4, 0},
           Place{"test device's memory", [](auto& d) { d.test_device = true; },
                 true, pc_testdev::kMemoryAddress, 4, 0},
       }) {
    const uint32_t ones =
        place.size == 4 ? ~uint32_t{0} : (uint32_t{1} << (8 * place.size)) - 1;
    Create(Nothing());
    EXPECT_EQ(Read(place.mmio ? pc_->mmio() : pc_->ports(), place.address,
                   place.size),
              ones)
        << place.name;
    PcDevices devices = Nothing();
    place.add(devices);
    Create(devices);
    EXPECT_EQ(Read(place.mmio ? pc_->mmio() : pc_->ports(), place.address,
                   place.size),
              place.value)
        << place.name;
  }
}

TEST_F(PcBoardTest, TheClockSaysItsTimeIsValid) {
  Create(Nothing());
  EXPECT_EQ(Out(0x70, 0x0d), IoOutcome::kDone);
  EXPECT_EQ(In(0x71), 0xffu);
  EXPECT_EQ(pc_->rtc(), nullptr);
  PcDevices devices = Nothing();
  devices.rtc = true;
  Create(devices);
  EXPECT_EQ(Out(0x70, 0x0d), IoOutcome::kDone);
  EXPECT_EQ(In(0x71), 0x80u);
  EXPECT_NE(pc_->rtc(), nullptr);
}

TEST_F(PcBoardTest, TheExitPortStopsAndReadsNothing) {
  Create(Nothing());
  EXPECT_EQ(Out(0xf4, 1), IoOutcome::kDone);
  EXPECT_FALSE(pc_->stop().has_value());
  PcDevices devices = Nothing();
  devices.exit_port = true;
  Create(devices);
  EXPECT_EQ(Out(0xf4, 1), IoOutcome::kStop);
  EXPECT_EQ(pc_->stop()->code, 3u);
}

TEST_F(PcBoardTest, TheHostBridgeIsInBothConfigurationSpaces) {
  PcDevices devices = Nothing();
  devices.pci = true;
  Create(devices);
  ASSERT_NE(pc_->pci(), nullptr);
  const uint32_t id = Read(pc_->mmio(), 0xe0000000, 4);
  EXPECT_NE(id, ~uint32_t{0});
  // Enabled, bus 0, device 0, register 0.
  IoCursor cursor = pc_->ports().MakeCursor();
  const std::array address{std::byte{0}, std::byte{0}, std::byte{0},
                           std::byte{0x80}};
  EXPECT_EQ(cursor.Write(0xcf8, address), IoOutcome::kDone);
  EXPECT_EQ(In(0xcfc, 4), id);
  // There is no device 1.
  EXPECT_EQ(Read(pc_->mmio(), 0xe0008000, 4), ~uint32_t{0});
}

TEST_F(PcBoardTest, ResetIsThereWithPciAndWithout) {
  for (const bool pci : {false, true}) {
    PcDevices devices = Nothing();
    devices.pci = pci;
    Create(devices);
    EXPECT_EQ(Out(0xcf9, 0x06), IoOutcome::kStop);
    EXPECT_EQ(pc_->stop()->reason, PcStopReason::kReset);
  }
}

TEST_F(PcBoardTest, ThePowerButtonIsAnEventForTheGuest) {
  Create(Nothing());
  constexpr uint32_t kPowerButtonStatus = 1 << 8;
  EXPECT_EQ(In(kPcPmPort, 2) & kPowerButtonStatus, 0u);
  pc_->PressPowerButton();
  EXPECT_EQ(In(kPcPmPort, 2) & kPowerButtonStatus, kPowerButtonStatus);
}

// Controllers in this process are on the buses, KVM's are not.
TEST_F(PcBoardTest, ControllersAreWhereTheIrqchipSays) {
  Create(Nothing(), PcIrqChip::kInKernel);
  EXPECT_EQ(In(0x21), 0xffu);
  EXPECT_EQ(Read(pc_->mmio(), 0xfec00000, 4), ~uint32_t{0});
  EXPECT_EQ(pc_->vcpus()[0]->wake_fd(), -1);
  for (const PcIrqChip irqchip : {PcIrqChip::kSplit, PcIrqChip::kNone}) {
    Create(Nothing(), irqchip);
    EXPECT_EQ(Out(0x21, 0x5a), IoOutcome::kDone);
    EXPECT_EQ(In(0x21), 0x5au);
    EXPECT_NE(In(0x61), 0xffu);
    EXPECT_EQ(Read(pc_->mmio(), 0xfec00000, 4),
              irqchip == PcIrqChip::kSplit ? 0 : ~uint32_t{0});
    EXPECT_EQ(pc_->vcpus()[0]->wake_fd() >= 0, irqchip == PcIrqChip::kNone);
  }
}

}  // namespace
}  // namespace libvmm
