// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/vsock_unix_sockets.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
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
#include "libvmm/base/manual_clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using virtio::vsock::Header;
using virtio::vsock::kShutdownBoth;
using virtio::vsock::kShutdownReceive;
using virtio::vsock::kShutdownSend;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
constexpr uint32_t kGuestPort = 5000;
constexpr uint32_t kHostPort = 1024;
constexpr uint32_t kBufferSize = 64 * 1024;
constexpr uint32_t kOwnPort = uint32_t{1} << 30;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd NewSocket() {
  return UniqueFd(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// A folder of its own, which goes with all that is in it. Its name is short:
// that of a socket is limited.
class Folder {
 public:
  Folder() {
    std::string name = "/tmp/vsockXXXXXX";
    LIBVMM_CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    for (const std::string& name : names_) ::unlink(name.c_str());
    ::rmdir(path_.c_str());
  }
  std::string In(absl::string_view name) {
    names_.push_back(absl::StrCat(path_, "/", name));
    return names_.back();
  }

 private:
  std::string path_;
  std::vector<std::string> names_;
};

std::vector<Op> Ops(const std::vector<VsockTestGuest::Packet>& packets) {
  std::vector<Op> ops;
  for (const auto& packet : packets) {
    ops.push_back(static_cast<Op>(packet.header.op));
  }
  return ops;
}

bool SendText(const UniqueFd& fd, absl::string_view text) {
  return ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

// What there is; "<end>" and "<reset>" for these, "" for nothing.
std::string ReceiveText(const UniqueFd& fd) {
  std::string text(256 * 1024, '\0');
  const ssize_t size = ::recv(fd.get(), text.data(), text.size(), 0);
  if (size == 0) return "<end>";
  if (size < 0) return errno == ECONNRESET ? "<reset>" : "";
  text.resize(static_cast<size_t>(size));
  return text;
}

class VsockUnixSocketsTest : public ::testing::Test {
 protected:
  explicit VsockUnixSocketsTest(uint32_t max_connections = 8)
      : path_(folder_.In("s")) {
    auto sockets = VsockUnixSockets::Create(
        {.path = path_, .max_connections = max_connections, .clock = &clock_});
    LIBVMM_CHECK(sockets.ok());
    sockets_ = *std::move(sockets);
    auto device = VirtioVsock::Create({.guest_cid = kCid,
                                       .service = sockets_.get(),
                                       .max_connections = 16,
                                       .buffer_size = kBufferSize});
    LIBVMM_CHECK(device.ok());
    device_ = *std::move(device);
    link_.emplace(*device_);
    guest_.emplace(*link_, kCid);
    LIBVMM_CHECK(link_->Activate());
    guest_->AddRx(16);
  }

  // As a loop does it. Returns how often the descriptor was ready; 100 would be
  // a loop that spins.
  int Loop() {
    int turns = 0;
    for (; turns < 100; ++turns) {
      if (sockets_->NextDeadline() <= clock_.Monotonic()) {
        sockets_->OnDeadline();
      }
      pollfd ready{
          .fd = sockets_->fd(), .events = sockets_->events(), .revents = 0};
      if (::poll(&ready, 1, 0) <= 0) break;
      sockets_->OnReady(ready.revents);
    }
    EXPECT_LT(turns, 100) << "the loop spins";
    return turns;
  }

  // What came to the guest, the loop having done its part.
  std::vector<VsockTestGuest::Packet> Receive() {
    Loop();
    auto packets = guest_->Receive();
    Loop();
    for (auto& packet : guest_->Receive()) packets.push_back(std::move(packet));
    return packets;
  }

  // A program of the host that listens on `port`.
  UniqueFd Listen(uint32_t port) {
    const sockaddr_un address = AddressOf(folder_.In(absl::StrCat("s_", port)));
    UniqueFd fd = NewSocket();
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                     sizeof(address)),
              0);
    EXPECT_EQ(::listen(fd.get(), 4), 0);
    return fd;
  }

  // A program of the host that connects to the socket.
  UniqueFd Dial(const std::string& path) {
    UniqueFd fd = NewSocket();
    const sockaddr_un address = AddressOf(path);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)),
              0);
    return fd;
  }

  // The guest connects to a program of the host.
  UniqueFd ConnectGuest(const UniqueFd& listener) {
    EXPECT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
    EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kResponse));
    return UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
  }

  // A program of the host connects to port 7 of the guest, and says hello.
  UniqueFd ConnectHost(uint32_t host_port = kOwnPort) {
    UniqueFd fd = Dial(path_);
    EXPECT_TRUE(SendText(fd, "CONNECT 7\n"));
    EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kRequest));
    EXPECT_TRUE(guest_->Send(Op::kResponse, 7, host_port));
    Loop();
    EXPECT_EQ(ReceiveText(fd), absl::StrCat("OK ", host_port, "\n"));
    return fd;
  }

  bool Send(Op op, absl::string_view payload = {}) {
    return guest_->Send(op, kGuestPort, kHostPort, payload);
  }
  bool SendShutdown(uint32_t flags) {
    Header header = guest_->Make(Op::kShutdown, kGuestPort, kHostPort);
    header.flags = flags;
    return guest_->Send(header);
  }

  Folder folder_;
  const std::string path_;
  ManualClock clock_;
  std::unique_ptr<VsockUnixSockets> sockets_;
  std::unique_ptr<VirtioVsock> device_;
  std::optional<VirtioTestLink> link_;
  std::optional<VsockTestGuest> guest_;
};

