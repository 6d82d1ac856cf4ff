// SPDX-License-Identifier: Apache-2.0
// The queues on one thread, the loop of the UNIX sockets on a second, the
// embedder's streams on a third, and programs of the host, all at once; then
// with a guest that changes its rings while they are read, and resets the
// device again and again. Meant to run under ThreadSanitizer and
// AddressSanitizer too.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_ports.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/devices/virtio/vsock/vsock_unix_sockets.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {
namespace {

using virtio::vsock::Header;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
// Answered by a callback; by a program behind a UNIX socket.
constexpr uint32_t kCallbackPort = 10;
constexpr uint32_t kProgramPort = 20;
constexpr uint32_t kBufferSize = 8192;
constexpr int kTurnsBetweenResets = 400;

char ByteAt(uint64_t i) { return static_cast<char>(i * 31 % 251); }

// Returns what it reads to who wrote it, until the end.
bool Echo(VsockStream& stream) {
  while (true) {
    const std::span<const std::byte> bytes = stream.Peek();
    const size_t taken = stream.Write(bytes);
    stream.Consume(taken);
    if (taken == 0) break;
  }
  const VsockState state = stream.state();
  return state == VsockState::kOpen && !stream.AtEnd();
}

// The embedder's thread: streams that callbacks gave it.
class EchoThread {
 public:
  explicit EchoThread(VsockPorts& ports) {
    EXPECT_TRUE(ports
                    .Listen(kCallbackPort,
                            [this](VsockStream stream) {
                              const std::lock_guard<std::mutex> lock(mutex_);
                              asking_.push_back(std::move(stream));
                              ready_ = true;
                            })
                    .ok());
    thread_ = std::thread([this] { Run(); });
  }
  ~EchoThread() {
    stop_ = true;
    thread_.join();
  }

 private:
  void Run() {
    std::list<VsockStream> streams;
    while (!stop_) {
      if (!ready_.exchange(false)) {
        std::this_thread::yield();
        continue;
      }
      std::vector<VsockStream> asking;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        asking.swap(asking_);
      }
      for (VsockStream& stream : asking) {
        stream.Accept([this] { ready_ = true; });
        streams.push_back(std::move(stream));
      }
      streams.remove_if([](VsockStream& stream) { return !Echo(stream); });
    }
  }

  std::atomic<bool> stop_ = false;
  std::atomic<bool> ready_ = false;
  std::mutex mutex_;
  std::vector<VsockStream> asking_;
  std::thread thread_;
};

