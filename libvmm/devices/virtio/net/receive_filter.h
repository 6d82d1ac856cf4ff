// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_RECEIVE_FILTER_H_
#define LIBVMM_DEVICES_VIRTIO_NET_RECEIVE_FILTER_H_

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {

// Which frames a driver wants to see, as it said by its control queue (virtio
// 1.2, sections 5.1.6.5.1 to 5.1.6.5.3). A filter that does too much or too
// little is allowed to let frames through, never to keep one back that is
// wanted; so a table that does not fit becomes "all of them".
//
// Thread-safety: thread-compatible; a value.
// Errors: none.
// Cost: 1.3 KiB. Passes compares the address with every one in a table, at most
//     kTableSize.
class ReceiveFilter {
 public:
  static constexpr size_t kTableSize = 64;

  // Lets everything through, until the driver says otherwise.
  ReceiveFilter() = default;
  explicit ReceiveFilter(const MacAddress& address) : address_(address) {}

  struct Modes {
    bool promiscuous = true;
    bool all_multicast = false;
    bool all_unicast = false;
    bool no_multicast = false;
    bool no_unicast = false;
    bool no_broadcast = false;

    friend constexpr bool operator==(const Modes&, const Modes&) = default;
  };
  [[nodiscard]] const Modes& modes() const { return modes_; }
  void set_modes(const Modes& modes) { modes_ = modes; }

  // The device's own address.
  [[nodiscard]] const MacAddress& address() const { return address_; }
  void set_address(const MacAddress& address) { address_ = address; }

  // Replaces a table of further addresses: kSize bytes each. More than
  // kTableSize of them stand for all.
  void SetUnicastTable(std::span<const std::byte> addresses);
  void SetMulticastTable(std::span<const std::byte> addresses);

  // Whether tagged frames are looked at at all; they are not at first. Then
  // those with a VLAN id that was added pass, and none at first.
  void set_filter_vlans(bool filter) { filter_vlans_ = filter; }
  // `id` below kVlanIds.
  void set_vlan(uint16_t id, bool wanted) { vlans_[id] = wanted; }

  // Whether the driver wants this frame. One without a whole Ethernet header is
  // none.
  [[nodiscard]] bool Passes(std::span<const std::byte> frame) const;

 private:
  struct Table {
    std::array<MacAddress, kTableSize> addresses{};
    size_t count = 0;
    bool overflow = false;

    void Set(std::span<const std::byte> bytes);
    [[nodiscard]] bool Has(const MacAddress& address) const;
  };

  MacAddress address_;
  Modes modes_;
  Table unicast_;
  Table multicast_;
  bool filter_vlans_ = false;
  std::bitset<virtio::net::kVlanIds> vlans_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_RECEIVE_FILTER_H_
