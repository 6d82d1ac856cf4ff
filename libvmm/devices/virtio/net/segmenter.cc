// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/segmenter.h"

#include <algorithm>
#include <cstring>

#include "libvmm/devices/virtio/net/checksum.h"

namespace libvmm {
namespace {

constexpr uint16_t kEtherTypeIp4 = 0x0800;
constexpr uint16_t kEtherTypeIp6 = 0x86dd;

// IPv4 (RFC 791, section 3.1).
constexpr size_t kIp4Length = 2;
constexpr size_t kIp4Identification = 4;
constexpr size_t kIp4Protocol = 9;
constexpr size_t kIp4Checksum = 10;
constexpr size_t kIp4Source = 12;
constexpr size_t kIp4MinSize = 20;
constexpr size_t kIp4AddressSize = 4;

// IPv6 (RFC 8200, section 3).
constexpr size_t kIp6Length = 4;
constexpr size_t kIp6Source = 8;
constexpr size_t kIp6Size = 40;
constexpr size_t kIp6AddressSize = 16;

// TCP (RFC 9293, section 3.1).
constexpr uint8_t kProtocolTcp = 6;
constexpr size_t kTcpSequence = 4;
constexpr size_t kTcpDataOffset = 12;
constexpr size_t kTcpFlags = 13;
constexpr size_t kTcpChecksum = 16;
constexpr size_t kTcpMinSize = 20;
constexpr uint8_t kTcpFin = 0x01;
constexpr uint8_t kTcpPush = 0x08;
// Congestion window reduced: only the first segment says so (RFC 3168, 6.1.2).
constexpr uint8_t kTcpCwr = 0x80;

// UDP (RFC 768).
constexpr uint8_t kProtocolUdp = 17;
constexpr size_t kUdpLength = 4;
constexpr size_t kUdpChecksum = 6;
constexpr size_t kUdpSize = 8;

uint16_t Load16(std::span<const std::byte> bytes, size_t at) {
  return static_cast<uint16_t>(std::to_integer<uint16_t>(bytes[at]) << 8 |
                               std::to_integer<uint16_t>(bytes[at + 1]));
}
void Store16(std::span<std::byte> bytes, size_t at, uint16_t value) {
  bytes[at] = std::byte(value >> 8);
  bytes[at + 1] = std::byte(value);
}
uint32_t Load32(std::span<const std::byte> bytes, size_t at) {
  return uint32_t{Load16(bytes, at)} << 16 | Load16(bytes, at + 2);
}
void Store32(std::span<std::byte> bytes, size_t at, uint32_t value) {
  Store16(bytes, at, static_cast<uint16_t>(value >> 16));
  Store16(bytes, at + 2, static_cast<uint16_t>(value));
}
uint8_t Load8(std::span<const std::byte> bytes, size_t at) {
  return std::to_integer<uint8_t>(bytes[at]);
}

// The high half of a byte: a version, or with the low one of IPv4's first byte a
// size in words.
constexpr unsigned kNibbleBits = 4;
constexpr uint8_t kNibble = 0x0f;
constexpr size_t kWordSize = 4;

}  // namespace

bool Segmenter::Start(const IncomingFrame& frame) {
  payload_ = {};
  const std::span<const std::byte> bytes = frame.bytes;
  const uint8_t kind = frame.header.gso_type & ~NetHeader::kGsoEcn;
  udp_ = kind == NetHeader::kGsoUdpL4;
  if (!udp_ && kind != NetHeader::kGsoTcp4 && kind != NetHeader::kGsoTcp6) {
    return false;
  }
  segment_size_ = frame.header.gso_size;
  if (segment_size_ == 0) return false;

  // Ethernet, perhaps with a tag.
  ip_at_ = virtio::net::kEthernetHeaderSize;
  if (bytes.size() < ip_at_ + virtio::net::kVlanTagSize) return false;
  uint16_t type = Load16(bytes, ip_at_ - sizeof type);
  if (type == virtio::net::kEtherTypeVlan) {
    ip_at_ += virtio::net::kVlanTagSize;
    type = Load16(bytes, ip_at_ - sizeof type);
  }
  ip6_ = type == kEtherTypeIp6;
  if (!ip6_ && type != kEtherTypeIp4) return false;
  if (!udp_ && ip6_ != (kind == NetHeader::kGsoTcp6)) return false;

  // Where the transport's header begins is what the checksum begins with; of
  // IPv6 there may be extensions before it.
  const size_t ip_size = ip6_ ? kIp6Size : kIp4MinSize;
  if ((frame.header.flags & NetHeader::kNeedsChecksum) == 0) return false;
  transport_at_ = frame.header.csum_start;
  if (transport_at_ < ip_at_ + ip_size) return false;
  const size_t min_size = udp_ ? kUdpSize : kTcpMinSize;
  if (bytes.size() < transport_at_ + min_size) return false;
  if (Load8(bytes, ip_at_) >> kNibbleBits != (ip6_ ? 6 : 4)) return false;
  if (!ip6_ && (Load8(bytes, ip_at_ + kIp4Protocol) !=
                    (udp_ ? kProtocolUdp : kProtocolTcp) ||
                ip_at_ + (Load8(bytes, ip_at_) & kNibble) * kWordSize !=
                    transport_at_)) {
    return false;
  }
  checksum_at_ = transport_at_ + (udp_ ? kUdpChecksum : kTcpChecksum);
  size_t transport_size = kUdpSize;
  if (!udp_) {
    transport_size =
        (Load8(bytes, transport_at_ + kTcpDataOffset) >> kNibbleBits) *
        kWordSize;
    if (transport_size < kTcpMinSize) return false;
  }
  const size_t headers_size = transport_at_ + transport_size;
  if (bytes.size() <= headers_size) return false;
  headers_ = bytes.first(headers_size);
  payload_ = bytes.subspan(headers_size);
  count_ = 0;
  done_ = 0;
  return true;
}

IncomingFrame Segmenter::Next(std::span<std::byte> buffer) {
  const size_t size = std::min(segment_size_, payload_.size());
  const std::span<std::byte> segment = buffer.first(headers_.size() + size);
  std::ranges::copy(headers_, segment.begin());
  std::ranges::copy(payload_.first(size),
                    segment.begin() + static_cast<ptrdiff_t>(headers_.size()));
  payload_ = payload_.subspan(size);
  WriteIp(segment);
  WriteTransport(segment, payload_.empty());
  ++count_;
  done_ += static_cast<uint32_t>(size);
  return {.header = {}, .bytes = segment};
}

void Segmenter::WriteIp(std::span<std::byte> segment) {
  const std::span<std::byte> ip = segment.subspan(ip_at_);
  if (ip6_) {
    return Store16(ip, kIp6Length, static_cast<uint16_t>(ip.size() - kIp6Size));
  }
  Store16(ip, kIp4Length, static_cast<uint16_t>(ip.size()));
  Store16(ip, kIp4Identification,
          static_cast<uint16_t>(Load16(ip, kIp4Identification) + count_));
  Store16(ip, kIp4Checksum, 0);
  const uint16_t checksum =
      FinishedChecksum({}, ip.first(transport_at_ - ip_at_));
  std::memcpy(ip.data() + kIp4Checksum, &checksum, sizeof checksum);
}

void Segmenter::WriteTransport(std::span<std::byte> segment, bool last) {
  const std::span<std::byte> transport = segment.subspan(transport_at_);
  if (udp_) {
    Store16(transport, kUdpLength, static_cast<uint16_t>(transport.size()));
  } else {
    Store32(transport, kTcpSequence, Load32(transport, kTcpSequence) + done_);
    uint8_t flags = Load8(transport, kTcpFlags);
    if (!last) flags &= static_cast<uint8_t>(~(kTcpFin | kTcpPush));
    if (count_ > 0) flags &= static_cast<uint8_t>(~kTcpCwr);
    transport[kTcpFlags] = std::byte{flags};
  }
  // The sum begins with that of the pseudo header: addresses, length, protocol.
  const size_t source = ip_at_ + (ip6_ ? kIp6Source : kIp4Source);
  const size_t addresses_size = 2 * (ip6_ ? kIp6AddressSize : kIp4AddressSize);
  uint32_t sum = udp_ ? kProtocolUdp : kProtocolTcp;
  sum += static_cast<uint32_t>(transport.size());
  for (size_t i = 0; i < addresses_size; i += sizeof(uint16_t)) {
    sum += Load16(segment, source + i);
  }
  while (sum > UINT16_MAX) sum = (sum & UINT16_MAX) + (sum >> 16);
  Store16(segment, checksum_at_, static_cast<uint16_t>(sum));
  const uint16_t checksum = FinishedChecksum(
      {.csum_start = static_cast<uint16_t>(transport_at_)}, segment);
  std::memcpy(segment.data() + checksum_at_, &checksum, sizeof checksum);
}

}  // namespace libvmm
