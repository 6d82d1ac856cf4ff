// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/config_ports.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/pci/pci_address.h"

namespace libvmm {

using namespace pci;  // NOLINT: the specification's names.

namespace {

constexpr size_t kDwordSize = 4;
constexpr uint64_t kAddressOffset = static_cast<uint64_t>(ConfigPort::kAddress);
constexpr uint64_t kDataOffset = static_cast<uint64_t>(ConfigPort::kData);
// Port 0xcf9.
constexpr uint64_t kResetControlOffset = 1;

bool IsAddress(uint64_t offset, size_t size) {
  return offset == kAddressOffset && size == kDwordSize;
}
bool IsResetControl(uint64_t offset, size_t size) {
  return offset == kResetControlOffset && size == 1;
}

// Where an access to CONFIG_DATA leads; nothing when it is none, or leads
// nowhere.
struct Target {
  PciAddress address;
  uint64_t offset;
};
std::optional<Target> TargetOf(uint32_t config_address, uint64_t offset,
                               size_t size) {
  if (offset < kDataOffset ||
      !RangeFits(kDwordSize, offset - kDataOffset, size) ||
      ConfigAddressEnable::Get(config_address) == 0 ||
      ConfigAddressBus::Get(config_address) != 0) {
    return std::nullopt;
  }
  return Target{.address = PciAddress::FromDevfn(static_cast<uint8_t>(
                    ConfigAddressFunction::Get(config_address))),
                .offset = (config_address & ConfigAddressRegister::kMask) +
                          (offset - kDataOffset)};
}

}  // namespace

PciConfigPorts::PciConfigPorts(PciBus& bus, Options options)
    : bus_(bus), reset_control_(options.reset_control) {}

IoResult PciConfigPorts::Read(uint64_t offset, std::span<std::byte> data) {
  if (IsResetControl(offset, data.size()) && reset_control_ != nullptr) {
    return reset_control_->Read(0, data);
  }
  const uint32_t address = Save();
  if (IsAddress(offset, data.size())) {
    StoreLittleEndian(data, address);
  } else if (const std::optional<Target> target =
                 TargetOf(address, offset, data.size())) {
    bus_.ReadConfig(target->address, target->offset, data);
  } else {
    std::ranges::fill(data, kAbsentByte);
  }
  return IoResult::kDone;
}

IoResult PciConfigPorts::Write(uint64_t offset,
                               std::span<const std::byte> data) {
  if (IsResetControl(offset, data.size()) && reset_control_ != nullptr) {
    return reset_control_->Write(0, data);
  }
  if (IsAddress(offset, data.size())) {
    const auto value = static_cast<uint32_t>(LoadLittleEndian(data));
    MutexLock lock(mutex_);
    address_ = value & kConfigAddressMask;
  } else if (const std::optional<Target> target =
                 TargetOf(Save(), offset, data.size())) {
    bus_.WriteConfig(target->address, target->offset, data);
  }
  return IoResult::kDone;
}

void PciConfigPorts::Reset() {
  MutexLock lock(mutex_);
  address_ = 0;
}

uint32_t PciConfigPorts::Save() const {
  MutexLock lock(mutex_);
  return address_;
}

absl::Status PciConfigPorts::Restore(uint32_t config_address) {
  if ((config_address & ~kConfigAddressMask) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PciConfigPorts: config_address is 0x", absl::Hex(config_address),
        ": only bits of 0x", absl::Hex(kConfigAddressMask), " can be set"));
  }
  MutexLock lock(mutex_);
  address_ = config_address;
  return absl::OkStatus();
}

}  // namespace libvmm
