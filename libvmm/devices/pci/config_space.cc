// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/config_space.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/pci_registers.h"

namespace libvmm {

using namespace pci;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kCapabilityAlignment = 4;

uint16_t AlignUp(uint64_t offset) {
  return static_cast<uint16_t>((offset + kCapabilityAlignment - 1) /
                               kCapabilityAlignment * kCapabilityAlignment);
}

absl::Status CheckBody(const PciConfigSpace::Body& body) {
  if (body.writable.size() <= body.bytes.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("PciConfigSpace: capability has ", body.writable.size(),
                   " writable bytes in a body of ", body.bytes.size()));
}

absl::Status DoesNotFit(uint64_t offset, uint64_t size) {
  return absl::ResourceExhaustedError(
      absl::StrCat("PciConfigSpace: a capability of ", size,
                   " bytes does not fit at 0x", absl::Hex(offset)));
}

}  // namespace

PciConfigSpace::PciConfigSpace(uint64_t size)
    : values_(size),
      writable_(size),
      next_(kFirstCapability),
      next_extended_(kFirstExtendedCapability) {}

void PciConfigSpace::Read(uint64_t offset, std::span<std::byte> data) const {
  for (std::byte& byte : data) {
    byte = offset < size() ? std::byte{values_[offset]} : kAbsentByte;
    ++offset;
  }
}

void PciConfigSpace::Write(uint64_t offset, std::span<const std::byte> data) {
  for (const std::byte byte : data) {
    if (offset >= size()) return;
    const uint8_t mask = writable_[offset];
    values_[offset] = static_cast<uint8_t>((values_[offset] & ~mask) |
                                           (static_cast<uint8_t>(byte) & mask));
    ++offset;
  }
}

uint64_t PciConfigSpace::Load(std::span<const uint8_t> bytes, uint64_t offset,
                              size_t size) {
  return LoadLittleEndian(std::as_bytes(bytes.subspan(offset, size)));
}

void PciConfigSpace::Store(std::span<uint8_t> bytes, uint64_t offset,
                           Number number) {
  StoreLittleEndian(std::as_writable_bytes(bytes.subspan(offset, number.size)),
                    number.value);
}

void PciConfigSpace::PutBody(uint64_t offset, const Body& body) {
  std::ranges::copy(body.bytes, values_.begin() + offset);
  std::ranges::copy(body.writable, writable_.begin() + offset);
}

absl::StatusOr<uint16_t> PciConfigSpace::AddCapability(uint8_t id,
                                                       const Body& body) {
  if (absl::Status status = CheckBody(body); !status.ok()) return status;
  const uint64_t total = kCapabilityHeaderSize + body.bytes.size();
  if (!RangeFits(kConventionalConfigSize, next_, total)) {
    return DoesNotFit(next_, total);
  }
  const uint16_t offset = next_;
  Set<uint8_t>(last_ == 0
                   ? static_cast<uint64_t>(Register::kCapabilitiesPointer)
                   : last_ + static_cast<uint64_t>(CapabilityRegister::kNext),
               static_cast<uint8_t>(offset));
  const auto status = static_cast<uint64_t>(Register::kStatus);
  Set<uint16_t>(status, Get<uint16_t>(status) | StatusCapabilities::kMask);
  Set<uint8_t>(offset + static_cast<uint64_t>(CapabilityRegister::kId), id);
  PutBody(offset + kCapabilityHeaderSize, body);
  last_ = offset;
  next_ = AlignUp(offset + total);
  return offset;
}

absl::StatusOr<uint16_t> PciConfigSpace::AddExtendedCapability(
    ExtendedId id, const Body& body) {
  if (absl::Status status = CheckBody(body); !status.ok()) return status;
  if (size() < kExtendedConfigSize) {
    return absl::FailedPreconditionError(
        "PciConfigSpace: a conventional space has no extended capabilities");
  }
  const uint64_t total = kExtendedCapabilityHeaderSize + body.bytes.size();
  if (!RangeFits(kExtendedConfigSize, next_extended_, total)) {
    return DoesNotFit(next_extended_, total);
  }
  const uint16_t offset = next_extended_;
  if (last_extended_ != 0) {
    Set<uint32_t>(last_extended_, ExtendedCapabilityNext::Set(
                                      Get<uint32_t>(last_extended_), offset));
  }
  Set<uint32_t>(offset, ExtendedCapabilityId::Of(id.id) |
                            ExtendedCapabilityVersion::Of(id.version));
  PutBody(offset + kExtendedCapabilityHeaderSize, body);
  last_extended_ = offset;
  next_extended_ = AlignUp(offset + total);
  return offset;
}

uint64_t PciConfigSpace::FindReadOnlyChange(
    std::span<const uint8_t> values) const {
  for (uint64_t i = 0; i < size(); ++i) {
    if (((values[i] ^ values_[i]) & ~writable_[i] & 0xff) != 0) return i;
  }
  return size();
}

void PciConfigSpace::SetValues(std::span<const uint8_t> values) {
  std::ranges::copy(values, values_.begin());
}

}  // namespace libvmm
