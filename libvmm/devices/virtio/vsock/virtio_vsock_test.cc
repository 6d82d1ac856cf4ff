// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using virtio::vsock::Event;
using virtio::vsock::Header;
using virtio::vsock::kEventQueue;
using virtio::vsock::kHeaderSize;
using virtio::vsock::kHostCid;
using virtio::vsock::kRxQueue;
using virtio::vsock::kShutdownBoth;
using virtio::vsock::kShutdownReceive;
using virtio::vsock::kShutdownSend;
using virtio::vsock::kTxQueue;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
constexpr uint32_t kGuestPort = 5000;
constexpr uint32_t kHostPort = 1024;
constexpr uint32_t kBufferSize = 4096;
constexpr uint32_t kOwnPort = uint32_t{1} << 30;

// Keeps what connects; accepts it at once, or leaves that to the test.
class KeepingService final : public VsockService {
 public:
  // Streams stay where they are.
  KeepingService() { streams.reserve(64); }

  void OnConnect(VsockStream stream) override {
    streams.push_back(std::move(stream));
    if (accept) streams.back().Accept([this] { ++calls; });
    if (on_connect) on_connect(streams.back());
    if (refuse) streams.pop_back();
  }
  void OnAttach(VsockConnector* device) override { connector = device; }

  bool accept = true;
  bool refuse = false;
  std::function<void(VsockStream&)> on_connect;
  int calls = 0;
  std::vector<VsockStream> streams;
  VsockConnector* connector = nullptr;
};

std::string ReadAll(VsockStream& stream) {
  std::string all;
  for (auto bytes = stream.Peek(); !bytes.empty(); bytes = stream.Peek()) {
    all.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    stream.Consume(bytes.size());
  }
  return all;
}

size_t Write(VsockStream& stream, absl::string_view text) {
  return stream.Write(std::as_bytes(std::span(text)));
}

// Text in which each place differs from its neighbours.
std::string Pattern(size_t size, uint32_t start = 0) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>((start + i) * 31 % 251);
  }
  return text;
}

std::vector<Op> Ops(const std::vector<VsockTestGuest::Packet>& packets) {
  std::vector<Op> ops;
  for (const auto& packet : packets) {
    ops.push_back(static_cast<Op>(packet.header.op));
  }
  return ops;
}

// The layout of the rings.
struct Rings {
  bool packed = false;
  bool event_index = false;
};

class VirtioVsockTest : public ::testing::TestWithParam<Rings> {
 protected:
  explicit VirtioVsockTest(VirtioVsock::Options options = {}) {
    options.guest_cid = kCid;
    options.service = &service_;
    if (options.max_connections == VirtioVsock::Options().max_connections) {
      options.max_connections = 8;
    }
    options.buffer_size = kBufferSize;
    auto device = VirtioVsock::Create(options);
    LIBVMM_CHECK(device.ok());
    device_ = *std::move(device);
    link_.emplace(*device_, VirtioTestLink::Options{
                                .features = virtio::vsock::kFeatureStream,
                                .packed = GetParam().packed,
                                .event_index = GetParam().event_index});
    guest_.emplace(*link_, kCid);
    LIBVMM_CHECK(link_->Activate());
  }

  // The guest connects, and is answered; its stream is the service's last.
  VsockStream& Connect(uint32_t guest_port = kGuestPort) {
    EXPECT_TRUE(guest_->Send(Op::kRequest, guest_port, kHostPort));
    EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kResponse));
    return service_.streams.back();
  }

  // A packet of the connection that Connect made.
  bool Send(Op op, absl::string_view payload = {}) {
    return guest_->Send(op, kGuestPort, kHostPort, payload);
  }
  bool SendShutdown(uint32_t flags) {
    Header header = guest_->Make(Op::kShutdown, kGuestPort, kHostPort);
    header.flags = flags;
    return guest_->Send(header);
  }
  // The guest says how much it has taken, and how much it can.
  bool SendCredit(uint32_t fwd_cnt, uint32_t buf_alloc) {
    Header header = guest_->Make(Op::kCreditUpdate, kGuestPort, kHostPort);
    header.fwd_cnt = fwd_cnt;
    header.buf_alloc = buf_alloc;
    return guest_->Send(header);
  }

  KeepingService service_;
  std::unique_ptr<VirtioVsock> device_;
  std::optional<VirtioTestLink> link_;
  std::optional<VsockTestGuest> guest_;
};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioVsockTest,
                         ::testing::Values(Rings{}, Rings{.event_index = true},
                                           Rings{.packed = true},
                                           Rings{.packed = true,
                                                 .event_index = true}),
                         [](const ::testing::TestParamInfo<Rings>& rings) {
                           return std::string(rings.param.packed ? "Packed"
                                                                 : "Split") +
                                  (rings.param.event_index ? "EventIndex" : "");
                         });

// ---- What it is -------------------------------------------------------------

TEST(VirtioVsockCreateTest, OptionsThatCannotBeAreNamed) {
  struct Row {
    VirtioVsock::Options options;
    const char* name;
  };
  const Row rows[] = {
      {{.guest_cid = 2}, "guest_cid is 2"},
      {{.guest_cid = 0xffffffff}, "guest_cid"},
      {{.guest_cid = 3, .max_connections = 0}, "max_connections is 0"},
      {{.guest_cid = 3, .max_connections = 65537}, "max_connections"},
      {{.guest_cid = 3, .buffer_size = 2048}, "buffer_size is 2048"},
      {{.guest_cid = 3, .buffer_size = 5000}, "buffer_size is 5000"},
      {{.guest_cid = 3, .buffer_size = uint32_t{1} << 31}, "buffer_size"},
      {{.guest_cid = 3, .queue_size = 0}, "queue_size is 0"},
      {{.guest_cid = 3, .queue_size = 48}, "queue_size is 48"},
      {{.guest_cid = 3, .connect_timeout = absl::ZeroDuration()},
       "connect_timeout"},
      {{.guest_cid = 3, .close_timeout = -absl::Seconds(1)}, "close_timeout"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto device = VirtioVsock::Create(row.options);
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(device.status().message()), HasSubstr(row.name));
  }
  EXPECT_THAT(VirtioVsock::Create({.guest_cid = 3}), IsOk());
  EXPECT_THAT(VirtioVsock::Create({.guest_cid = 0xfffffffe}), IsOk());
}

