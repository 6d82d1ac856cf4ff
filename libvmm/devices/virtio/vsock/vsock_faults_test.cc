// SPDX-License-Identifier: Apache-2.0
// Every system call of the UNIX sockets failing, one at a time: making them,
// and connections of both sides from the first call to the last. What the
// faults harness cannot see is checked here: the guest gets its bytes in order,
// or a reset.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/check.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/devices/virtio/vsock/vsock_unix_sockets.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using virtio::vsock::Header;
using virtio::vsock::kShutdownReceive;
using virtio::vsock::kShutdownSend;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
constexpr uint32_t kGuestPort = 5000;
constexpr uint32_t kHostPort = 1024;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// The guest's and the programs' sides, whose calls do not fail. One for all
// scenarios: the sockets come and go.
class World {
 public:
  World() {
    std::string name = "/tmp/vsockXXXXXX";
    LIBVMM_CHECK(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    listener_ = Listen(absl::StrCat(path(), "_", kHostPort));
  }
  ~World() {
    ::unlink(absl::StrCat(path(), "_", kHostPort).c_str());
    ::rmdir(folder_.c_str());
  }

  [[nodiscard]] std::string path() const { return folder_ + "/s"; }
  [[nodiscard]] const UniqueFd& listener() const { return listener_; }
  [[nodiscard]] ManualClock& clock() { return clock_; }

  [[nodiscard]] UniqueFd Dial() const {
    UniqueFd fd = Socket();
    const sockaddr_un address = AddressOf(path());
    LIBVMM_CHECK(::connect(fd.get(),
                           reinterpret_cast<const sockaddr*>(&address),
                           sizeof(address)) == 0);
    return fd;
  }

 private:
  static UniqueFd Socket() {
    return UniqueFd(
        ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  static UniqueFd Listen(const std::string& path) {
    UniqueFd fd = Socket();
    const sockaddr_un address = AddressOf(path);
    LIBVMM_CHECK(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)) == 0);
    LIBVMM_CHECK(::listen(fd.get(), 16) == 0);
    return fd;
  }

  std::string folder_;
  UniqueFd listener_;
  ManualClock clock_;
};

World& TheWorld() {
  static auto* const world = new World;
  return *world;
}

// A device on these sockets, and its guest.
class Machine {
 public:
  explicit Machine(VsockUnixSockets& sockets) : sockets_(sockets) {
    device_ = *VirtioVsock::Create({.guest_cid = kCid, .service = &sockets_});
    link_.emplace(*device_);
    guest_.emplace(*link_, kCid);
    LIBVMM_CHECK(link_->Activate());
    guest_->AddRx(8);
  }

  // A few turns of a loop, whose own poll does not fail; the time goes on, so
  // what rests is tried again.
  void Loop() {
    for (int turn = 0; turn < 8; ++turn) {
      WithoutFaults([] {
        TheWorld().clock().Advance(absl::Seconds(1));
        return 0;
      });
      sockets_.OnDeadline();
      sockets_.OnReady(POLLIN);
    }
  }

  // What came to the guest; remembers what else it was told.
  std::string Receive() {
    Loop();
    return WithoutFaults([this] {
      std::string text;
      for (const auto& packet : guest_->Receive()) {
        const auto op = static_cast<Op>(packet.header.op);
        if (op == Op::kReset) broken_ = true;
        if (op == Op::kShutdown &&
            (packet.header.flags & kShutdownReceive) != 0) {
          broken_ = true;
        }
        if (op == Op::kRequest) asked_ = packet.header.src_port;
        text += packet.payload;
      }
      return text;
    });
  }
  // The guest saw RST, or that the host does not receive.
  [[nodiscard]] bool broken() const { return broken_; }
  // The host's port, if it asked for a connection.
  [[nodiscard]] std::optional<uint32_t> asked() const { return asked_; }

  // Without payload but `text`, from kGuestPort.
  void Send(Op op, uint32_t host_port, absl::string_view text = {},
            uint32_t flags = 0) {
    Header header = guest_->Make(op, kGuestPort, host_port);
    header.flags = flags;
    guest_->Send(header, text);
  }