// The loop's thread.
class LoopThread {
 public:
  explicit LoopThread(VsockUnixSockets& sockets)
      : thread_([this, &sockets] {
          while (!stop_) {
            pollfd ready{
                .fd = sockets.fd(), .events = sockets.events(), .revents = 0};
            if (::poll(&ready, 1, 0) > 0) {
              sockets.OnReady(ready.revents);
            } else {
              std::this_thread::yield();
            }
          }
        }) {}
  ~LoopThread() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// A program of the host that echoes what comes to its socket.
class ProgramThread {
 public:
  explicit ProgramThread(const std::string& path)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    LIBVMM_CHECK(::bind(listener_.get(),
                        reinterpret_cast<const sockaddr*>(&address),
                        sizeof(address)) == 0);
    LIBVMM_CHECK(::listen(listener_.get(), 64) == 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~ProgramThread() {
    stop_ = true;
    thread_.join();
  }

 private:
  struct Client {
    UniqueFd fd;
    std::string held;
  };

  void Run() {
    std::list<Client> clients;
    while (!stop_) {
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
      if (fd.valid()) clients.push_back({.fd = std::move(fd), .held = {}});
      clients.remove_if([](Client& client) { return !Serve(client); });
      std::this_thread::yield();
    }
  }

  static bool Serve(Client& client) {
    std::array<char, 2000> buffer;
    if (client.held.size() < buffer.size()) {
      const ssize_t got =
          ::recv(client.fd.get(), buffer.data(), buffer.size(), 0);
      if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
      if (got > 0) client.held.append(buffer.data(), static_cast<size_t>(got));
    }
    if (client.held.empty()) return true;
    const ssize_t sent = ::send(client.fd.get(), client.held.data(),
                                client.held.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) client.held.erase(0, static_cast<size_t>(sent));
    return true;
  }

  UniqueFd listener_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// All of it but the guest.
struct Host {
  Host() {
    std::string name = "/tmp/vsockXXXXXX";
    LIBVMM_CHECK(::mkdtemp(name.data()) != nullptr);
    folder = name;
    sockets =
        *VsockUnixSockets::Create({.path = folder + "/s", .clock = &clock});
    ports.emplace(sockets.get());
    device = *VirtioVsock::Create({.guest_cid = kCid,
                                   .service = &*ports,
                                   .max_connections = 16,
                                   .buffer_size = kBufferSize});
    program.emplace(absl::StrCat(folder, "/s_", kProgramPort));
    echo.emplace(*ports);
    loop.emplace(*sockets);
  }
  ~Host() {
    // Threads first, as a program does it.
    loop.reset();
    echo.reset();
    program.reset();
    device.reset();
    sockets.reset();
    ::unlink(absl::StrCat(folder, "/s_", kProgramPort).c_str());
    ::rmdir(folder.c_str());
  }

  std::string folder;
  SystemClock clock;
  std::unique_ptr<VsockUnixSockets> sockets;
  std::optional<VsockPorts> ports;
  std::unique_ptr<VirtioVsock> device;
  std::optional<ProgramThread> program;
  std::optional<EchoThread> echo;
  std::optional<LoopThread> loop;
};

TEST(VsockThreadsTest, EchoesAreWhole) {
  constexpr uint64_t kTotal = 300 * 1024;
  Host host;
  VirtioTestLink link(*host.device, {.packed = true, .event_index = true});
  ASSERT_TRUE(link.Activate());
  VsockTestGuest guest(link, kCid);
  guest.AddRx(16, 3000);

  struct Connection {
    uint32_t host_port = 0;
    uint64_t sent = 0;
    uint64_t got = 0;
    uint32_t fwd_cnt = 0;
    bool open = false;
  };
  // By the guest's port.
  std::array<Connection, 4> connections;
  for (uint32_t port = 0; port < connections.size(); ++port) {
    Connection& connection = connections[port];
    connection.host_port = port % 2 == 0 ? kCallbackPort : kProgramPort;
    ASSERT_TRUE(guest.Send(Op::kRequest, port, connection.host_port));
  }
  bool done = false;
  while (!done) {
    done = true;
    for (uint32_t port = 0; port < connections.size(); ++port) {
      Connection& connection = connections[port];
      done = done && connection.got == kTotal;
      const uint32_t credit =
          kBufferSize -
          (static_cast<uint32_t>(connection.sent) - connection.fwd_cnt);
      const uint64_t size =
          std::min<uint64_t>({2500, kTotal - connection.sent, credit});
      if (!connection.open || size == 0) continue;
      std::string text(size, '\0');
      for (size_t i = 0; i < size; ++i) text[i] = ByteAt(connection.sent + i);
      Header header = guest.Make(Op::kReadWrite, port, connection.host_port);
      header.fwd_cnt = static_cast<uint32_t>(connection.got);
      if (guest.Send(header, text)) connection.sent += size;
    }
    const auto packets = guest.Receive();
    for (const auto& packet : packets) {
      ASSERT_LT(packet.header.dst_port, connections.size());
      Connection& connection = connections[packet.header.dst_port];
      ASSERT_NE(packet.header.op, static_cast<uint16_t>(Op::kReset));
      connection.open = true;
      connection.fwd_cnt = packet.header.fwd_cnt;
      for (const char byte : packet.payload) {
        ASSERT_EQ(byte, ByteAt(connection.got));
        ++connection.got;
      }
      if (packet.header.op == static_cast<uint16_t>(Op::kCreditRequest)) {
        Header header = guest.Make(Op::kCreditUpdate, packet.header.dst_port,
                                   connection.host_port);
        header.fwd_cnt = static_cast<uint32_t>(connection.got);
        ASSERT_TRUE(guest.Send(header));
      }
    }
    if (packets.empty()) std::this_thread::yield();
  }
  for (uint32_t port = 0; port < connections.size(); ++port) {
    ASSERT_TRUE(guest.Send(Op::kReset, port, connections[port].host_port));
  }
  while (host.device->connections() != 0 || host.sockets->connections() != 0) {
    std::this_thread::yield();
  }
  link.Reset();
}

// A guest that writes everywhere in its memory while the device uses it.
TEST(VsockThreadsTest, RingsThatChangeAndResetsLeaveNothingBehind) {
  Host host;
  for (const bool packed : {false, true}) {
    VirtioTestLink link(*host.device,
                        {.packed = packed, .memory_size = uint64_t{1} << 20});
    ASSERT_TRUE(link.Activate());
    std::atomic<bool> stop = false;
    std::thread mutator([&link, &stop] {
      std::mt19937 random(1);
      while (!stop) {
        const Gpa gpa = VirtioTestLink::kMemoryStart + random() % 0x8000 * 2;
        (void)link.memory().Store<uint16_t>(gpa,
                                            static_cast<uint16_t>(random()));
        std::this_thread::yield();
      }
    });
    // The host asks for connections meanwhile.
    std::thread connector([&host, &stop] {
      while (!stop) {
        auto stream = host.device->Connect(7, nullptr);
        if (stream.ok()) (void)Echo(*stream);
        std::this_thread::yield();
      }
    });
    std::mt19937 random(2);
    std::optional<VsockTestGuest> guest;
    guest.emplace(link, kCid);
    for (int turn = 0; turn < Repetitions(20000); ++turn) {
      if (link.failed() || turn % kTurnsBetweenResets == 0) {
        link.Reset();
        guest->ForgetBuffers();
        ASSERT_TRUE(link.Activate());
        guest->AddRx(4, 2000);
      }
      const auto port = static_cast<uint32_t>(random() % 4);
      const uint32_t host_port = port % 2 == 0 ? kCallbackPort : kProgramPort;
      Header header =
          guest->Make(static_cast<Op>(random() % 8), port, host_port);
      header.flags = static_cast<uint32_t>(random() % 4);
      guest->Send(header, std::string(random() % 800, 'x'));
      guest->Receive();
    }
    stop = true;
    mutator.join();
    connector.join();
    link.Reset();
    while (host.device->connections() != 0) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace libvmm::testing