TEST(VirtioVsockCreateTest, TraitsAreThoseOfASocketDevice) {
  auto device = VirtioVsock::Create({.guest_cid = 3, .queue_size = 256});
  ASSERT_THAT(device, IsOk());
  const VirtioDevice::Traits& traits = (*device)->traits();
  EXPECT_EQ(traits.id, VirtioDeviceId::kVsock);
  EXPECT_EQ(traits.features, virtio::vsock::kFeatureStream | virtio::kInOrder);
  ASSERT_THAT(traits.queues, SizeIs(3));
  for (const auto& queue : traits.queues) {
    EXPECT_EQ(queue.max_size, 256);
    EXPECT_EQ(queue.lane, 0);
  }
  EXPECT_EQ(traits.lanes, 1);
  EXPECT_EQ(traits.config_size, 8u);
}

TEST(VirtioVsockCreateTest, ConfigurationIsTheCidAndReadOnly) {
  auto device = VirtioVsock::Create({.guest_cid = 0x01020304});
  ASSERT_THAT(device, IsOk());
  std::array<std::byte, 8> all{};
  (*device)->ReadConfig(0, all);
  EXPECT_THAT(
      all, ElementsAre(std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1},
                       std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0}));
  (*device)->WriteConfig(0, std::array<std::byte, 8>{});
  std::array<std::byte, 2> part{};
  (*device)->ReadConfig(1, part);
  EXPECT_THAT(part, ElementsAre(std::byte{3}, std::byte{2}));
}

TEST(VirtioVsockCreateTest, ActivationWantsBothDataQueues) {
  auto device = VirtioVsock::Create({.guest_cid = 3});
  ASSERT_THAT(device, IsOk());
  for (const uint16_t queue : {kRxQueue, kTxQueue}) {
    VirtioTestLink link(**device, {.disabled = {queue}});
    EXPECT_FALSE(link.Activate());
  }
  VirtioTestLink link(**device, {.disabled = {kEventQueue}});
  EXPECT_TRUE(link.Activate());
  EXPECT_THAT((*device)->ResetTransport(), IsOk());
  EXPECT_FALSE(link.failed());
}

// ---- Connections of the guest -----------------------------------------------

TEST_P(VirtioVsockTest, RequestIsAnsweredWithResponse) {
  guest_->AddRx(4);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  const auto packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(1));
  const Header& header = packets[0].header;
  EXPECT_EQ(header.src_cid, kHostCid);
  EXPECT_EQ(header.dst_cid, kCid);
  EXPECT_EQ(header.src_port, kHostPort);
  EXPECT_EQ(header.dst_port, kGuestPort);
  EXPECT_EQ(header.len, 0u);
  EXPECT_EQ(header.type, 1);
  EXPECT_EQ(header.op, 2);
  EXPECT_EQ(header.flags, 0u);
  EXPECT_EQ(header.buf_alloc, kBufferSize);
  EXPECT_EQ(header.fwd_cnt, 0u);
  ASSERT_THAT(service_.streams, SizeIs(1));
  EXPECT_EQ(service_.streams[0].state(), VsockState::kOpen);
  EXPECT_EQ(service_.streams[0].guest_port(), kGuestPort);
  EXPECT_EQ(service_.streams[0].host_port(), kHostPort);
  EXPECT_EQ(device_->connections(), 1u);
}

TEST_P(VirtioVsockTest, StreamCanBeAcceptedLater) {
  service_.accept = false;
  guest_->AddRx(4);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  VsockStream& stream = service_.streams.back();
  EXPECT_EQ(stream.state(), VsockState::kAsking);
  EXPECT_TRUE(stream.Room().empty());
  EXPECT_EQ(Write(stream, "early"), 0u);
  EXPECT_TRUE(stream.Peek().empty());
  EXPECT_FALSE(stream.AtEnd());
  stream.Accept(nullptr);
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kResponse));
  EXPECT_EQ(Write(stream, "hello"), 5u);
  EXPECT_EQ(guest_->Receive().at(0).payload, "hello");
}

TEST_P(VirtioVsockTest, StreamThatIsDestroyedRefuses) {
  service_.accept = false;
  service_.refuse = true;
  guest_->AddRx(4);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_P(VirtioVsockTest, GuestThatGivesUpIsSeenByALateAccept) {
  service_.accept = false;
  guest_->AddRx(4);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  ASSERT_TRUE(Send(Op::kReset));
  VsockStream& stream = service_.streams.back();
  stream.Accept([] { FAIL() << "there is no connection"; });
  EXPECT_EQ(stream.state(), VsockState::kReset);
  EXPECT_TRUE(stream.AtEnd());
  EXPECT_FALSE(stream.CanWrite());
  EXPECT_THAT(guest_->Receive(), IsEmpty());
}

TEST_P(VirtioVsockTest, ConnectionsBeyondTheLimitAreReset) {
  guest_->AddRx(16);
  for (uint32_t port = 1; port <= 8; ++port) Connect(port);
  ASSERT_TRUE(guest_->Send(Op::kRequest, 9, kHostPort));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(device_->connections(), 8u);
  EXPECT_THAT(service_.streams, SizeIs(8));
  // The guest lets go of one; the stream still holds its place.
  ASSERT_TRUE(guest_->Send(Op::kReset, 1, kHostPort));
  EXPECT_EQ(device_->connections(), 8u);
  service_.streams.erase(service_.streams.begin());
  EXPECT_EQ(device_->connections(), 7u);
  Connect(9);
}

TEST_P(VirtioVsockTest, PortsTellConnectionsApart) {
  guest_->AddRx(16);
  struct Row {
    uint32_t guest;
    uint32_t host;
  };
  const Row rows[] = {{1, 2}, {2, 1}, {1, 1}, {2, 2}, {0xffffffff, 0}};
  for (const Row& row : rows) {
    ASSERT_TRUE(guest_->Send(Op::kRequest, row.guest, row.host));
  }
  EXPECT_THAT(guest_->Receive(), SizeIs(5));
  for (const Row& row : rows) {
    ASSERT_TRUE(guest_->Send(Op::kReadWrite, row.guest, row.host,
                             absl::StrCat(row.guest, " ", row.host)));
  }
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(ReadAll(service_.streams[i]),
              absl::StrCat(rows[i].guest, " ", rows[i].host));
  }
}

