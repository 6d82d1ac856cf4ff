// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/vsock_ports.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using virtio::vsock::Op;

constexpr uint64_t kCid = 3;

// A device whose host ports are `ports`, and its guest.
struct Machine {
  explicit Machine(VsockService& ports) {
    device = *VirtioVsock::Create({.guest_cid = kCid, .service = &ports});
    link.emplace(*device);
    guest.emplace(*link, kCid);
    EXPECT_TRUE(link->Activate());
    guest->AddRx(4);
  }

  // What the guest is answered.
  Op Connect(uint32_t host_port) {
    EXPECT_TRUE(guest->Send(Op::kRequest, 1, host_port));
    const auto packets = guest->Receive();
    return packets.size() == 1 ? static_cast<Op>(packets[0].header.op)
                               : Op::kInvalid;
  }

  std::unique_ptr<VirtioVsock> device;
  std::optional<VirtioTestLink> link;
  std::optional<VsockTestGuest> guest;
};

TEST(VsockPortsTest, CallbackGetsTheConnectionsToItsPort) {
  VsockPorts ports;
  std::vector<VsockStream> first;
  std::vector<VsockStream> second;
  const auto keep_in = [](std::vector<VsockStream>& streams) {
    return [&streams](VsockStream stream) {
      stream.Accept(nullptr);
      streams.push_back(std::move(stream));
    };
  };
  ASSERT_THAT(ports.Listen(10, keep_in(first)), IsOk());
  ASSERT_THAT(ports.Listen(20, keep_in(second)), IsOk());
  Machine machine(ports);
  EXPECT_EQ(machine.Connect(10), Op::kResponse);
  EXPECT_THAT(first, SizeIs(1));
  EXPECT_EQ(machine.Connect(20), Op::kResponse);
  EXPECT_THAT(second, SizeIs(1));
  EXPECT_EQ(machine.Connect(30), Op::kReset);
}

TEST(VsockPortsTest, EachPortHasOneCallback) {
  VsockPorts ports;
  ASSERT_THAT(ports.Listen(10, [](VsockStream) {}), IsOk());
  const absl::Status again = ports.Listen(10, [](VsockStream) {});
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.message()), HasSubstr("host port 10"));
  EXPECT_EQ(ports.Listen(11, nullptr).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(VsockPortsTest, UnlistenedPortRefuses) {
  VsockPorts ports;
  EXPECT_EQ(ports.Unlisten(10).code(), absl::StatusCode::kNotFound);
  ASSERT_THAT(ports.Listen(10, [](VsockStream) { FAIL(); }), IsOk());
  Machine machine(ports);
  ASSERT_THAT(ports.Unlisten(10), IsOk());
  EXPECT_EQ(machine.Connect(10), Op::kReset);
}

TEST(VsockPortsTest, CallbackMayChangeThePorts) {
  VsockPorts ports;
  ASSERT_THAT(ports.Listen(10,
                           [&ports](VsockStream) {
                             EXPECT_THAT(ports.Unlisten(10), IsOk());
                             EXPECT_THAT(ports.Listen(11, [](VsockStream) {}),
                                         IsOk());
                           }),
              IsOk());
  Machine machine(ports);
  EXPECT_EQ(machine.Connect(10), Op::kReset);
  EXPECT_EQ(ports.Unlisten(10).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ports.Unlisten(11), IsOk());
}

TEST(VsockPortsTest, OtherPortsAreTheFallbacks) {
  class Fallback final : public VsockService {
   public:
    void OnConnect(VsockStream stream) override {
      port = stream.host_port();
      stream.Accept(nullptr);
      streams.push_back(std::move(stream));
    }
    void OnAttach(VsockConnector* device) override { connector = device; }
    uint32_t port = 0;
    std::vector<VsockStream> streams;
    VsockConnector* connector = nullptr;
  };
  Fallback fallback;
  VsockPorts ports(&fallback);
  ASSERT_THAT(ports.Listen(10, [](VsockStream) {}), IsOk());
  Machine machine(ports);
  EXPECT_EQ(fallback.connector, machine.device.get());
  EXPECT_EQ(machine.Connect(10), Op::kReset);
  EXPECT_EQ(machine.Connect(12), Op::kResponse);
  EXPECT_EQ(fallback.port, 12u);
  fallback.streams.clear();
  machine.link.reset();
  machine.device.reset();
  EXPECT_EQ(fallback.connector, nullptr);
}

// As the header's example has it.
TEST(VsockPortsTest, EchoOfTheHeader) {
  VsockPorts ports;
  VsockStream stream;
  const auto echo = [&stream] {
    while (true) {
      const auto bytes = stream.Peek();
      const size_t taken = stream.Write(bytes);
      stream.Consume(taken);
      if (taken == 0) break;
    }
    if (stream.AtEnd()) stream.ShutdownWrite();
  };
  ASSERT_THAT(ports.Listen(10,
                           [&](VsockStream connected) {
                             stream = std::move(connected);
                             stream.Accept(echo);
                           }),
              IsOk());
  Machine machine(ports);
  ASSERT_EQ(machine.Connect(10), Op::kResponse);
  ASSERT_TRUE(machine.guest->Send(Op::kReadWrite, 1, 10, "hear, hear"));
  const auto packets = machine.guest->Receive();
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_EQ(packets[0].payload, "hear, hear");
  auto shutdown = machine.guest->Make(Op::kShutdown, 1, 10);
  shutdown.flags = virtio::vsock::kShutdownSend;
  ASSERT_TRUE(machine.guest->Send(shutdown));
  const auto last = machine.guest->Receive();
  ASSERT_THAT(last, SizeIs(1));
  EXPECT_EQ(last[0].header.flags, virtio::vsock::kShutdownSend);
}

}  // namespace
}  // namespace libvmm::testing