// ---- Making it --------------------------------------------------------------

TEST(VsockUnixSocketsCreateTest, OptionsThatCannotBeAreNamed) {
  ManualClock clock;
  struct Row {
    VsockUnixSockets::Options options;
    const char* name;
  };
  const Row rows[] = {
      {{.path = "", .clock = &clock}, "path has 0"},
      {{.path = std::string(97, 'x'), .clock = &clock}, "path has 97"},
      {{.path = std::string("a\0b", 3), .clock = &clock}, "NUL"},
      {{.path = "x", .max_connections = 0, .clock = &clock},
       "max_connections is 0"},
      {{.path = "x", .max_connections = 65537, .clock = &clock},
       "max_connections"},
      {{.path = "x"}, "clock"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto sockets = VsockUnixSockets::Create(row.options);
    EXPECT_EQ(sockets.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(sockets.status().message()), HasSubstr(row.name));
  }
}

TEST(VsockUnixSocketsCreateTest, PathIsTakenAndGivenBack) {
  Folder folder;
  ManualClock clock;
  const std::string path = folder.In("s");
  auto sockets = VsockUnixSockets::Create({.path = path, .clock = &clock});
  ASSERT_THAT(sockets, IsOk());
  const auto second = VsockUnixSockets::Create({.path = path, .clock = &clock});
  EXPECT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("bind("));
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
  sockets->reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST(VsockUnixSocketsCreateTest, SomebodyElsesSocketIsLeftThere) {
  Folder folder;
  ManualClock clock;
  const std::string path = folder.In("s");
  auto old = VsockUnixSockets::Create({.path = path, .clock = &clock});
  ASSERT_THAT(old, IsOk());
  ASSERT_EQ(::unlink(path.c_str()), 0);
  auto next = VsockUnixSockets::Create({.path = path, .clock = &clock});
  ASSERT_THAT(next, IsOk());
  old->reset();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

// ---- The guest connects -----------------------------------------------------

TEST_F(VsockUnixSocketsTest, GuestTalksToAProgramOfTheHost) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(Send(Op::kReadWrite, "to the host"));
  Loop();
  EXPECT_EQ(ReceiveText(program), "to the host");
  ASSERT_TRUE(SendText(program, "to the guest"));
  const auto packets = Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  EXPECT_EQ(packets[0].payload, "to the guest");
  EXPECT_EQ(sockets_->connections(), 1u);
}

TEST_F(VsockUnixSocketsTest, PortThatNobodyListensOnIsReset) {
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(sockets_->connections(), 0u);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, SocketThatNobodyListensOnAnyMoreIsReset) {
  Listen(kHostPort).Reset();
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kReset));
}