TEST(VirtioVsockServiceTest, WithoutAServiceEveryRequestIsReset) {
  auto device = VirtioVsock::Create({.guest_cid = kCid});
  ASSERT_THAT(device, IsOk());
  VirtioTestLink link(**device);
  ASSERT_TRUE(link.Activate());
  VsockTestGuest guest(link, kCid);
  guest.AddRx(1);
  ASSERT_TRUE(guest.Send(Op::kRequest, 1, 2));
  EXPECT_THAT(Ops(guest.Receive()), ElementsAre(Op::kReset));
}

TEST(VirtioVsockServiceTest, ServiceIsToldOfTheDeviceAndOfItsEnd) {
  KeepingService service;
  auto device = VirtioVsock::Create({.guest_cid = kCid, .service = &service});
  ASSERT_THAT(device, IsOk());
  EXPECT_EQ(service.connector, device->get());
  device->reset();
  EXPECT_EQ(service.connector, nullptr);
}

// ---- Data -------------------------------------------------------------------

TEST_P(VirtioVsockTest, DataOfTheGuestArriveInOrder) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  std::string sent;
  std::string got;
  for (uint32_t i = 0; i < 50; ++i) {
    const std::string part = Pattern(700 + i, i);
    sent += part;
    ASSERT_TRUE(Send(Op::kReadWrite, part));
    got += ReadAll(stream);
  }
  EXPECT_EQ(got, sent);
  EXPECT_GT(service_.calls, 49);
}

TEST_P(VirtioVsockTest, PacketInManyDescriptorsIsThatPacket) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  const std::string text = "in single bytes";
  ASSERT_TRUE(guest_->Send(guest_->Make(Op::kReadWrite, kGuestPort, kHostPort),
                           text, /*piece=*/1));
  EXPECT_EQ(ReadAll(stream), text);
}

TEST_P(VirtioVsockTest, BytesBehindThePayloadAreIgnored) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  Header header = guest_->Make(Op::kReadWrite, kGuestPort, kHostPort);
  header.len = 4;
  ASSERT_TRUE(guest_->SendBytes(VsockTestGuest::Bytes(header) + "data+more"));
  EXPECT_EQ(ReadAll(stream), "data");
}

TEST_P(VirtioVsockTest, ReadTakesWhatThereIs) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "abcdef"));
  std::array<std::byte, 4> four;
  EXPECT_EQ(stream.Read(four), 4u);
  EXPECT_EQ(std::memcmp(four.data(), "abcd", 4), 0);
  EXPECT_EQ(stream.Read(four), 2u);
  EXPECT_EQ(std::memcmp(four.data(), "ef", 2), 0);
  EXPECT_EQ(stream.Read(four), 0u);
}

TEST_P(VirtioVsockTest, EachPacketFillsABuffer) {
  guest_->AddRx(3, kHeaderSize + 100);
  VsockStream& stream = Connect();
  const std::string text = Pattern(250);
  ASSERT_EQ(Write(stream, text), 250u);
  const auto packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(3));
  std::string got;
  for (const auto& packet : packets) {
    EXPECT_EQ(packet.header.op, static_cast<uint16_t>(Op::kReadWrite));
    EXPECT_EQ(packet.header.len, packet.payload.size());
    got += packet.payload;
  }
  EXPECT_EQ(packets[0].payload.size(), 100u);
  EXPECT_EQ(packets[2].payload.size(), 50u);
  EXPECT_EQ(got, text);
}

TEST_P(VirtioVsockTest, ManyBytesBothWaysAreWhole) {
  guest_->AddRx(4, 1000);
  VsockStream& stream = Connect();
  constexpr size_t kTotal = 1 << 20;
  const std::string sent = Pattern(kTotal);
  std::string echoed;
  size_t next = 0;
  uint32_t taken = 0;
  uint32_t credit = kBufferSize;
  std::string held;
  while (echoed.size() < kTotal) {
    if (next < kTotal && credit != 0) {
      const size_t size = std::min<size_t>({777, kTotal - next, credit});
      Header header = guest_->Make(Op::kReadWrite, kGuestPort, kHostPort);
      header.fwd_cnt = taken;
      ASSERT_TRUE(
          guest_->Send(header, absl::string_view(sent).substr(next, size)));
      next += size;
    }
    held += ReadAll(stream);
    held.erase(0, Write(stream, held));
    for (const auto& packet : guest_->Receive()) {
      ASSERT_NE(packet.header.op, static_cast<uint16_t>(Op::kReset));
      echoed += packet.payload;
      taken += packet.header.len;
      credit = packet.header.buf_alloc -
               (static_cast<uint32_t>(next) - packet.header.fwd_cnt);
    }
  }
  EXPECT_EQ(echoed, sent);
}

TEST_P(VirtioVsockTest, ConnectionsTakeTurnsInTheReceiveQueue) {
  guest_->AddRx(4, kHeaderSize + 64);
  Connect(1);
  Connect(2);
  guest_->Receive(/*again=*/false);
  // Take the buffers out by filling them.
  for (VsockStream& stream : service_.streams) {
    ASSERT_EQ(Write(stream, std::string(1024, 'x')), 1024u);
  }
  std::array<int, 3> of_port{};
  for (const auto& packet : guest_->Receive()) {
    if (packet.header.dst_port == 1 && of_port[2] < 10) ++of_port[1];
    if (packet.header.dst_port == 2 && of_port[1] < 17) ++of_port[2];
  }
  EXPECT_GT(of_port[2], 5);
}

// ---- Credit -----------------------------------------------------------------

TEST_P(VirtioVsockTest, HostSendsNoMoreThanTheGuestHasRoomFor) {
  guest_->AddRx(16);
  Header request = guest_->Make(Op::kRequest, kGuestPort, kHostPort);
  request.buf_alloc = 100;
  ASSERT_TRUE(guest_->Send(request));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kResponse));
  VsockStream& stream = service_.streams.back();
  const std::string text = Pattern(300);
  ASSERT_EQ(Write(stream, text), 300u);
  auto packets = guest_->Receive();
  EXPECT_THAT(Ops(packets), ElementsAre(Op::kReadWrite, Op::kCreditRequest));
  std::string got = packets[0].payload;
  EXPECT_EQ(got.size(), 100u);
  // Asked once only, whatever happens besides.
  stream.Commit(0);
  ASSERT_EQ(Write(stream, "!"), 1u);
  EXPECT_THAT(guest_->Receive(), IsEmpty());

  ASSERT_TRUE(SendCredit(/*fwd_cnt=*/40, /*buf_alloc=*/100));
  packets = guest_->Receive();
  EXPECT_THAT(Ops(packets), ElementsAre(Op::kReadWrite, Op::kCreditRequest));
  got += packets[0].payload;
  EXPECT_EQ(got.size(), 140u);
  ASSERT_TRUE(SendCredit(/*fwd_cnt=*/140, /*buf_alloc=*/1000));
  packets = guest_->Receive();
  EXPECT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  got += packets[0].payload;
  EXPECT_EQ(got, text + "!");
}