 private:
  VsockUnixSockets& sockets_;
  std::unique_ptr<VirtioVsock> device_;
  std::optional<VirtioTestLink> link_;
  std::optional<VsockTestGuest> guest_;
  bool broken_ = false;
  std::optional<uint32_t> asked_;
};

// What came, and whether the connection has ended.
struct Received {
  std::string text;
  bool ended = false;
};

Received ReceiveAll(const UniqueFd& fd) {
  return WithoutFaults([&fd] {
    Received received;
    std::array<char, 4096> buffer;
    ssize_t size;
    while ((size = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0) {
      received.text.append(buffer.data(), static_cast<size_t>(size));
    }
    received.ended = size == 0 || errno != EAGAIN;
    return received;
  });
}

void SendText(const UniqueFd& fd, absl::string_view text) {
  WithoutFaults(
      [&] { return ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL); });
}

absl::StatusOr<std::unique_ptr<VsockUnixSockets>> Make() {
  return VsockUnixSockets::Create(
      {.path = TheWorld().path(), .clock = &TheWorld().clock()});
}

// So that the next run finds nothing there.
void RemovePath() {
  WithoutFaults([] { return ::unlink(TheWorld().path().c_str()); });
}

TEST(VsockFaultsTest, Create) {
  TheWorld();
  Check(FaultScenario("VsockUnixSockets::Create")
            .Survives("statx", {}, "at the end; the socket stays there then"),
        []() -> absl::Status {
          const absl::Status status = Make().status();
          RemovePath();
          return status;
        });
}

// Both directions, then both ends.
TEST(VsockFaultsTest, GuestConnects) {
  TheWorld();
  Check(FaultScenario("VsockUnixSockets, guest connects")
            .Survives("epoll_wait", {}, "in the next turn")
            .Survives("socket", {}, "the guest is reset")
            .Survives("connect", {}, "interrupted: again; or it is reset")
            .Survives("epoll_ctl", {}, "the guest is reset")
            .Survives("recvmsg", {}, "again, or the guest is reset")
            .Survives("sendmsg", {}, "again, or the guest is reset")
            .Survives("read", {}, "the eventfd is readable still")
            .Survives("write", {}, "the next turn looks anyway"),
        []() -> absl::Status {
          auto sockets = WithoutFaults([] { return *Make(); });
          auto machine = WithoutFaults(
              [&sockets] { return std::make_unique<Machine>(*sockets); });
          machine->Send(Op::kRequest, kHostPort);
          std::string to_guest = machine->Receive();
          UniqueFd program = WithoutFaults([] {
            return UniqueFd(::accept4(TheWorld().listener().get(), nullptr,
                                      nullptr, SOCK_NONBLOCK));
          });
          Received to_host;
          if (!machine->broken()) {
            machine->Send(Op::kReadWrite, kHostPort, "to the host");
            machine->Loop();
            to_host = ReceiveAll(program);
            SendText(program, "to the guest");
            to_guest += machine->Receive();
          }
          const bool right =
              machine->broken() ||
              (to_host.text == "to the host" && to_guest == "to the guest");
          if (!machine->broken()) {
            machine->Send(Op::kShutdown, kHostPort, "", kShutdownSend);
            machine->Loop();
            WithoutFaults([&] { return ::shutdown(program.get(), SHUT_WR); });
            machine->Receive();
          }
          WithoutFaults([&] {
            program.Reset();
            machine.reset();
            sockets.reset();
          });
          return Expect(right, "all bytes, or a reset");
        });
}

TEST(VsockFaultsTest, HostConnects) {
  TheWorld();
  Check(FaultScenario("VsockUnixSockets, host connects")
            .Survives("epoll_wait", {}, "in the next turn")
            .Survives("accept4", {}, "in the next turn, or after a rest")
            .Survives("epoll_ctl", {}, "the program's connection is closed")
            .Survives("recvmsg", {}, "again, or the connection is closed")
            .Survives("sendmsg", {}, "again, or the connection is closed")
            .Survives("read", {}, "the eventfd is readable still")
            .Survives("write", {}, "the next turn looks anyway"),
        []() -> absl::Status {
          auto sockets = WithoutFaults([] { return *Make(); });
          auto machine = WithoutFaults(
              [&sockets] { return std::make_unique<Machine>(*sockets); });
          UniqueFd program = WithoutFaults([] { return TheWorld().Dial(); });
          SendText(program,
                   absl::StrCat("CONNECT ", kGuestPort, "\nto the guest"));
          std::string to_guest = machine->Receive();
          std::string expected;
          if (machine->asked().has_value()) {
            machine->Send(Op::kResponse, *machine->asked());
            machine->Send(Op::kReadWrite, *machine->asked(), "to the host");
            to_guest += machine->Receive();
            expected = absl::StrCat("OK ", *machine->asked(), "\nto the host");
          }
          const Received to_host = ReceiveAll(program);
          // The program has ended, or the guest knows that it does not read.
          machine->Receive();
          const bool right =
              to_host.ended || machine->broken() ||
              (machine->asked().has_value() && to_host.text == expected &&
               to_guest == "to the guest");
          WithoutFaults([&] {
            program.Reset();
            machine.reset();
            sockets.reset();
          });
          return Expect(right, "all bytes, or an end that is told");
        });
}

}  // namespace
}  // namespace libvmm::testing
