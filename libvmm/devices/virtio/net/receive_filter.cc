// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/receive_filter.h"

#include <algorithm>

namespace libvmm {
namespace {

// The VLAN id in a tag, below the priority bits (IEEE 802.1Q, 9.6).
constexpr uint16_t kVlanIdMask = 0x0fff;
constexpr size_t kEtherTypeOffset = 2 * MacAddress::kSize;

uint16_t BigEndianAt(std::span<const std::byte> bytes, size_t offset) {
  return static_cast<uint16_t>(std::to_integer<uint16_t>(bytes[offset]) << 8 |
                               std::to_integer<uint16_t>(bytes[offset + 1]));
}

}  // namespace

void ReceiveFilter::Table::Set(std::span<const std::byte> bytes) {
  const size_t given = bytes.size() / MacAddress::kSize;
  overflow = given > kTableSize;
  count = overflow ? 0 : given;
  for (size_t i = 0; i < count; ++i) {
    addresses[i] = MacAddress::FromBytes(
        bytes.subspan(i * MacAddress::kSize).first<MacAddress::kSize>());
  }
}

bool ReceiveFilter::Table::Has(const MacAddress& address) const {
  return overflow || std::find(addresses.begin(), addresses.begin() + count,
                               address) != addresses.begin() + count;
}

void ReceiveFilter::SetUnicastTable(std::span<const std::byte> addresses) {
  unicast_.Set(addresses);
}

void ReceiveFilter::SetMulticastTable(std::span<const std::byte> addresses) {
  multicast_.Set(addresses);
}

bool ReceiveFilter::Passes(std::span<const std::byte> frame) const {
  if (frame.size() < virtio::net::kEthernetHeaderSize) return false;
  if (modes_.promiscuous) return true;

  if (filter_vlans_ &&
      BigEndianAt(frame, kEtherTypeOffset) == virtio::net::kEtherTypeVlan) {
    constexpr size_t kTagOffset = kEtherTypeOffset + sizeof(uint16_t);
    if (frame.size() < kTagOffset + sizeof(uint16_t)) return false;
    if (!vlans_[BigEndianAt(frame, kTagOffset) & kVlanIdMask]) return false;
  }

  const MacAddress to = MacAddress::FromBytes(frame.first<MacAddress::kSize>());
  if (to.is_broadcast()) return !modes_.no_broadcast;
  if (to.is_group()) {
    if (modes_.no_multicast) return false;
    return modes_.all_multicast || multicast_.Has(to);
  }
  if (modes_.no_unicast) return false;
  // Without an address of its own the driver has one that nobody told.
  return modes_.all_unicast || address_.is_zero() || to == address_ ||
         unicast_.Has(to);
}

}  // namespace libvmm