TEST_P(VirtioVsockTest, CreditThatCannotBeIsNone) {
  guest_->AddRx(16);
  VsockStream& stream = Connect();
  struct Row {
    uint32_t fwd_cnt;
    uint32_t buf_alloc;
  };
  // Taken what was never sent; a buffer that shrinks below what is in flight.
  for (const Row& row :
       {Row{1, 4096}, Row{0x80000000, 0x7fffffff}, Row{0, 0}}) {
    ASSERT_TRUE(SendCredit(row.fwd_cnt, row.buf_alloc));
    Write(stream, "x");
    for (const auto& packet : guest_->Receive()) {
      EXPECT_EQ(packet.header.op, static_cast<uint16_t>(Op::kCreditRequest));
    }
  }
  ASSERT_TRUE(SendCredit(0, 4096));
  const auto packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_EQ(packets[0].payload, "xxx");
  EXPECT_EQ(stream.state(), VsockState::kOpen);
}

TEST_P(VirtioVsockTest, CreditRequestIsAnswered) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "12345"));
  stream.Consume(3);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  ASSERT_TRUE(Send(Op::kCreditRequest));
  const auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kCreditUpdate));
  EXPECT_EQ(packets[0].header.fwd_cnt, 3u);
  EXPECT_EQ(packets[0].header.buf_alloc, kBufferSize);
}

TEST_P(VirtioVsockTest, CreditUpdateComesWhenAQuarterWasRead) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, Pattern(2000)));
  stream.Consume(1023);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  stream.Consume(1);
  auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kCreditUpdate));
  EXPECT_EQ(packets[0].header.fwd_cnt, 1024u);
  stream.Consume(900);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  // Any packet carries it.
  ASSERT_EQ(Write(stream, "x"), 1u);
  packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  EXPECT_EQ(packets[0].header.fwd_cnt, 1924u);
}

TEST_P(VirtioVsockTest, DataBeyondTheCreditResetTheConnection) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, Pattern(kBufferSize)));
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  ASSERT_TRUE(Send(Op::kReadWrite, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kReset);
  EXPECT_FALSE(stream.AtEnd());
  EXPECT_EQ(ReadAll(stream), Pattern(kBufferSize));
  EXPECT_TRUE(stream.AtEnd());
}

TEST_P(VirtioVsockTest, StreamIsCalledWhenThereIsRoomAgain) {
  guest_->AddRx(16);
  Header request = guest_->Make(Op::kRequest, kGuestPort, kHostPort);
  request.buf_alloc = 0;
  ASSERT_TRUE(guest_->Send(request));
  guest_->Receive();
  VsockStream& stream = service_.streams.back();
  EXPECT_EQ(Write(stream, Pattern(kBufferSize + 1)), kBufferSize);
  EXPECT_TRUE(stream.Room().empty());
  EXPECT_TRUE(stream.CanWrite());
  const int before = service_.calls;
  ASSERT_TRUE(SendCredit(0, 10));
  EXPECT_EQ(service_.calls, before + 1);
  EXPECT_EQ(stream.Room().size(), 10u);
}

// ---- The end ----------------------------------------------------------------

TEST_P(VirtioVsockTest, GuestThatSendsNoMoreGivesAnEnd) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "last"));
  ASSERT_TRUE(SendShutdown(kShutdownSend));
  EXPECT_FALSE(stream.AtEnd());
  EXPECT_EQ(ReadAll(stream), "last");
  EXPECT_TRUE(stream.AtEnd());
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_TRUE(stream.CanWrite());
  ASSERT_EQ(Write(stream, "answer"), 6u);
  EXPECT_EQ(guest_->Receive().at(0).payload, "answer");
}

TEST_P(VirtioVsockTest, GuestThatReceivesNoMoreIsSentNothing) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendCredit(0, 0));
  ASSERT_EQ(Write(stream, "unsent"), 6u);
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kCreditRequest));
  ASSERT_TRUE(SendShutdown(kShutdownReceive));
  EXPECT_FALSE(stream.CanWrite());
  EXPECT_EQ(Write(stream, "more"), 0u);
  ASSERT_TRUE(SendCredit(0, 4096));
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  ASSERT_TRUE(Send(Op::kReadWrite, "still sending"));
  EXPECT_EQ(ReadAll(stream), "still sending");
}

TEST_P(VirtioVsockTest, ShutdownHintsArePermanent) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendShutdown(kShutdownSend));
  ASSERT_TRUE(SendShutdown(0));
  EXPECT_TRUE(stream.AtEnd());
  // Both were said, though never at once.
  ASSERT_TRUE(SendShutdown(kShutdownReceive));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kEnded);
}

TEST_P(VirtioVsockTest, CleanDisconnectOfTheGuestIsAnsweredWithReset) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "bye"));
  const int before = service_.calls;
  ASSERT_TRUE(SendShutdown(kShutdownBoth));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kEnded);
  EXPECT_GT(service_.calls, before);
  EXPECT_EQ(ReadAll(stream), "bye");
  EXPECT_TRUE(stream.AtEnd());
  // The pair of ports is free, though the stream is still held.
  VsockStream& second = Connect();
  EXPECT_EQ(second.state(), VsockState::kOpen);
  EXPECT_EQ(device_->connections(), 2u);
}

TEST_P(VirtioVsockTest, ResetOfTheGuestKeepsWhatItSent) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "before"));
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kReset);
  EXPECT_EQ(ReadAll(stream), "before");
  EXPECT_TRUE(stream.AtEnd());
  EXPECT_FALSE(stream.CanWrite());
  EXPECT_EQ(Write(stream, "x"), 0u);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
}

