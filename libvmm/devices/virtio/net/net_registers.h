// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_REGISTERS_H_

#include <cstddef>
#include <cstdint>

// Numbers of the network device (virtio 1.2, section 5.1).
namespace libvmm::virtio::net {

// ---- Feature bits (section 5.1.3), as masks ---------------------------------

// The device finishes checksums of frames that it sends.
inline constexpr uint64_t kCsum = uint64_t{1} << 0;
// The driver takes frames whose checksum is not finished.
inline constexpr uint64_t kGuestCsum = uint64_t{1} << 1;
inline constexpr uint64_t kCtrlGuestOffloads = uint64_t{1} << 2;
inline constexpr uint64_t kMtu = uint64_t{1} << 3;
inline constexpr uint64_t kMac = uint64_t{1} << 5;
inline constexpr uint64_t kGuestTso4 = uint64_t{1} << 7;
inline constexpr uint64_t kGuestTso6 = uint64_t{1} << 8;
inline constexpr uint64_t kGuestEcn = uint64_t{1} << 9;
inline constexpr uint64_t kGuestUfo = uint64_t{1} << 10;
inline constexpr uint64_t kHostTso4 = uint64_t{1} << 11;
inline constexpr uint64_t kHostTso6 = uint64_t{1} << 12;
inline constexpr uint64_t kHostEcn = uint64_t{1} << 13;
inline constexpr uint64_t kHostUfo = uint64_t{1} << 14;
inline constexpr uint64_t kMergeableBuffers = uint64_t{1} << 15;
inline constexpr uint64_t kStatus = uint64_t{1} << 16;
inline constexpr uint64_t kCtrlVq = uint64_t{1} << 17;
inline constexpr uint64_t kCtrlRx = uint64_t{1} << 18;
inline constexpr uint64_t kCtrlVlan = uint64_t{1} << 19;
inline constexpr uint64_t kCtrlRxExtra = uint64_t{1} << 20;
inline constexpr uint64_t kGuestAnnounce = uint64_t{1} << 21;
inline constexpr uint64_t kMultiQueue = uint64_t{1} << 22;
inline constexpr uint64_t kCtrlMacAddr = uint64_t{1} << 23;
inline constexpr uint64_t kGuestUso4 = uint64_t{1} << 54;
inline constexpr uint64_t kGuestUso6 = uint64_t{1} << 55;
inline constexpr uint64_t kHostUso = uint64_t{1} << 56;

// ---- Configuration space (section 5.1.4) ------------------------------------

// Offset, size in bytes, r for the driver.
inline constexpr uint32_t kConfigMac = 0;                // 6
inline constexpr uint32_t kConfigStatus = 6;             // 2
inline constexpr uint32_t kConfigMaxVirtqueuePairs = 8;  // 2
inline constexpr uint32_t kConfigMtu = 10;               // 2
inline constexpr uint32_t kConfigSize = 12;

// Bits of the status field.
inline constexpr uint16_t kStatusLinkUp = 1;
inline constexpr uint16_t kStatusAnnounce = 2;

// ---- The control queue (section 5.1.6.5) ------------------------------------

// A command is class, command and data, all device-readable, and an
// acknowledgement of one byte, device-writable.
inline constexpr uint8_t kAckOk = 0;
inline constexpr uint8_t kAckError = 1;

// Classes and their commands.
inline constexpr uint8_t kClassRx = 0;
inline constexpr uint8_t kRxPromiscuous = 0;
inline constexpr uint8_t kRxAllMulticast = 1;
inline constexpr uint8_t kRxAllUnicast = 2;
inline constexpr uint8_t kRxNoMulticast = 3;
inline constexpr uint8_t kRxNoUnicast = 4;
inline constexpr uint8_t kRxNoBroadcast = 5;

inline constexpr uint8_t kClassMac = 1;
inline constexpr uint8_t kMacTableSet = 0;
inline constexpr uint8_t kMacAddressSet = 1;

inline constexpr uint8_t kClassVlan = 2;
inline constexpr uint8_t kVlanAdd = 0;
inline constexpr uint8_t kVlanDelete = 1;

inline constexpr uint8_t kClassAnnounce = 3;
inline constexpr uint8_t kAnnounceAck = 0;

inline constexpr uint8_t kClassMultiQueue = 4;
inline constexpr uint8_t kMultiQueuePairsSet = 0;

inline constexpr uint8_t kClassGuestOffloads = 5;
inline constexpr uint8_t kGuestOffloadsSet = 0;

// ---- Ethernet (IEEE 802.3 and 802.1Q) ---------------------------------------

inline constexpr size_t kEthernetHeaderSize = 14;
inline constexpr size_t kVlanTagSize = 4;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kVlanIds = 4096;
inline constexpr uint16_t kMinMtu = 68;
inline constexpr size_t kMaxIpPacketSize = 65535;
// The largest frame that anything here sends or receives: the largest IP packet
// behind an Ethernet header with a VLAN tag. Without the tag it is what section
// 5.1.6.3.1 has drivers make room for.
inline constexpr size_t kMaxFrameSize =
    kMaxIpPacketSize + kEthernetHeaderSize + kVlanTagSize;

}  // namespace libvmm::virtio::net

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_REGISTERS_H_
