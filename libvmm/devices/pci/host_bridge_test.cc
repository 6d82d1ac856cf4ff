// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/host_bridge.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

class Bridge {
 public:
  explicit Bridge(PciHostBridgeModel model)
      : function_(*PciFunction::Create(PciHostBridge(model))) {}

  uint64_t In(uint64_t offset) {
    uint64_t value = 0;
    function_->ReadConfig(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  void FillWithOnes() {
    std::vector<std::byte> ones(256, std::byte{0xff});
    function_->WriteConfig(0, ones);
  }

 private:
  std::unique_ptr<PciFunction> function_;
};

TEST(PciHostBridgeTest, Ids) {
  const struct {
    PciHostBridgeModel model;
    uint32_t id;
    uint32_t class_and_revision;
  } kTable[] = {
      {PciHostBridgeModel::kGeneric, 0x00081b36, 0x06000000},
      {PciHostBridgeModel::k440Fx, 0x12378086, 0x06000002},
      {PciHostBridgeModel::kQ35, 0x29c08086, 0x06000000},
  };
  for (const auto& row : kTable) {
    Bridge bridge(row.model);
    EXPECT_EQ(static_cast<uint32_t>(bridge.In(0)), row.id);
    EXPECT_EQ(static_cast<uint32_t>(bridge.In(8)), row.class_and_revision);
    EXPECT_EQ(static_cast<uint32_t>(bridge.In(0x2c)), 0x11001af4u);
    EXPECT_EQ(static_cast<uint8_t>(bridge.In(0x3d)), 0);
    bridge.FillWithOnes();
    EXPECT_EQ(bridge.In(0x10), 0u);
    EXPECT_EQ(bridge.In(0x20), 0u);
  }
}

TEST(PciHostBridgeTest, GenericHasNoRegistersOfItsOwn) {
  Bridge bridge(PciHostBridgeModel::kGeneric);
  bridge.FillWithOnes();
  for (uint64_t offset = 0x40; offset < 0x100; offset += 8) {
    EXPECT_EQ(bridge.In(offset), 0u);
  }
}

TEST(PciHostBridgeTest, RegistersOf440Fx) {
  Bridge bridge(PciHostBridgeModel::k440Fx);
  EXPECT_EQ(bridge.In(0x58), 0u);
  EXPECT_EQ(bridge.In(0x70), 0x020000u);
  bridge.FillWithOnes();
  EXPECT_EQ(bridge.In(0x58), 0x3333333333333000u);
  EXPECT_EQ(bridge.In(0x70), 0x7a0000u);
  EXPECT_EQ(bridge.In(0x60), 0u);
}

TEST(PciHostBridgeTest, RegistersOfQ35) {
  Bridge bridge(PciHostBridgeModel::kQ35);
  EXPECT_EQ(bridge.In(0x60), 0u);
  EXPECT_EQ(bridge.In(0x98), uint64_t{0x02} << 40);
  bridge.FillWithOnes();
  EXPECT_EQ(bridge.In(0x60), 0xffc000007u);
  EXPECT_EQ(bridge.In(0x90), 0x0033333333333330u);
  EXPECT_EQ(bridge.In(0x98), uint64_t{0x7a} << 40);
}

}  // namespace
}  // namespace libvmm