TEST_P(VirtioVsockTest, ShutdownWriteIsToldBehindTheLastByte) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendCredit(0, 3));
  ASSERT_EQ(Write(stream, "abcdef"), 6u);
  stream.ShutdownWrite();
  EXPECT_FALSE(stream.CanWrite());
  EXPECT_EQ(Write(stream, "x"), 0u);
  EXPECT_THAT(Ops(guest_->Receive()),
              ElementsAre(Op::kReadWrite, Op::kCreditRequest));
  ASSERT_TRUE(SendCredit(3, 3));
  const auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite, Op::kShutdown));
  EXPECT_EQ(packets[0].payload, "def");
  EXPECT_EQ(packets[1].header.flags, kShutdownSend);
  ASSERT_TRUE(Send(Op::kReadWrite, "still there"));
  EXPECT_EQ(ReadAll(stream), "still there");
}

TEST_P(VirtioVsockTest, ShutdownReadDropsWhatComes) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  stream.ShutdownRead();
  const auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kShutdown));
  EXPECT_EQ(packets[0].header.flags, kShutdownReceive);
  // Sent before the guest knew; any amount.
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Send(Op::kReadWrite, Pattern(kBufferSize)));
  }
  EXPECT_TRUE(stream.Peek().empty());
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_EQ(Write(stream, "x"), 1u);
}

TEST_P(VirtioVsockTest, CloseShutsDownAndWaitsForTheReset) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendCredit(0, 2));
  ASSERT_EQ(Write(stream, "tail"), 4u);
  guest_->Receive();
  stream.Close();
  EXPECT_EQ(stream.state(), VsockState::kReset);
  auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kShutdown));
  EXPECT_EQ(packets[0].header.flags, kShutdownReceive);
  EXPECT_EQ(device_->connections(), 1u);
  // What was written still goes.
  ASSERT_TRUE(SendCredit(2, 2));
  packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite, Op::kShutdown));
  EXPECT_EQ(packets[0].payload, "il");
  EXPECT_EQ(packets[1].header.flags, kShutdownBoth);
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
}

TEST_P(VirtioVsockTest, GuestThatDoesNotAnswerACloseIsReset) {
  guest_->AddRx(4);
  Connect().Close();
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kShutdown));
  link_->Advance(absl::Seconds(8) - absl::Nanoseconds(1));
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  EXPECT_EQ(device_->connections(), 1u);
  link_->Advance(absl::Nanoseconds(1));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
}

TEST_P(VirtioVsockTest, BothSidesMayCloseAtOnce) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  stream.ShutdownRead();
  stream.ShutdownWrite();
  guest_->Receive();
  ASSERT_TRUE(SendShutdown(kShutdownBoth));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kEnded);
  // The guest's own answer finds nothing, and is not answered.
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_THAT(guest_->Receive(), IsEmpty());
}

TEST_P(VirtioVsockTest, ResetOfTheHostIsOne) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendCredit(0, 0));
  ASSERT_EQ(Write(stream, "dropped"), 7u);
  guest_->Receive();
  stream.Reset();
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
  // What the guest still sends is of no connection.
  ASSERT_TRUE(Send(Op::kReadWrite, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
}

TEST_P(VirtioVsockTest, DataOnTheWayDoNotDisturbAClose) {
  guest_->AddRx(4);
  Connect().Close();
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kShutdown));
  ASSERT_TRUE(Send(Op::kReadWrite, Pattern(kBufferSize)));
  for (const auto& packet : guest_->Receive()) {
    EXPECT_EQ(packet.header.op, static_cast<uint16_t>(Op::kCreditUpdate));
  }
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_P(VirtioVsockTest, CallbackMayCloseItsStream) {
  guest_->AddRx(4);
  service_.accept = false;
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  VsockStream& stream = service_.streams.back();
  int calls = 0;
  stream.Accept([&stream, &calls] {
    ++calls;
    if (!stream.Peek().empty()) stream.Close();
  });
  guest_->Receive();
  ASSERT_TRUE(Send(Op::kReadWrite, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kShutdown));
  const int before = calls;
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_EQ(calls, before);
  EXPECT_EQ(device_->connections(), 0u);
}

// ---- Connections of the host ------------------------------------------------

TEST_P(VirtioVsockTest, HostConnects) {
  guest_->AddRx(4);
  int calls = 0;
  auto stream = device_->Connect(7, [&calls] { ++calls; });
  ASSERT_THAT(stream, IsOk());
  EXPECT_EQ(stream->state(), VsockState::kConnecting);
  // What is written already waits for the answer.
  ASSERT_EQ(Write(*stream, "first"), 5u);
  auto packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kRequest));
  EXPECT_EQ(packets[0].header.src_port, kOwnPort);
  EXPECT_EQ(packets[0].header.dst_port, 7u);
  EXPECT_EQ(packets[0].header.buf_alloc, kBufferSize);
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(guest_->Send(Op::kResponse, 7, kOwnPort));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(stream->state(), VsockState::kOpen);
  EXPECT_EQ(stream->host_port(), kOwnPort);
  packets = guest_->Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  EXPECT_EQ(packets[0].payload, "first");
  link_->Advance(absl::Seconds(10));
  EXPECT_EQ(stream->state(), VsockState::kOpen);
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
}