TEST_F(VsockUnixSocketsTest, ProgramWithAFullBacklogIsReset) {
  const UniqueFd listener = Listen(kHostPort);
  std::vector<UniqueFd> waiting;
  int result = 0;
  while (result == 0 && waiting.size() < 100) {
    waiting.push_back(NewSocket());
    const sockaddr_un address = AddressOf(absl::StrCat(path_, "_", kHostPort));
    result =
        ::connect(waiting.back().get(),
                  reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  ASSERT_EQ(errno, EAGAIN);
  ASSERT_TRUE(guest_->Send(Op::kRequest, kGuestPort, kHostPort));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kReset));
}

TEST_F(VsockUnixSocketsTest, GuestIsRefusedWhenAllSocketsAreInUse) {
  const UniqueFd listener = Listen(kHostPort);
  std::vector<UniqueFd> programs;
  for (uint32_t port = 0; port < 8; ++port) {
    ASSERT_TRUE(guest_->Send(Op::kRequest, port, kHostPort));
    EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kResponse));
    programs.push_back(
        UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK)));
  }
  ASSERT_TRUE(guest_->Send(Op::kRequest, 8, kHostPort));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(sockets_->connections(), 8u);
}

// ---- The host connects ------------------------------------------------------

TEST_F(VsockUnixSocketsTest, ProgramOfTheHostTalksToTheGuest) {
  const UniqueFd program = ConnectHost();
  ASSERT_TRUE(guest_->Send(Op::kReadWrite, 7, kOwnPort, "hello host"));
  Loop();
  EXPECT_EQ(ReceiveText(program), "hello host");
  ASSERT_TRUE(SendText(program, "hello guest"));
  const auto packets = Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  EXPECT_EQ(packets[0].payload, "hello guest");
}

TEST_F(VsockUnixSocketsTest, HelloMayComeInPiecesWithDataBehindIt) {
  const UniqueFd program = Dial(path_);
  for (const char* piece : {"CONN", "ECT", " ", "7"}) {
    ASSERT_TRUE(SendText(program, piece));
    EXPECT_THAT(Receive(), IsEmpty());
  }
  ASSERT_TRUE(SendText(program, "\nearly data"));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kRequest));
  ASSERT_TRUE(guest_->Send(Op::kResponse, 7, kOwnPort));
  const auto packets = Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite));
  EXPECT_EQ(packets[0].payload, "early data");
  EXPECT_EQ(ReceiveText(program), "OK 1073741824\n");
}

TEST_F(VsockUnixSocketsTest, LargestPortFits) {
  const UniqueFd program = Dial(path_);
  ASSERT_TRUE(SendText(program, "CONNECT 4294967295\n"));
  const auto packets = Receive();
  ASSERT_THAT(packets, SizeIs(1));
  EXPECT_EQ(packets[0].header.dst_port, 0xffffffffu);
}

TEST_F(VsockUnixSocketsTest, OtherHellosAreClosed) {
  for (const char* hello :
       {"HELLO 7\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT 7 \n",
        "CONNECT +7\n", "CONNECT -7\n", "CONNECT 4294967296\n", "connect 7\n",
        "\n", "CONNECT 7\r\n", "a line that is much too long for a hello"}) {
    SCOPED_TRACE(hello);
    const UniqueFd program = Dial(path_);
    ASSERT_TRUE(SendText(program, hello));
    EXPECT_THAT(Receive(), IsEmpty());
    const std::string answer = ReceiveText(program);
    EXPECT_TRUE(answer == "<end>" || answer == "<reset>") << answer;
    EXPECT_EQ(sockets_->connections(), 0u);
  }
}

