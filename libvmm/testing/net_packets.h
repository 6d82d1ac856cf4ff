// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_NET_PACKETS_H_
#define LIBVMM_TESTING_NET_PACKETS_H_

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/checksum.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/testing/net_frames.h"

namespace libvmm::testing {

// Packets as a machine's driver makes them, enough to talk to a network stack.

using Ip4 = std::array<uint8_t, 4>;

// Appends integers in network order.
inline void Put16(Bytes& bytes, uint16_t value) {
  bytes.push_back(std::byte(value >> 8));
  bytes.push_back(std::byte(value));
}
inline void PutAll(Bytes& bytes, std::span<const uint8_t> values) {
  for (const uint8_t value : values) bytes.push_back(std::byte{value});
}

inline uint16_t Get16(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint16_t>(std::to_integer<uint16_t>(bytes[at]) << 8 |
                               std::to_integer<uint16_t>(bytes[at + 1]));
}

inline constexpr size_t kEtherTypeAt = 12;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeIp4 = 0x0800;

// "Who has `target`", asked by a machine (RFC 826).
inline Bytes ArpRequest(const MacAddress& own, const Ip4& own_ip,
                        const Ip4& target) {
  Bytes frame;
  PutAll(frame, MacAddress({255, 255, 255, 255, 255, 255}).bytes());
  PutAll(frame, own.bytes());
  Put16(frame, kEtherTypeArp);
  Put16(frame, 1);  // Ethernet,
  Put16(frame, kEtherTypeIp4);
  PutAll(frame, std::array<uint8_t, 2>{6, 4});
  Put16(frame, 1);  // a request.
  PutAll(frame, own.bytes());
  PutAll(frame, own_ip);
  PutAll(frame, MacAddress().bytes());
  PutAll(frame, target);
  return frame;
}

// Whether `frame` answers that, and with which address.
inline bool IsArpReply(std::span<const std::byte> frame, const Ip4& target,
                       MacAddress& mac) {
  constexpr size_t kOperationAt = 20;
  constexpr size_t kSenderAt = 22;
  constexpr size_t kSenderIpAt = 28;
  if (frame.size() < 42 || Get16(frame, kEtherTypeAt) != kEtherTypeArp ||
      Get16(frame, kOperationAt) != 2) {
    return false;
  }
  for (size_t i = 0; i < target.size(); ++i) {
    if (frame[kSenderIpAt + i] != std::byte{target[i]}) return false;
  }
  mac = MacAddress::FromBytes(frame.subspan(kSenderAt).first<6>());
  return true;
}

struct UdpPacket {
  MacAddress from_mac;
  MacAddress to_mac;
  Ip4 from;
  Ip4 to;
  uint16_t from_port = 0;
  uint16_t to_port = 0;
  Bytes payload;
};

inline constexpr size_t kUdpPayloadAt = 42;

// The whole frame, without a checksum of UDP (RFC 768 allows that over IPv4).
inline Bytes MakeUdp(const UdpPacket& packet) {
  Bytes frame;
  PutAll(frame, packet.to_mac.bytes());
  PutAll(frame, packet.from_mac.bytes());
  Put16(frame, kEtherTypeIp4);
  const size_t ip_at = frame.size();
  PutAll(frame, std::array<uint8_t, 2>{0x45, 0});
  Put16(frame, static_cast<uint16_t>(28 + packet.payload.size()));
  Put16(frame, 0);
  Put16(frame, 0);
  PutAll(frame, std::array<uint8_t, 2>{64, 17});
  const size_t checksum_at = frame.size();
  Put16(frame, 0);
  PutAll(frame, packet.from);
  PutAll(frame, packet.to);
  const uint16_t checksum =
      FinishedChecksum({.csum_start = static_cast<uint16_t>(ip_at)}, frame);
  std::memcpy(frame.data() + checksum_at, &checksum, sizeof checksum);
  Put16(frame, packet.from_port);
  Put16(frame, packet.to_port);
  Put16(frame, static_cast<uint16_t>(8 + packet.payload.size()));
  Put16(frame, 0);
  frame.insert(frame.end(), packet.payload.begin(), packet.payload.end());
  return frame;
}

// Whether it is UDP over IPv4 to `port`.
inline bool IsUdpTo(std::span<const std::byte> frame, uint16_t port) {
  constexpr size_t kProtocolAt = 23;
  constexpr size_t kToPortAt = 36;
  return frame.size() >= kUdpPayloadAt &&
         Get16(frame, kEtherTypeAt) == kEtherTypeIp4 &&
         frame[kProtocolAt] == std::byte{17} && Get16(frame, kToPortAt) == port;
}

// Serves one source as a loop does until `done`; false when that takes longer
// than any machine does.
inline bool ServeUntil(EventSource& source, const Clock& clock,
                       absl::FunctionRef<bool()> done) {
  constexpr absl::Duration kLimit = absl::Seconds(60);
  constexpr absl::Duration kPatience = absl::Milliseconds(100);
  const absl::Duration end = clock.Monotonic() + kLimit;
  while (!done()) {
    const absl::Duration now = clock.Monotonic();
    if (now > end) return false;
    const absl::Duration wait = std::clamp(source.NextDeadline() - now,
                                           absl::ZeroDuration(), kPatience);
    pollfd poll{.fd = source.events() != 0 ? source.fd() : -1,
                .events = source.events(),
                .revents = 0};
    const int count =
        ::poll(&poll, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1);
    if (count == 1) source.OnReady(poll.revents);
    if (source.NextDeadline() <= clock.Monotonic()) source.OnDeadline();
  }
  return true;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_NET_PACKETS_H_