TEST_P(VirtioVsockTest, GuestRefuses) {
  guest_->AddRx(4);
  int calls = 0;
  auto stream = device_->Connect(7, [&calls] { ++calls; });
  ASSERT_THAT(stream, IsOk());
  guest_->Receive();
  ASSERT_TRUE(guest_->Send(Op::kReset, 7, kOwnPort));
  EXPECT_EQ(stream->state(), VsockState::kReset);
  EXPECT_EQ(calls, 1);
  stream->Close();
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_P(VirtioVsockTest, GuestThatDoesNotAnswerARequestIsReset) {
  guest_->AddRx(4);
  auto stream = device_->Connect(7, nullptr);
  ASSERT_THAT(stream, IsOk());
  guest_->Receive();
  link_->Advance(absl::Seconds(2) - absl::Nanoseconds(1));
  EXPECT_EQ(stream->state(), VsockState::kConnecting);
  link_->Advance(absl::Nanoseconds(1));
  EXPECT_EQ(stream->state(), VsockState::kReset);
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  // The answer that comes too late is one of no connection.
  ASSERT_TRUE(guest_->Send(Op::kResponse, 7, kOwnPort));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
}

TEST_P(VirtioVsockTest, RequestThatWasNeverSentIsGivenUpQuietly) {
  auto stream = device_->Connect(7, nullptr);
  ASSERT_THAT(stream, IsOk());
  link_->Advance(absl::Seconds(2));
  EXPECT_EQ(stream->state(), VsockState::kReset);
  auto second = device_->Connect(7, nullptr);
  ASSERT_THAT(second, IsOk());
  second->Close();
  guest_->AddRx(4);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  stream->Close();
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_P(VirtioVsockTest, ConnectingStreamThatIsClosedResetsTheGuest) {
  guest_->AddRx(4);
  auto stream = device_->Connect(7, nullptr);
  ASSERT_THAT(stream, IsOk());
  guest_->Receive();
  stream->Close();
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_P(VirtioVsockTest, HostPortsThatAreInUseArePassedOver) {
  guest_->AddRx(8);
  ASSERT_TRUE(guest_->Send(Op::kRequest, 7, kOwnPort));
  guest_->Receive();
  auto stream = device_->Connect(7, nullptr);
  ASSERT_THAT(stream, IsOk());
  auto packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_EQ(packets[0].header.src_port, kOwnPort + 1);
  auto second = device_->Connect(7, nullptr);
  ASSERT_THAT(second, IsOk());
  packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_EQ(packets[0].header.src_port, kOwnPort + 2);
}

TEST_P(VirtioVsockTest, HostConnectionsCountForTheLimit) {
  std::vector<VsockStream> streams;
  for (int i = 0; i < 8; ++i) {
    auto stream = device_->Connect(7, nullptr);
    ASSERT_THAT(stream, IsOk());
    streams.push_back(*std::move(stream));
  }
  EXPECT_EQ(device_->Connect(7, nullptr).status().code(),
            absl::StatusCode::kResourceExhausted);
  streams.pop_back();
  EXPECT_THAT(device_->Connect(7, nullptr), IsOk());
}

TEST_P(VirtioVsockTest, WithoutADriverTheHostCannotConnect) {
  link_->Reset();
  EXPECT_EQ(device_->Connect(7, nullptr).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(device_->connections(), 0u);
}

// ---- Hostile packets --------------------------------------------------------

TEST_P(VirtioVsockTest, PacketsOfNoConnection) {
  guest_->AddRx(16);
  struct Row {
    const char* name;
    Op op;
    bool answered;
  };
  const Row rows[] = {
      {"unknown operation", Op::kInvalid, true},
      {"response nobody waits for", Op::kResponse, true},
      {"reset", Op::kReset, false},
      {"shutdown", Op::kShutdown, true},
      {"data", Op::kReadWrite, true},
      {"credit", Op::kCreditUpdate, true},
      {"credit request", Op::kCreditRequest, true},
      {"operation of the future", static_cast<Op>(8), true},
      {"last operation", static_cast<Op>(0xffff), true},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_TRUE(guest_->Send(row.op, 11, 22, "x"));
    const auto packets = guest_->Receive();
    ASSERT_THAT(packets, SizeIs(row.answered ? 1 : 0));
    if (!row.answered) continue;
    EXPECT_EQ(packets[0].header.op, static_cast<uint16_t>(Op::kReset));
    EXPECT_EQ(packets[0].header.src_port, 22u);
    EXPECT_EQ(packets[0].header.dst_port, 11u);
    EXPECT_EQ(packets[0].header.len, 0u);
  }
  EXPECT_FALSE(link_->failed());
  EXPECT_THAT(service_.streams, IsEmpty());
}

TEST_P(VirtioVsockTest, OtherContextIdsAreDropped) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  struct Row {
    uint64_t src;
    uint64_t dst;
  };
  const Row rows[] = {{kCid + 1, kHostCid},
                      {kCid, kHostCid + 1},
                      {kHostCid, kCid},
                      {kCid | uint64_t{1} << 32, kHostCid},
                      {kCid, kHostCid | uint64_t{1} << 32},
                      {0, 0}};
  for (const Row& row : rows) {
    Header header = guest_->Make(Op::kReset, kGuestPort, kHostPort);
    header.src_cid = row.src;
    header.dst_cid = row.dst;
    ASSERT_TRUE(guest_->Send(header));
    header.op = static_cast<uint16_t>(Op::kRequest);
    ASSERT_TRUE(guest_->Send(header));
  }
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_EQ(guest_->unsent(), 0u);
}

TEST_P(VirtioVsockTest, UnknownTypesAreReset) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  for (const uint16_t type : {0, 2, 3, 0xffff}) {
    Header header = guest_->Make(Op::kReadWrite, kGuestPort, kHostPort);
    header.type = type;
    ASSERT_TRUE(guest_->Send(header, "x"));
    const auto packets = guest_->Receive();
    ASSERT_THAT(Ops(packets), ElementsAre(Op::kReset));
    EXPECT_EQ(packets[0].header.type, type);
    header.op = static_cast<uint16_t>(Op::kReset);
    ASSERT_TRUE(guest_->Send(header));
    EXPECT_THAT(guest_->Receive(), IsEmpty());
  }
  // Sockets of another type are not this one.
  EXPECT_EQ(stream.state(), VsockState::kOpen);
  EXPECT_TRUE(stream.Peek().empty());
}

TEST_P(VirtioVsockTest, PacketShorterThanAHeaderIsDropped) {
  guest_->AddRx(4);
  const std::string header =
      VsockTestGuest::Bytes(guest_->Make(Op::kRequest, 1, 2));
  for (const size_t size : {1u, 43u}) {
    ASSERT_TRUE(guest_->SendBytes(header.substr(0, size)));
  }
  EXPECT_EQ(guest_->unsent(), 0u);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  EXPECT_FALSE(link_->failed());
  EXPECT_THAT(service_.streams, IsEmpty());
}

TEST_P(VirtioVsockTest, TransmitChainWithoutReadableBytesIsDropped) {
  guest_->AddRx(4);
  link_->driver(kTxQueue).Add(
      {{.gpa = link_->Allocate(64), .size = 64, .writable = true}});
  link_->Kick(kTxQueue);
  EXPECT_TRUE(link_->driver(kTxQueue).Collect().has_value());
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioVsockTest, LengthBeyondTheChainResetsTheConnection) {
  guest_->AddRx(4);
  for (const uint32_t length : {5u, 0xffffffffu}) {
    VsockStream& stream = Connect();
    Header header = guest_->Make(Op::kReadWrite, kGuestPort, kHostPort);
    header.len = length;
    ASSERT_TRUE(guest_->SendBytes(VsockTestGuest::Bytes(header) + "four"));
    EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
    EXPECT_EQ(stream.state(), VsockState::kReset);
    EXPECT_TRUE(stream.Peek().empty());
  }
}

TEST_P(VirtioVsockTest, PacketsThatAnOpenConnectionCannotHave) {
  guest_->AddRx(4);
  for (const Op op : {Op::kInvalid, Op::kRequest, Op::kResponse,
                      static_cast<Op>(8), static_cast<Op>(0xffff)}) {
    SCOPED_TRACE(static_cast<int>(op));
    VsockStream& stream = Connect();
    ASSERT_TRUE(Send(op));
    EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
    EXPECT_EQ(stream.state(), VsockState::kReset);
    service_.streams.clear();
    EXPECT_EQ(device_->connections(), 0u);
  }
}

TEST_P(VirtioVsockTest, DataAfterShutdownResetTheConnection) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  ASSERT_TRUE(SendShutdown(kShutdownSend));
  ASSERT_TRUE(Send(Op::kReadWrite, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream.state(), VsockState::kReset);
}

TEST_P(VirtioVsockTest, DataBeforeTheResponseResetTheConnection) {
  service_.accept = false;
  guest_->AddRx(4);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  ASSERT_TRUE(Send(Op::kReadWrite, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(service_.streams.back().state(), VsockState::kReset);

  auto stream = device_->Connect(7, nullptr);
  ASSERT_THAT(stream, IsOk());
  guest_->Receive();
  ASSERT_TRUE(guest_->Send(Op::kReadWrite, 7, kOwnPort, "x"));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(stream->state(), VsockState::kReset);
}

TEST_P(VirtioVsockTest, MalformedChainNeedsAReset) {
  guest_->AddRx(4);
  VsockStream& stream = Connect();
  link_->driver(kTxQueue).Add({{.gpa = Gpa(uint64_t{1} << 40), .size = 64}});
  link_->Kick(kTxQueue);
  EXPECT_TRUE(link_->failed());
  EXPECT_EQ(stream.state(), VsockState::kReset);
}

TEST_P(VirtioVsockTest, ReceiveBufferWithoutRoomForAHeaderNeedsAReset) {
  guest_->AddRx(1, kHeaderSize - 1);
  // Nothing is looked at before there is something to send.
  EXPECT_FALSE(link_->failed());
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_TRUE(link_->failed());
  EXPECT_EQ(service_.streams.back().state(), VsockState::kReset);
}

TEST_P(VirtioVsockTest, ReceiveBufferOfAHeaderTakesPacketsWithoutData) {
  guest_->AddRx(1, kHeaderSize);
  VsockStream& stream = Connect();
  EXPECT_FALSE(link_->failed());
  EXPECT_EQ(stream.state(), VsockState::kOpen);
}

TEST_P(VirtioVsockTest, ReceiveBufferWithoutRoomForDataNeedsAReset) {
  guest_->AddRx(1, kHeaderSize);
  VsockStream& stream = Connect();
  ASSERT_EQ(Write(stream, "x"), 1u);
  EXPECT_TRUE(link_->failed());
  EXPECT_EQ(stream.state(), VsockState::kReset);
}

// ---- Full rings -------------------------------------------------------------

TEST_P(VirtioVsockTest, RepliesAreBoundedAndTransmitWaitsForReceiveBuffers) {
  // No receive buffers: RSTs pile up to the bound, then packets wait.
  size_t accepted = 0;
  for (size_t i = 0; i < VirtioVsock::kReplyCount + 10; ++i) {
    if (guest_->Send(Op::kReadWrite, static_cast<uint32_t>(i), 9)) ++accepted;
  }
  EXPECT_EQ(accepted, VirtioVsock::kReplyCount + 10);
  EXPECT_EQ(guest_->unsent(), 10u);
  // Nobody spins meanwhile, and looking again changes nothing.
  const uint64_t serves = link_->serves(0);
  link_->Serve(0);
  EXPECT_EQ(link_->serves(0), serves + 1);
  EXPECT_EQ(guest_->unsent(), 10u);

  guest_->AddRx(2);
  const auto packets = guest_->Receive();
  ASSERT_THAT(packets, SizeIs(VirtioVsock::kReplyCount + 10));
  for (size_t i = 0; i < packets.size(); ++i) {
    EXPECT_EQ(packets[i].header.dst_port, i);
    EXPECT_EQ(packets[i].header.op, static_cast<uint16_t>(Op::kReset));
  }
  EXPECT_EQ(guest_->unsent(), 0u);
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioVsockTest, TransmitGoesOnAtOnceWhenReceiveBuffersCome) {
  for (uint32_t i = 0; i < VirtioVsock::kReplyCount + 10; ++i) {
    ASSERT_TRUE(guest_->Send(Op::kReadWrite, i, 9));
  }
  ASSERT_EQ(guest_->unsent(), 10u);
  // One kick for all of them: there is none for the packets that waited.
  guest_->AddRx(VirtioVsock::kReplyCount, kHeaderSize);
  EXPECT_EQ(guest_->unsent(), 0u);
}

TEST_P(VirtioVsockTest, DataOfTheGuestFlowWithoutReceiveBuffers) {
  guest_->AddRx(1);
  VsockStream& stream = Connect();
  guest_->Receive(/*again=*/false);
  ASSERT_EQ(Write(stream, "fills the buffer"), 16u);
  guest_->Receive(/*again=*/false);
  ASSERT_EQ(Write(stream, "waits"), 5u);
  EXPECT_EQ(guest_->rx_buffers(), 0u);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(Send(Op::kReadWrite, Pattern(1000)));
    EXPECT_EQ(ReadAll(stream), Pattern(1000));
  }
  EXPECT_EQ(guest_->unsent(), 0u);
}

TEST_P(VirtioVsockTest, EmptyReceiveRingDoesNotSpinAndItsKickIsNotLost) {
  guest_->AddRx(1);
  VsockStream& stream = Connect();
  ASSERT_EQ(Write(stream, "a"), 1u);
  EXPECT_THAT(guest_->Receive(/*again=*/false), SizeIs(1));
  ASSERT_EQ(Write(stream, "b"), 1u);
  const uint64_t serves = link_->serves(0);
  EXPECT_THAT(guest_->Receive(/*again=*/false), IsEmpty());
  EXPECT_EQ(link_->serves(0), serves);
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
  // The device wants to know of the next buffer: the kick reaches it.
  guest_->AddRx(1);
  EXPECT_EQ(guest_->Receive().at(0).payload, "b");
}

// ---- Reset ------------------------------------------------------------------

TEST_P(VirtioVsockTest, ResetEndsAllConnections) {
  guest_->AddRx(8);
  Connect(1);
  Connect(2);
  service_.accept = false;
  ASSERT_TRUE(guest_->Send(Op::kRequest, 3, kHostPort));
  auto connecting = device_->Connect(7, nullptr);
  ASSERT_THAT(connecting, IsOk());
  ASSERT_TRUE(guest_->Send(Op::kReadWrite, 1, kHostPort, "left over"));
  const int before = service_.calls;
  link_->Reset();
  EXPECT_GE(service_.calls, before + 2);
  for (const VsockStream& stream : service_.streams) {
    EXPECT_EQ(stream.state(), VsockState::kReset);
  }
  EXPECT_EQ(connecting->state(), VsockState::kReset);
  EXPECT_EQ(ReadAll(service_.streams[0]), "left over");
  EXPECT_EQ(Write(service_.streams[0], "x"), 0u);
  EXPECT_EQ(device_->connections(), 4u);
  service_.streams.clear();
  connecting->Close();
  EXPECT_EQ(device_->connections(), 0u);

  // And all begins anew.
  guest_->ForgetBuffers();
  ASSERT_TRUE(link_->Activate());
  service_.accept = true;
  guest_->AddRx(4);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  VsockStream& stream = Connect(1);
  ASSERT_TRUE(guest_->Send(Op::kReadWrite, 1, kHostPort, "new"));
  EXPECT_EQ(ReadAll(stream), "new");
}

TEST_P(VirtioVsockTest, ResetForgetsRepliesThatWait) {
  ASSERT_TRUE(guest_->Send(Op::kReadWrite, 1, 2));
  link_->Reset();
  guest_->ForgetBuffers();
  ASSERT_TRUE(link_->Activate());
  guest_->AddRx(4);
  EXPECT_THAT(guest_->Receive(), IsEmpty());
}

TEST_P(VirtioVsockTest, StreamsOutliveTheDevice) {
  guest_->AddRx(4);
  Connect();
  ASSERT_TRUE(Send(Op::kReadWrite, "kept"));
  link_.reset();
  device_.reset();
  VsockStream stream = std::move(service_.streams.back());
  EXPECT_EQ(stream.state(), VsockState::kReset);
  EXPECT_EQ(ReadAll(stream), "kept");
  EXPECT_EQ(Write(stream, "x"), 0u);
  stream.ShutdownWrite();
  stream.Close();
}

TEST_P(VirtioVsockTest, TransportResetDropsConnectionsAndTellsTheGuest) {
  guest_->AddRx(8);
  VsockStream& stream = Connect();
  const Gpa event = link_->Allocate(sizeof(Event));
  ASSERT_TRUE(link_->memory().Store<uint32_t>(event, 0xffffffff));
  VirtqueueDriver& driver = link_->driver(kEventQueue);
  driver.Add({{.gpa = event, .size = sizeof(Event), .writable = true}});
  link_->Kick(kEventQueue);
  EXPECT_FALSE(driver.Collect().has_value());

  EXPECT_THAT(device_->ResetTransport(kCid + 1), IsOk());
  EXPECT_EQ(stream.state(), VsockState::kReset);
  const auto used = driver.Collect();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, sizeof(Event));
  EXPECT_EQ(link_->memory().Load<uint32_t>(event), 0u);
  // No RST: the guest drops its connections by itself.
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  EXPECT_EQ(device_->guest_cid(), kCid + 1);
  std::array<std::byte, 1> config;
  device_->ReadConfig(0, config);
  EXPECT_EQ(config[0], std::byte{kCid + 1});
  // The old context ID is not the guest's any more.
  ASSERT_TRUE(Send(Op::kRequest));
  EXPECT_THAT(guest_->Receive(), IsEmpty());
  Header header = guest_->Make(Op::kRequest, kGuestPort, kHostPort);
  header.src_cid = kCid + 1;
  ASSERT_TRUE(guest_->Send(header));
  EXPECT_THAT(Ops(guest_->Receive()), ElementsAre(Op::kResponse));
}

TEST_P(VirtioVsockTest, TransportResetWaitsForAnEventBuffer) {
  EXPECT_THAT(device_->ResetTransport(), IsOk());
  EXPECT_EQ(device_->guest_cid(), kCid);
  VirtqueueDriver& driver = link_->driver(kEventQueue);
  for (int i = 0; i < 2; ++i) {
    driver.Add({{.gpa = link_->Allocate(sizeof(Event)),
                 .size = sizeof(Event),
                 .writable = true}});
  }
  link_->Kick(kEventQueue);
  // One event, so one buffer.
  EXPECT_TRUE(driver.Collect().has_value());
  EXPECT_FALSE(driver.Collect().has_value());
}

TEST_P(VirtioVsockTest, EventBufferThatIsTooShortNeedsAReset) {
  VirtqueueDriver& driver = link_->driver(kEventQueue);
  driver.Add({{.gpa = link_->Allocate(3), .size = 3, .writable = true}});
  link_->Kick(kEventQueue);
  EXPECT_FALSE(link_->failed());
  EXPECT_THAT(device_->ResetTransport(), IsOk());
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioVsockTest, TransportResetWithoutADriverOnlyChangesTheCid) {
  link_->Reset();
  EXPECT_THAT(device_->ResetTransport(77), IsOk());
  EXPECT_EQ(device_->guest_cid(), 77u);
  EXPECT_EQ(device_->ResetTransport(2).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(device_->guest_cid(), 77u);
  guest_->ForgetBuffers();
  ASSERT_TRUE(link_->Activate());
  VirtqueueDriver& driver = link_->driver(kEventQueue);
  driver.Add({{.gpa = link_->Allocate(4), .size = 4, .writable = true}});
  link_->Kick(kEventQueue);
  EXPECT_FALSE(driver.Collect().has_value());
}

}  // namespace
}  // namespace libvmm::testing