TEST_F(VsockUnixSocketsTest, ProgramThatHangsUpBeforeItsHelloIsForgotten) {
  UniqueFd program = Dial(path_);
  Loop();
  EXPECT_EQ(sockets_->connections(), 1u);
  program.Reset();
  Loop();
  EXPECT_EQ(sockets_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, RefusalOfTheGuestClosesTheSocket) {
  const UniqueFd program = Dial(path_);
  ASSERT_TRUE(SendText(program, "CONNECT 7\n"));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kRequest));
  ASSERT_TRUE(guest_->Send(Op::kReset, 7, kOwnPort));
  Loop();
  EXPECT_EQ(ReceiveText(program), "<end>");
  EXPECT_EQ(sockets_->connections(), 0u);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, WithoutADriverTheSocketIsClosed) {
  link_->Reset();
  const UniqueFd program = Dial(path_);
  ASSERT_TRUE(SendText(program, "CONNECT 7\n"));
  Loop();
  EXPECT_EQ(ReceiveText(program), "<end>");
}

TEST_F(VsockUnixSocketsTest, ProgramThatGoesWhileConnectingEndsTheConnection) {
  UniqueFd program = Dial(path_);
  ASSERT_TRUE(SendText(program, "CONNECT 7\n"));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kRequest));
  program.Reset();
  Loop();
  ASSERT_TRUE(guest_->Send(Op::kResponse, 7, kOwnPort));
  const auto packets = Receive();
  ASSERT_FALSE(packets.empty());
  EXPECT_EQ(packets.back().header.op, static_cast<uint16_t>(Op::kShutdown));
  EXPECT_EQ(packets.back().header.flags, kShutdownBoth);
  EXPECT_EQ(sockets_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, MoreProgramsThanSocketsWaitWithoutASpin) {
  std::vector<UniqueFd> programs;
  for (int i = 0; i < 10; ++i) programs.push_back(Dial(path_));
  Loop();
  EXPECT_EQ(sockets_->connections(), 8u);
  programs.erase(programs.begin(), programs.begin() + 2);
  Loop();
  EXPECT_EQ(sockets_->connections(), 8u);
  programs.clear();
  Loop();
  EXPECT_EQ(sockets_->connections(), 0u);
}

// ---- Ends -------------------------------------------------------------------

TEST_F(VsockUnixSocketsTest, GuestThatShutsDownItsSideIsAnEndForTheProgram) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(Send(Op::kReadWrite, "last"));
  ASSERT_TRUE(SendShutdown(kShutdownSend));
  Loop();
  EXPECT_EQ(ReceiveText(program), "last");
  EXPECT_EQ(ReceiveText(program), "<end>");
  ASSERT_TRUE(SendText(program, "answer"));
  EXPECT_EQ(Receive().at(0).payload, "answer");
}

TEST_F(VsockUnixSocketsTest, ProgramThatShutsDownItsSideIsAnEndForTheGuest) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(SendText(program, "last"));
  ASSERT_EQ(::shutdown(program.get(), SHUT_WR), 0);
  const auto packets = Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kReadWrite, Op::kShutdown));
  EXPECT_EQ(packets[0].payload, "last");
  EXPECT_EQ(packets[1].header.flags, kShutdownSend);
  ASSERT_TRUE(Send(Op::kReadWrite, "answer"));
  Loop();
  EXPECT_EQ(ReceiveText(program), "answer");
}

TEST_F(VsockUnixSocketsTest, GuestThatReceivesNoMoreBreaksThePipe) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(SendShutdown(kShutdownReceive));
  Loop();
  EXPECT_FALSE(SendText(program, "x"));
  EXPECT_EQ(errno, EPIPE);
  ASSERT_TRUE(Send(Op::kReadWrite, "still"));
  Loop();
  EXPECT_EQ(ReceiveText(program), "still");
}

