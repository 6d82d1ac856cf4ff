// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/host_bridge.h"

#include <utility>

namespace libvmm {
namespace {

constexpr uint16_t kVendorIntel = 0x8086;
constexpr uint16_t kVendorRedHat = 0x1b36;
constexpr uint16_t kVendorVirtual = 0x1af4;
constexpr uint16_t kDeviceGeneric = 0x0008;
constexpr uint16_t kDevice440Fx = 0x1237;
constexpr uint16_t kDeviceQ35 = 0x29c0;
constexpr uint16_t kSubsystemVirtualMachine = 0x1100;
// The last stepping of the 82441FX.
constexpr uint8_t kRevision440Fx = 0x02;

// Class Code 060000h, host bridge.
constexpr uint8_t kClassBridge = 0x06;
constexpr uint8_t kSubClassHost = 0x00;

// PAM[6:0]: seven registers in a row, two attribute fields of two bits each.
// PAM0's lower one is reserved.
constexpr uint8_t kPamCount = 7;
constexpr uint64_t kPamWritable = 0x33333333333330;
constexpr uint16_t kPam440Fx = 0x59;
constexpr uint16_t kPamQ35 = 0x90;

// SMRAM: open, closed, locked, enabled; the base field is fixed.
constexpr uint16_t kSmram440Fx = 0x72;
constexpr uint16_t kSmramQ35 = 0x9d;
constexpr uint8_t kSmramReset = 0x02;
constexpr uint8_t kSmramWritable = 0x78;

// PCIEXBAR: base 35:26, length 2:1, enable 0.
constexpr uint16_t kPciExBar = 0x60;
constexpr uint8_t kPciExBarSize = 8;
constexpr uint64_t kPciExBarWritable = 0xffc000007;

}  // namespace

PciFunction::Options PciHostBridge(PciHostBridgeModel model) {
  PciFunction::Options options;
  options.base_class = kClassBridge;
  options.sub_class = kSubClassHost;
  if (model == PciHostBridgeModel::kGeneric) {
    options.vendor_id = kVendorRedHat;
    options.device_id = kDeviceGeneric;
    options.subsystem_vendor_id = kVendorVirtual;
    options.subsystem_id = kSubsystemVirtualMachine;
    return options;
  }
  const bool q35 = model == PciHostBridgeModel::kQ35;
  options.vendor_id = kVendorIntel;
  options.device_id = q35 ? kDeviceQ35 : kDevice440Fx;
  options.revision = q35 ? 0 : kRevision440Fx;
  options.subsystem_vendor_id = kVendorVirtual;
  options.subsystem_id = kSubsystemVirtualMachine;
  options.registers.push_back({.offset = q35 ? kPamQ35 : kPam440Fx,
                               .size = kPamCount,
                               .writable = kPamWritable});
  options.registers.push_back({.offset = q35 ? kSmramQ35 : kSmram440Fx,
                               .value = kSmramReset,
                               .writable = kSmramWritable});
  if (q35) {
    options.registers.push_back({.offset = kPciExBar,
                                 .size = kPciExBarSize,
                                 .writable = kPciExBarWritable});
  }
  return options;
}

}  // namespace libvmm
