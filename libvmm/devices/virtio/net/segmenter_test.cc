// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/segmenter.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/net_packets.h"

namespace libvmm {
namespace {

using testing::Bytes;
using testing::Get16;
using testing::MakeFrame;

// A frame of TCP or UDP whose headers are zeroes but for what matters.
struct Packet {
  bool ip6 = false;
  bool udp = false;
  bool tag = false;
  // Words of options.
  size_t ip_options = 0;
  size_t tcp_options = 0;
  uint8_t tcp_flags = 0x10;
  size_t payload = 3500;
  uint16_t gso_size = 1000;

  size_t ip_at() const { return tag ? 18 : 14; }
  size_t transport_at() const {
    return ip_at() + (ip6 ? 40 : 20 + 4 * ip_options);
  }
  size_t headers() const {
    return transport_at() + (udp ? 8 : 20 + 4 * tcp_options);
  }

  Bytes Frame() const {
    Bytes frame = MakeFrame(headers(), 1);
    if (tag) {
      frame[12] = std::byte{0x81};
      frame[13] = std::byte{0x00};
    }
    const uint16_t type = ip6 ? 0x86dd : 0x0800;
    frame[ip_at() - 2] = std::byte(type >> 8);
    frame[ip_at() - 1] = std::byte(type & 0xff);
    frame[ip_at()] = std::byte(ip6 ? 0x60 : 0x45 + ip_options);
    if (!ip6) {
      frame[ip_at() + 4] = std::byte{0xff};
      frame[ip_at() + 5] = std::byte{0xff};
      frame[ip_at() + 9] = std::byte(udp ? 17 : 6);
    }
    if (!udp) {
      // A sequence number that wraps.
      for (size_t i = 4; i < 8; ++i) {
        frame[transport_at() + i] = std::byte{0xff};
      }
      frame[transport_at() + 12] = std::byte((5 + tcp_options) << 4);
      frame[transport_at() + 13] = std::byte{tcp_flags};
    }
    const Bytes data = MakeFrame(payload, 2);
    frame.insert(frame.end(), data.begin(), data.end());
    return frame;
  }
  NetHeader Header() const {
    return {.flags = NetHeader::kNeedsChecksum,
            .gso_type = udp   ? NetHeader::kGsoUdpL4
                        : ip6 ? NetHeader::kGsoTcp6
                              : NetHeader::kGsoTcp4,
            .gso_size = gso_size,
            .csum_start = static_cast<uint16_t>(transport_at()),
            .csum_offset = static_cast<uint16_t>(udp ? 6 : 16)};
  }
};

uint32_t Sum(std::span<const std::byte> bytes, uint32_t sum = 0) {
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += std::to_integer<uint32_t>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) sum += std::to_integer<uint32_t>(bytes[i + 1]);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

std::vector<Bytes> Cut(const Packet& packet) {
  const Bytes frame = packet.Frame();
  Segmenter segmenter;
  EXPECT_TRUE(segmenter.Start({.header = packet.Header(), .bytes = frame}));
  std::vector<Bytes> segments;
  Bytes buffer(Segmenter::kMaxSegmentSize);
  while (segmenter.remaining() > 0) {
    const IncomingFrame segment = segmenter.Next(buffer);
    EXPECT_EQ(segment.header, NetHeader());
    segments.emplace_back(segment.bytes.begin(), segment.bytes.end());
  }
  return segments;
}

void CheckSegments(const Packet& packet) {
  const std::vector<Bytes> segments = Cut(packet);
  const size_t count = (packet.payload + packet.gso_size - 1) / packet.gso_size;
  ASSERT_EQ(segments.size(), count);
  Bytes payload;
  for (size_t i = 0; i < count; ++i) {
    SCOPED_TRACE(i);
    const std::span<const std::byte> segment(segments[i]);
    const std::span<const std::byte> ip = segment.subspan(packet.ip_at());
    const std::span<const std::byte> transport =
        segment.subspan(packet.transport_at());
    // Lengths and checksums are right: sums over them are minus zero.
    uint32_t pseudo =
        static_cast<uint32_t>(transport.size()) + (packet.udp ? 17u : 6u);
    if (packet.ip6) {
      EXPECT_EQ(Get16(ip, 4), ip.size() - 40);
      pseudo = Sum(ip.subspan(8, 32), pseudo);
    } else {
      EXPECT_EQ(Get16(ip, 2), ip.size());
      EXPECT_EQ(Get16(ip, 4), static_cast<uint16_t>(0xffff + i));
      EXPECT_EQ(Sum(ip.first(packet.transport_at() - packet.ip_at())), 0xffffu);
      pseudo = Sum(ip.subspan(12, 8), pseudo);
    }
    EXPECT_EQ(Sum(transport, pseudo), 0xffffu);
    if (packet.udp) {
      EXPECT_EQ(Get16(transport, 4), transport.size());
    } else {
      EXPECT_EQ(uint32_t{Get16(transport, 4)} << 16 | Get16(transport, 6),
                static_cast<uint32_t>(~uint32_t{0} + i * packet.gso_size));
      uint8_t flags = packet.tcp_flags;
      if (i + 1 < count) flags &= static_cast<uint8_t>(~0x09);
      if (i > 0) flags &= 0x7f;
      EXPECT_EQ(transport[13], std::byte{flags});
    }
    payload.insert(
        payload.end(),
        segments[i].begin() + static_cast<ptrdiff_t>(packet.headers()),
        segments[i].end());
  }
  EXPECT_EQ(payload, MakeFrame(packet.payload, 2));
}

TEST(SegmenterTest, SegmentsAreWholePacketsOfTheirOwn) {
  const Packet kPackets[] = {
      {},
      {.tcp_flags = 0xff},
      {.ip_options = 3, .tcp_options = 3},
      {.tag = true},
      {.ip6 = true},
      {.ip6 = true, .tag = true, .tcp_options = 10},
      {.udp = true},
      {.ip6 = true, .udp = true},
      {.payload = 1000},
      {.payload = 1},
      {.payload = 65000, .gso_size = 1448},
      {.payload = 999, .gso_size = 1},
      {.payload = 3001, .gso_size = 7},
      {.payload = 100, .gso_size = 0xffff},
  };
  for (size_t i = 0; i < std::size(kPackets); ++i) {
    SCOPED_TRACE(i);
    CheckSegments(kPackets[i]);
  }
}

TEST(SegmenterTest, AFrameThatIsNotWhatItsHeaderSaysIsRefused) {
  const Packet packet;
  const Bytes good = packet.Frame();
  const auto refused = [&](const NetHeader& header, const Bytes& frame) {
    Segmenter segmenter;
    const bool started = segmenter.Start({.header = header, .bytes = frame});
    EXPECT_EQ(segmenter.remaining() > 0, started);
    return !started;
  };
  ASSERT_FALSE(refused(packet.Header(), good));

  for (const uint8_t type : {0, 2, 3, 4, 5, 6, 0x80}) {
    NetHeader header = packet.Header();
    header.gso_type = type;
    EXPECT_TRUE(refused(header, good)) << int{type};
  }
  NetHeader header = packet.Header();
  header.gso_size = 0;
  EXPECT_TRUE(refused(header, good));
  header = packet.Header();
  header.flags = 0;
  EXPECT_TRUE(refused(header, good));
  for (const uint16_t start : {0, 14, 33, 35, 38, 3550, 0xffff}) {
    header = packet.Header();
    header.csum_start = start;
    EXPECT_TRUE(refused(header, good)) << start;
  }
  // Ether type, version, size and protocol of IP, data offset of TCP.
  for (const auto& [at, value] : std::vector<std::pair<size_t, uint8_t>>{
           {12, 0x09}, {14, 0x65}, {14, 0x46}, {23, 17}, {46, 0x40}}) {
    Bytes frame = good;
    frame[at] = std::byte{value};
    EXPECT_TRUE(refused(packet.Header(), frame)) << at;
  }
  // No payload, or not even headers.
  for (size_t size = 0; size <= packet.headers(); ++size) {
    EXPECT_TRUE(
        refused(packet.Header(), Bytes(good.begin(), good.begin() + size)));
  }
}

}  // namespace
}  // namespace libvmm