TEST_F(VsockUnixSocketsTest, CleanEndOfTheGuestPassesOnWhatItSent) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(Send(Op::kReadWrite, "bye"));
  ASSERT_TRUE(SendShutdown(kShutdownBoth));
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kReset));
  EXPECT_EQ(ReceiveText(program), "bye");
  EXPECT_EQ(ReceiveText(program), "<end>");
  EXPECT_EQ(sockets_->connections(), 0u);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, ProgramThatClosesEndsTheConnection) {
  const UniqueFd listener = Listen(kHostPort);
  UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(SendText(program, "parting words"));
  program.Reset();
  const auto packets = Receive();
  ASSERT_FALSE(packets.empty());
  EXPECT_EQ(packets[0].payload, "parting words");
  EXPECT_EQ(packets.back().header.op, static_cast<uint16_t>(Op::kShutdown));
  EXPECT_EQ(packets.back().header.flags, kShutdownBoth);
  EXPECT_EQ(sockets_->connections(), 0u);
  ASSERT_TRUE(Send(Op::kReset));
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, ProgramThatClosesUnreadStillGetsItsWordsThrough) {
  const UniqueFd listener = Listen(kHostPort);
  UniqueFd program = ConnectGuest(listener);
  ASSERT_TRUE(Send(Op::kReadWrite, "never read"));
  Loop();
  ASSERT_TRUE(SendText(program, "parting words"));
  program.Reset();
  const auto packets = Receive();
  ASSERT_FALSE(packets.empty());
  EXPECT_EQ(packets[0].payload, "parting words");
  EXPECT_EQ(sockets_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, HalfClosedProgramThatGoesIsNoticed) {
  const UniqueFd listener = Listen(kHostPort);
  UniqueFd program = ConnectGuest(listener);
  ASSERT_EQ(::shutdown(program.get(), SHUT_WR), 0);
  EXPECT_THAT(Ops(Receive()), ElementsAre(Op::kShutdown));
  EXPECT_EQ(sockets_->connections(), 1u);
  program.Reset();
  const auto packets = Receive();
  ASSERT_THAT(Ops(packets), ElementsAre(Op::kShutdown));
  EXPECT_EQ(packets[0].header.flags, kShutdownBoth);
  EXPECT_EQ(sockets_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, ResetOfTheDeviceClosesAllSockets) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd first = ConnectGuest(listener);
  const UniqueFd second = ConnectHost();
  ASSERT_TRUE(Send(Op::kReadWrite, "left over"));
  link_->Reset();
  Loop();
  EXPECT_EQ(ReceiveText(first), "left over");
  EXPECT_EQ(ReceiveText(first), "<end>");
  EXPECT_EQ(ReceiveText(second), "<end>");
  EXPECT_EQ(sockets_->connections(), 0u);
  EXPECT_EQ(device_->connections(), 0u);
}

TEST_F(VsockUnixSocketsTest, DeviceMayGoFirst) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd first = ConnectGuest(listener);
  const UniqueFd waiting = Dial(path_);
  Loop();
  link_.reset();
  device_.reset();
  ASSERT_TRUE(SendText(waiting, "CONNECT 7\n"));
  Loop();
  EXPECT_EQ(ReceiveText(first), "<end>");
  EXPECT_EQ(ReceiveText(waiting), "<end>");
  EXPECT_EQ(sockets_->connections(), 0u);
}

// ---- Back-pressure ----------------------------------------------------------

