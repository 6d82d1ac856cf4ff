// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/net_control.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_offloads.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/receive_filter.h"

namespace libvmm::internal {
namespace {

using namespace virtio::net;  // NOLINT: the commands' names.

// An integer of the command's data, little-endian.
template <typename T>
std::optional<T> Read(ChainReader& from) {
  std::array<std::byte, sizeof(T)> bytes;
  if (!from.Read(bytes)) return std::nullopt;
  return static_cast<T>(LoadLittleEndian(bytes));
}

// A table of addresses behind its count. One address more than a filter keeps is
// enough for it to see that there are too many.
class AddressTable {
 public:
  [[nodiscard]] bool Read(ChainReader& from) {
    const auto count = internal::Read<uint32_t>(from);
    if (!count) return false;
    const uint64_t size = uint64_t{*count} * MacAddress::kSize;
    size_ = std::min<uint64_t>(size, bytes_.size());
    return from.Read(std::span(bytes_).first(size_)) &&
           from.Skip(size - size_) == size - size_;
  }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::span(bytes_).first(size_);
  }

 private:
  std::array<std::byte, (ReceiveFilter::kTableSize + 1) * MacAddress::kSize>
      bytes_;
  size_t size_ = 0;
};

}  // namespace

uint8_t NetControl::Run(ChainReader& command) {
  const auto kind = Read<uint8_t>(command);
  const auto number = Read<uint8_t>(command);
  if (!kind || !number) return kAckError;
  bool done = false;
  switch (*kind) {
    case kClassRx:
      done = SetMode(*number, command);
      break;
    case kClassMac:
      if (*number == kMacTableSet) done = SetMacTable(command);
      if (*number == kMacAddressSet) done = SetMacAddress(command);
      break;
    case kClassVlan:
      done = SetVlan(*number, command);
      break;
    case kClassAnnounce:
      done = *number == kAnnounceAck && Has(kGuestAnnounce);
      if (done) settings_.set_announce(false);
      break;
    case kClassMultiQueue:
      done = *number == kMultiQueuePairsSet && SetPairs(command);
      break;
    case kClassGuestOffloads:
      done = *number == kGuestOffloadsSet && SetOffloads(command);
      break;
    default:
      break;
  }
  return done ? kAckOk : kAckError;
}

bool NetControl::SetMode(uint8_t command, ChainReader& data) {
  const auto value = Read<uint8_t>(data);
  if (!value || command > kRxNoBroadcast) return false;
  if (!Has(command <= kRxAllMulticast ? kCtrlRx : kCtrlRx | kCtrlRxExtra)) {
    return false;
  }
  const bool on = *value != 0;
  settings_.ChangeFilter([&](ReceiveFilter& filter) {
    ReceiveFilter::Modes modes = filter.modes();
    switch (command) {
      case kRxPromiscuous:
        modes.promiscuous = on;
        break;
      case kRxAllMulticast:
        modes.all_multicast = on;
        break;
      case kRxAllUnicast:
        modes.all_unicast = on;
        break;
      case kRxNoMulticast:
        modes.no_multicast = on;
        break;
      case kRxNoUnicast:
        modes.no_unicast = on;
        break;
      default:
        modes.no_broadcast = on;
        break;
    }
    filter.set_modes(modes);
  });
  return true;
}

bool NetControl::SetMacTable(ChainReader& data) {
  AddressTable unicast;
  AddressTable multicast;
  if (!Has(kCtrlRx) || !unicast.Read(data) || !multicast.Read(data)) {
    return false;
  }
  settings_.ChangeFilter([&](ReceiveFilter& filter) {
    filter.SetUnicastTable(unicast.bytes());
    filter.SetMulticastTable(multicast.bytes());
  });
  return true;
}

bool NetControl::SetMacAddress(ChainReader& data) {
  std::array<std::byte, MacAddress::kSize> bytes;
  if (!Has(kCtrlMacAddr) || !data.Read(bytes)) return false;
  settings_.SetMac(MacAddress::FromBytes(bytes));
  return true;
}

bool NetControl::SetVlan(uint8_t command, ChainReader& data) {
  const auto id = Read<uint16_t>(data);
  if (!Has(kCtrlVlan) || command > kVlanDelete || !id || *id >= kVlanIds) {
    return false;
  }
  settings_.ChangeFilter([&](ReceiveFilter& filter) {
    filter.set_vlan(*id, command == kVlanAdd);
  });
  return true;
}

bool NetControl::SetPairs(ChainReader& data) {
  const auto pairs = Read<uint16_t>(data);
  if (!Has(kMultiQueue) || !pairs || *pairs == 0 || *pairs > pairs_) {
    return false;
  }
  settings_.set_active_pairs(*pairs);
  return true;
}

bool NetControl::SetOffloads(ChainReader& data) {
  // What can be chosen from is what was negotiated (section 5.1.6.5.6.2).
  const uint64_t known = NetOffloads::All().GuestFeatures();
  const auto offloads = Read<uint64_t>(data);
  if (!Has(kCtrlGuestOffloads) || !offloads ||
      (*offloads & ~(known & features_)) != 0) {
    return false;
  }
  settings_.set_receive_offloads(
      NetOffloads::FromGuestFeatures(*offloads).Consistent());
  return true;
}

}  // namespace libvmm::internal
