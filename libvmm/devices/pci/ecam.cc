// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/ecam.h"

#include <algorithm>
#include <optional>

#include "libvmm/base/address.h"
#include "libvmm/devices/pci/pci_address.h"

namespace libvmm {

using namespace pci;  // NOLINT: the specification's names.

namespace {

// Where an access leads; nothing when that is nowhere.
struct Target {
  PciAddress address;
  uint64_t offset;
};
std::optional<Target> TargetOf(uint64_t offset, size_t size) {
  const uint64_t reg = EcamRegister::Get(offset);
  if (offset >= kEcamBusSize || !RangeFits(kExtendedConfigSize, reg, size)) {
    return std::nullopt;
  }
  return Target{.address = PciAddress::FromDevfn(
                    static_cast<uint8_t>(EcamFunction::Get(offset))),
                .offset = reg};
}

}  // namespace

IoResult PciEcam::Read(uint64_t offset, std::span<std::byte> data) {
  if (const std::optional<Target> target = TargetOf(offset, data.size())) {
    bus_.ReadConfig(target->address, target->offset, data);
  } else {
    std::ranges::fill(data, kAbsentByte);
  }
  return IoResult::kDone;
}

IoResult PciEcam::Write(uint64_t offset, std::span<const std::byte> data) {
  if (const std::optional<Target> target = TargetOf(offset, data.size())) {
    bus_.WriteConfig(target->address, target->offset, data);
  }
  return IoResult::kDone;
}

}  // namespace libvmm