TEST_F(VsockUnixSocketsTest, ProgramThatDoesNotReadStopsTheGuest) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  const std::string block(16 * 1024, 'g');
  // The guest sends while it has credit.
  uint32_t sent = 0;
  uint32_t fwd_cnt = 0;
  while (sent - fwd_cnt + block.size() <= kBufferSize && sent < (64u << 20)) {
    ASSERT_TRUE(Send(Op::kReadWrite, block));
    sent += static_cast<uint32_t>(block.size());
    for (const auto& packet : Receive()) {
      ASSERT_EQ(packet.header.op, static_cast<uint16_t>(Op::kCreditUpdate));
      fwd_cnt = packet.header.fwd_cnt;
    }
  }
  EXPECT_LT(sent, 64u << 20);
  EXPECT_EQ(Loop(), 0);
  // All of it comes when the program reads.
  uint32_t got = 0;
  while (got < sent) {
    const std::string text = ReceiveText(program);
    ASSERT_EQ(text, std::string(text.size(), 'g'));
    got += static_cast<uint32_t>(text.size());
    Loop();
    guest_->Receive();
  }
  EXPECT_EQ(got, sent);
}

TEST_F(VsockUnixSocketsTest, GuestThatDoesNotReadStopsTheProgram) {
  const UniqueFd listener = Listen(kHostPort);
  const UniqueFd program = ConnectGuest(listener);
  Header credit = guest_->Make(Op::kCreditUpdate, kGuestPort, kHostPort);
  credit.buf_alloc = 1000;
  ASSERT_TRUE(guest_->Send(credit));
  const std::string block(16 * 1024, 'h');
  size_t sent = 0;
  while (SendText(program, block)) {
    sent += block.size();
    ASSERT_LT(sent, size_t{64} << 20);
    Loop();
  }
  EXPECT_EQ(Loop(), 0);
  size_t got = 0;
  while (true) {
    for (const auto& packet : Receive()) got += packet.payload.size();
    credit.fwd_cnt = static_cast<uint32_t>(got);
    credit.buf_alloc = 100000;
    ASSERT_TRUE(guest_->Send(credit));
    const auto packets = Receive();
    for (const auto& packet : packets) got += packet.payload.size();
    if (packets.empty()) break;
  }
  // A send that would block may have taken a part.
  EXPECT_GE(got, sent);
  EXPECT_LT(got, sent + block.size());
}

TEST_F(VsockUnixSocketsTest, ProgramThatHangsUpUnreadByTheGuestDoesNotSpin) {
  const UniqueFd listener = Listen(kHostPort);
  UniqueFd program = ConnectGuest(listener);
  Header credit = guest_->Make(Op::kCreditUpdate, kGuestPort, kHostPort);
  credit.buf_alloc = 0;
  ASSERT_TRUE(guest_->Send(credit));
  const std::string block(16 * 1024, 'h');
  size_t sent = 0;
  while (SendText(program, block)) {
    sent += block.size();
    Loop();
  }
  program.Reset();
  EXPECT_EQ(Loop(), 0);
  // What it wrote comes, and then the end.
  credit.buf_alloc = 64 << 20;
  ASSERT_TRUE(guest_->Send(credit));
  size_t got = 0;
  uint32_t flags = 0;
  for (auto packets = Receive(); !packets.empty(); packets = Receive()) {
    for (const auto& packet : packets) {
      got += packet.payload.size();
      flags |= packet.header.flags;
    }
  }
  EXPECT_GE(got, sent);
  EXPECT_EQ(flags, kShutdownBoth);
  EXPECT_EQ(sockets_->connections(), 0u);
}

// ---- A host without descriptors ---------------------------------------------

TEST_F(VsockUnixSocketsTest, ListenerRestsWhileThereAreNoDescriptors) {
  const UniqueFd program = Dial(path_);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // The next number would be the limit.
  const int next = ::dup(program.get());
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  Loop();
  EXPECT_EQ(sockets_->connections(), 0u);
  const absl::Duration retry = sockets_->NextDeadline();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(retry, clock_.Monotonic() + absl::Milliseconds(100));
  EXPECT_EQ(Loop(), 0);
  clock_.Advance(absl::Milliseconds(100));
  Loop();
  EXPECT_EQ(sockets_->connections(), 1u);
  EXPECT_EQ(sockets_->NextDeadline(), absl::InfiniteDuration());
}

}  // namespace
}  // namespace libvmm::testing
