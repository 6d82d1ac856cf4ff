// SPDX-License-Identifier: Apache-2.0
// The free-running counters of credit go past 2^32, both ways: more than 4 GiB
// pass. A target of its own, for it is slow where memory accesses are checked.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_ports.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using virtio::vsock::Header;
using virtio::vsock::kHeaderSize;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
constexpr uint32_t kGuestPort = 5000;
constexpr uint32_t kHostPort = 1024;

TEST(VirtioVsockWrapTest, CreditCountersWrap) {
  constexpr uint32_t kLarge = 64 * 1024;
  constexpr uint64_t kTotal = (uint64_t{1} << 32) + 16 * kLarge;
  VsockPorts ports;
  VsockStream stream;
  ASSERT_THAT(ports.Listen(kHostPort,
                           [&stream](VsockStream connected) {
                             stream = std::move(connected);
                             stream.Accept(nullptr);
                           }),
              IsOk());
  auto device = VirtioVsock::Create(
      {.guest_cid = kCid, .service = &ports, .buffer_size = kLarge});
  ASSERT_THAT(device, IsOk());
  VirtioTestLink link(**device);
  ASSERT_TRUE(link.Activate());
  VsockTestGuest guest(link, kCid);
  guest.AddRx(2, kHeaderSize + kLarge);
  ASSERT_TRUE(guest.Send(Op::kRequest, kGuestPort, kHostPort));
  ASSERT_EQ(guest.Receive().size(), 1u);
  std::string block(kLarge, '\0');
  for (size_t i = 0; i < block.size(); ++i) {
    block[i] = static_cast<char>(i * 31 % 251);
  }
  uint32_t taken = 0;
  uint32_t host_fwd = 0;
  for (uint64_t done = 0; done < kTotal; done += kLarge) {
    // All of the credit, both ways.
    ASSERT_EQ(static_cast<uint32_t>(done) - host_fwd, 0u);
    Header header = guest.Make(Op::kReadWrite, kGuestPort, kHostPort);
    header.fwd_cnt = taken;
    header.buf_alloc = kLarge;
    ASSERT_TRUE(guest.Send(header, block));
    std::span<const std::byte> bytes = stream.Peek();
    ASSERT_EQ(bytes.size(), kLarge);
    const std::span<std::byte> room = stream.Room();
    ASSERT_EQ(room.size(), kLarge);
    std::memcpy(room.data(), bytes.data(), kLarge);
    stream.Consume(kLarge);
    stream.Commit(kLarge);
    size_t got = 0;
    for (const auto& packet : guest.Receive()) {
      host_fwd = packet.header.fwd_cnt;
      got += packet.payload.size();
      if (!packet.payload.empty()) {
        ASSERT_EQ(packet.payload, block);
      }
    }
    ASSERT_EQ(got, kLarge);
    taken += kLarge;
  }
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_EQ(taken, 16 * kLarge);
}

}  // namespace
}  // namespace libvmm::testing
