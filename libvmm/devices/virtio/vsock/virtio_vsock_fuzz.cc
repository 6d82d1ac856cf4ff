// SPDX-License-Identifier: Apache-2.0
// A guest, well-behaved and hostile by turns, and a host, on both layouts of
// rings. What always holds:
// - what the host reads is what the guest sent on that connection, from its
//   first byte on, and the other way round; all of it while the connection is
//   open, and at a clean end;
// - the device sends no more than the guest said it has room for, and says that
//   it took no more than it was sent;
// - its packets are ones that the connection can have: none after RST, no data
//   after SHUTDOWN;
// - streams are bounded, and none is left when host and driver have let go.
// Input: a byte for the rings, then steps of four: an action, whom it is about,
// a number.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"
#include "libvmm/devices/virtio/vsock/vsock_test_guest.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

using virtio::vsock::Header;
using virtio::vsock::kShutdownBoth;
using virtio::vsock::kShutdownReceive;
using virtio::vsock::kShutdownSend;
using virtio::vsock::Op;

constexpr uint64_t kCid = 42;
constexpr uint32_t kBufferSize = 4096;
constexpr uint32_t kMaxConnections = 6;
constexpr uint32_t kFirstCredit = 4096;
constexpr uint16_t kStreamType =
    static_cast<uint16_t>(virtio::vsock::Type::kStream);

// Byte `i` of every stream.
char ByteAt(uint64_t i) { return static_cast<char>(i * 31 % 251); }

std::string Pattern(uint64_t start, size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = ByteAt(start + i);
  return text;
}

using Ports = std::pair<uint32_t, uint32_t>;

// Both ends of a connection, as they are to be.
struct Ends {
  VsockStream stream;
  // The guest's, then the host's.
  Ports ports;
  // Bytes that the guest sent and the host read; the host wrote and the guest
  // got.
  uint64_t sent = 0;
  uint64_t read = 0;
  uint64_t written = 0;
  uint64_t got = 0;
  // `sent` when the guest said that it sends no more.
  std::optional<uint64_t> sent_in_all;
  // The most that the guest ever allowed.
  uint64_t limit = kFirstCredit;
  // The device said that it took so many, and what it does no more.
  uint32_t fwd_cnt = 0;
  uint32_t host_shutdown = 0;
  uint32_t guest_shutdown = 0;
  // The host does not read; the guest lied about credit, or has given the
  // connection up while the device may not know.
  bool deaf = false;
  bool liar = false;
  bool loose = false;
};

class Session final : public VsockService {
 public:
  explicit Session(uint8_t rings) {
    device_ = *VirtioVsock::Create({.guest_cid = kCid,
                                    .service = this,
                                    .max_connections = kMaxConnections,
                                    .buffer_size = kBufferSize});
    link_.emplace(*device_,
                  VirtioTestLink::Options{.packed = (rings & 1) != 0,
                                          .event_index = (rings & 2) != 0,
                                          .in_order = (rings & 4) != 0,
                                          .memory_size = uint64_t{2} << 20});
    guest_.emplace(*link_, kCid);
    FUZZ_CHECK(link_->Activate());
  }

  void OnConnect(VsockStream stream) override {
    FUZZ_CHECK(stream.state() == VsockState::kAsking);
    auto ends = std::make_unique<Ends>();
    ends->ports = {stream.guest_port(), stream.host_port()};
    ends->stream = std::move(stream);
    live_[ends->ports] = ends.get();
    if (accepting_ != 0) ends->stream.Accept([this] { ++calls_; });
    if (accepting_ != 2) {
      all_.push_back(std::move(ends));
    } else {
      Drop(*ends);
    }
  }

  void Step(uint8_t action, uint8_t who, uint16_t number) {
    const Ports ports{1 + who % 3, 10 + who / 3 % 2};
    switch (action % 20) {
      case 0:
        accepting_ = number % 8 == 0 ? number / 8 % 3 : 1;
        Send(Op::kRequest, ports, {.buf_alloc = kFirstCredit});
        break;
      case 1:
      case 2:
        SendData(who, number % 5000);
        break;
      case 3:
        SendAnything(who, number);
        break;
      case 4:
        Shutdown(who, number % 4);
        break;
      case 5:
        if (Ends* ends = GuestsEnd(who)) {
          ends->loose = true;
          Send(Op::kReset, ends->ports, {});
        }
        break;
      case 6:
        Credit(who, number);
        break;
      case 7:
      case 8:
        HostWrite(who, number % 5000);
        break;
      case 9:
      case 10:
        HostRead(who, number % 5000);
        break;
      case 11:
        HostEnd(who, number);
        break;
      case 12:
        HostConnect(ports.first);
        break;
      case 13:
        if (Ends* ends = GuestsEnd(who)) {
          Send(Op::kResponse, ends->ports, {.buf_alloc = kFirstCredit});
        }
        break;
      case 14:
        starved_ = number % 4 == 0;
        if (!starved_) AddRx(number);
        break;
      case 15:
        link_->Advance(absl::Milliseconds(number));
        break;
      case 16:
        if (number % 8 == 0) Restart();
        break;
      case 17:
        if (number % 8 == 0) {
          // A REQUEST that waited makes a new one at once.
          const size_t before = all_.size();
          for (auto& [key, ends] : current_) ends->loose = true;
          FUZZ_CHECK(device_->ResetTransport().ok());
          for (size_t i = 0; i < before; ++i) FUZZ_CHECK(Over(*all_[i]));
        }
        break;
      case 18:
        Garbage(who, number);
        break;
      case 19:
        if (Ends* ends = HostsEnd(who)) {
          if (ends->stream.state() == VsockState::kAsking) {
            ends->stream.Accept([this] { ++calls_; });
          }
        }
        break;
    }
    if (link_->failed()) {
      for (const auto& ends : all_) FUZZ_CHECK(Over(*ends));
      Restart();
    }
    Receive();
    FUZZ_CHECK(device_->connections() <= kMaxConnections);
  }

  void Finish() {
    starved_ = false;
    AddRx(8 * 16 + 4);
    for (int i = 0; i < 8; ++i) Receive();
    for (const auto& ends : all_) {
      if (ends->stream.state() == VsockState::kAsking) {
        ends->stream.Accept(nullptr);
      }
      Receive();
      // All that was sent arrives.
      ReadAll(*ends);
      const VsockState state = ends->stream.state();
      if (state == VsockState::kOpen && !ends->deaf) {
        FUZZ_CHECK(ends->read == ends->sent);
      }
      if (state == VsockState::kEnded && !ends->deaf &&
          ends->sent_in_all.has_value()) {
        FUZZ_CHECK(ends->read == *ends->sent_in_all);
      }
      const auto found = current_.find(ends->ports);
      if (state != VsockState::kOpen || found == current_.end() ||
          found->second != ends.get() || ends->liar || ends->loose ||
          (ends->guest_shutdown & kShutdownReceive) != 0) {
        continue;
      }
      for (int i = 0; i < 4 && ends->stream.state() == VsockState::kOpen; ++i) {
        ends->limit = std::max<uint64_t>(ends->limit, ends->got + kBufferSize);
        Send(Op::kCreditUpdate, ends->ports,
             {.buf_alloc = kBufferSize,
              .fwd_cnt = static_cast<uint32_t>(ends->got)});
        Receive();
      }
      FUZZ_CHECK(ends->got == ends->written);
    }
    // Whatever happened, everything goes.
    while (!all_.empty()) {
      Drop(*all_.back());
      all_.pop_back();
    }
    link_->Reset();
    FUZZ_CHECK(device_->connections() == 0);
  }

 private:
  struct Fields {
    uint32_t flags = 0;
    uint32_t buf_alloc = kFirstCredit;
    uint32_t fwd_cnt = 0;
  };

  static bool Over(const Ends& ends) {
    const VsockState state = ends.stream.state();
    return state == VsockState::kReset || state == VsockState::kEnded;
  }

  // ---- The guest ------------------------------------------------------------

  Ends* GuestsEnd(uint8_t who) {
    if (current_.empty()) return nullptr;
    auto found = current_.begin();
    std::advance(found, who % current_.size());
    return found->second;
  }

  void Send(Op op, const Ports& ports, const Fields& fields,
            absl::string_view payload = {}) {
    Header header = guest_->Make(op, ports.first, ports.second);
    header.flags = fields.flags;
    header.buf_alloc = fields.buf_alloc;
    header.fwd_cnt = fields.fwd_cnt;
    guest_->Send(header, payload, payload.size() % 7 == 3 ? 1000 : 0);
  }

  // What a packet of the connection says of the guest's buffer.
  Fields Truth(Ends& ends) {
    ends.limit = std::max<uint64_t>(ends.limit, ends.got + kFirstCredit);
    return {.fwd_cnt = static_cast<uint32_t>(ends.got)};
  }

  void SendData(uint8_t who, size_t size) {
    Ends* const ends = GuestsEnd(who);
    // While packets wait it is not known which connection they will meet.
    if (ends == nullptr || ends->loose || guest_->unsent() != 0) return;
    const Ends* const live = live_[ends->ports];
    if (live != ends) return;
    const Fields fields = Truth(*ends);
    Send(Op::kReadWrite, ends->ports, fields, Pattern(ends->sent, size));
    ends->sent += size;
  }

  void SendAnything(uint8_t who, uint16_t number) {
    Header header = guest_->Make(static_cast<Op>(number % 11), 1 + who % 3,
                                 10 + who / 3 % 2);
    if (Ends* ends = who % 2 == 0 ? GuestsEnd(who / 2) : nullptr) {
      header.src_port = ends->ports.first;
      header.dst_port = ends->ports.second;
    }
    const Ports ports{header.src_port, header.dst_port};
    // It may begin a connection.
    header.buf_alloc = kFirstCredit;
    switch (number / 11 % 8) {
      case 0:
        header.type = static_cast<uint16_t>(number / 88);
        break;
      case 1:
        header.src_cid = number;
        break;
      case 2:
        header.dst_cid = number;
        break;
      case 3:
        header.len = number * uint32_t{65537};
        break;
      case 4:
        header.flags = number;
        break;
      case 5:
        header.op = number;
        break;
      default:
        break;
    }
    // What it does to a connection is the device's to say; data without its
    // pattern would be a lie of this program.
    if (static_cast<Op>(header.op) == Op::kReadWrite) header.len |= 1u << 31;
    if (const auto found = current_.find(ports); found != current_.end()) {
      Ends& ends = *found->second;
      ends.loose = true;
      ends.liar = true;
    }
    if (const auto found = live_.find(ports); found != live_.end()) {
      found->second->loose = true;
      found->second->liar = true;
      found->second->sent_in_all.reset();
    }
    accepting_ = 1;
    guest_->SendBytes(VsockTestGuest::Bytes(header));
  }

  void Shutdown(uint8_t who, uint32_t flags) {
    Ends* const ends = GuestsEnd(who);
    if (ends == nullptr || guest_->unsent() != 0) return;
    Fields fields = Truth(*ends);
    fields.flags = flags;
    ends->guest_shutdown |= flags;
    if ((flags & kShutdownSend) != 0 && !ends->sent_in_all.has_value()) {
      ends->sent_in_all = ends->sent;
    }
    if (ends->guest_shutdown == kShutdownBoth) ends->loose = true;
    Send(Op::kShutdown, ends->ports, fields);
  }

  void Credit(uint8_t who, uint16_t number) {
    Ends* const ends = GuestsEnd(who);
    if (ends == nullptr) return;
    constexpr uint32_t kSizes[] = {0, 1, 100, 4096, 65536, 0xffffffff};
    Fields fields = Truth(*ends);
    fields.buf_alloc = kSizes[number % 6];
    if (number / 6 % 16 == 0) {
      ends->liar = true;
      fields.fwd_cnt += number * uint32_t{65521};
    }
    ends->limit = std::max<uint64_t>(ends->limit, ends->got + fields.buf_alloc);
    Send(number / 96 % 2 == 0 ? Op::kCreditUpdate : Op::kCreditRequest,
         ends->ports, fields);
  }

  void AddRx(uint16_t number) {
    constexpr uint32_t kSizes[] = {45, 100, 1000, 4096, 44 + 4096, 44};
    const uint32_t size = kSizes[number / 8 % 6];
    // A buffer of a header fails the device when data come: not often.
    if (size == 44 && number % 16 != 5) return;
    while (guest_->rx_buffers() < 8) guest_->AddRx(1, size);
  }

  void Garbage(uint8_t who, uint16_t number) {
    VirtqueueDriver& driver = link_->driver(who % 3);
    switch (number % 8) {
      case 0:
        guest_->SendBytes(std::string(number % 60 + 1, 'g'));
        return;
      case 1:
        driver.Add({{.gpa = Gpa(uint64_t{number} << 30), .size = 64}});
        break;
      case 2:
        driver.Add({{.gpa = link_->Allocate(64),
                     .size = number % 64u,
                     .writable = number % 16 < 8}});
        break;
      default:
        return;
    }
    link_->Kick(who % 3);
  }

  void Receive() {
    for (const auto& packet : guest_->Receive(/*again=*/!starved_)) {
      OnPacket(packet);
    }
  }

  void OnPacket(const VsockTestGuest::Packet& packet) {
    const Header& header = packet.header;
    const auto op = static_cast<Op>(header.op);
    const Ports ports{header.dst_port, header.src_port};
    FUZZ_CHECK(header.src_cid == virtio::vsock::kHostCid);
    FUZZ_CHECK(header.dst_cid == kCid);
    FUZZ_CHECK(header.len == packet.payload.size());
    FUZZ_CHECK((header.len != 0) == (op == Op::kReadWrite));
    FUZZ_CHECK((header.flags != 0) == (op == Op::kShutdown));
    FUZZ_CHECK((header.flags & ~kShutdownBoth) == 0);
    if (header.type != kStreamType) {
      FUZZ_CHECK(op == Op::kReset);
      return;
    }
    if (op == Op::kReset) {
      current_.erase(ports);
      return;
    }
    FUZZ_CHECK(header.buf_alloc == kBufferSize);
    if (op == Op::kRequest || op == Op::kResponse) {
      Ends* const ends = FindLive(ports, op == Op::kRequest);
      // Its host may have let go of it already.
      if (ends == nullptr) {
        current_.erase(ports);
      } else {
        current_[ports] = ends;
      }
      return;
    }
    const auto found = current_.find(ports);
    if (found == current_.end()) return;
    Ends& ends = *found->second;
    // The device never takes back what it said, or takes what was not sent.
    FUZZ_CHECK(header.fwd_cnt >= ends.fwd_cnt && header.fwd_cnt <= ends.sent);
    ends.fwd_cnt = header.fwd_cnt;
    switch (op) {
      case Op::kReadWrite:
        FUZZ_CHECK((ends.host_shutdown & kShutdownSend) == 0);
        for (size_t i = 0; i < packet.payload.size(); ++i) {
          FUZZ_CHECK(packet.payload[i] == ByteAt(ends.got + i));
        }
        ends.got += packet.payload.size();
        FUZZ_CHECK(ends.liar || ends.got <= ends.limit);
        FUZZ_CHECK(ends.got <= ends.written);
        break;
      case Op::kShutdown:
        // Only ever more, and the end of the data behind the last of them.
        FUZZ_CHECK((header.flags & ends.host_shutdown) == ends.host_shutdown);
        FUZZ_CHECK(header.flags != ends.host_shutdown);
        ends.host_shutdown = header.flags;
        FUZZ_CHECK((header.flags & kShutdownSend) == 0 ||
                   (ends.guest_shutdown & kShutdownReceive) != 0 ||
                   ends.loose || ends.got == ends.written);
        break;
      case Op::kCreditUpdate:
      case Op::kCreditRequest:
        break;
      default:
        FUZZ_CHECK(false);
    }
  }

  // ---- The host -------------------------------------------------------------

  Ends* HostsEnd(uint8_t who) {
    return all_.empty() ? nullptr : all_[who % all_.size()].get();
  }

  Ends* FindLive(const Ports& ports, bool of_host) {
    if (of_host) {
      for (const auto& ends : all_) {
        if (ends->ports.second == 0 &&
            ends->stream.host_port() == ports.second &&
            ends->ports.first == ports.first) {
          ends->ports = ports;
          live_[ports] = ends.get();
          return ends.get();
        }
      }
      return nullptr;
    }
    const auto found = live_.find(ports);
    return found == live_.end() ? nullptr : found->second;
  }

  void HostWrite(uint8_t who, size_t size) {
    Ends* const ends = HostsEnd(who);
    if (ends == nullptr) return;
    const std::string text = Pattern(ends->written, size);
    // Counted before it may be on its way.
    size_t done = 0;
    while (done < size) {
      const std::span<std::byte> room = ends->stream.Room();
      const size_t part = std::min(room.size(), size - done);
      if (part == 0) break;
      std::copy_n(reinterpret_cast<const std::byte*>(text.data()) + done, part,
                  room.begin());
      done += part;
      ends->written += part;
      ends->stream.Commit(part);
    }
  }

  void HostRead(uint8_t who, size_t size) {
    Ends* const ends = HostsEnd(who);
    if (ends == nullptr) return;
    const std::span<const std::byte> bytes = ends->stream.Peek();
    const size_t part = std::min(bytes.size(), size);
    for (size_t i = 0; i < part; ++i) {
      FUZZ_CHECK(static_cast<char>(bytes[i]) == ByteAt(ends->read + i));
    }
    ends->read += part;
    FUZZ_CHECK(ends->read <= ends->sent);
    ends->stream.Consume(part);
  }

  void ReadAll(Ends& ends) {
    for (auto bytes = ends.stream.Peek(); !bytes.empty();
         bytes = ends.stream.Peek()) {
      for (size_t i = 0; i < bytes.size(); ++i) {
        FUZZ_CHECK(static_cast<char>(bytes[i]) == ByteAt(ends.read + i));
      }
      ends.read += bytes.size();
      ends.stream.Consume(bytes.size());
    }
    FUZZ_CHECK(ends.read <= ends.sent);
  }

  void HostEnd(uint8_t who, uint16_t number) {
    if (all_.empty()) return;
    const size_t index = who % all_.size();
    Ends& ends = *all_[index];
    switch (number % 4) {
      case 0:
        ends.stream.ShutdownWrite();
        FUZZ_CHECK(!ends.stream.CanWrite());
        return;
      case 1:
        ends.deaf = true;
        ends.stream.ShutdownRead();
        FUZZ_CHECK(ends.stream.Peek().empty());
        return;
      case 2:
        ends.stream.Reset();
        break;
      default:
        break;
    }
    Drop(ends);
    all_.erase(all_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  // Closes the stream; what it was to the guest is kept for its last packets.
  void Drop(Ends& ends) {
    ends.stream.Close();
    auto left = std::make_unique<Ends>(std::move(ends));
    left->deaf = true;
    for (auto* map : {&live_, &current_}) {
      for (auto& [ports, pointer] : *map) {
        if (pointer == &ends) pointer = left.get();
      }
    }
    dropped_.push_back(std::move(left));
  }

  void HostConnect(uint32_t port) {
    auto stream = device_->Connect(port, [this] { ++calls_; });
    FUZZ_CHECK(stream.ok() || device_->connections() == kMaxConnections);
    if (!stream.ok()) return;
    auto ends = std::make_unique<Ends>();
    ends->ports = {port, 0};
    ends->stream = *std::move(stream);
    all_.push_back(std::move(ends));
  }

  void Restart() {
    link_->Reset();
    for (const auto& ends : all_) FUZZ_CHECK(Over(*ends));
    live_.clear();
    current_.clear();
    guest_->ForgetBuffers();
    FUZZ_CHECK(link_->Activate());
  }

  std::unique_ptr<VirtioVsock> device_;
  std::optional<VirtioTestLink> link_;
  std::optional<VsockTestGuest> guest_;
  // 0: later. 1: at once. 2: at once, and closed.
  int accepting_ = 1;
  bool starved_ = true;
  uint64_t calls_ = 0;
  std::vector<std::unique_ptr<Ends>> all_;
  std::vector<std::unique_ptr<Ends>> dropped_;
  // The last connection of each pair of ports, as the host has it; and the one
  // that the guest believes in.
  std::map<Ports, Ends*> live_;
  std::map<Ports, Ends*> current_;
};

}  // namespace
}  // namespace libvmm::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr size_t kMaxSize = 1024;
  libvmm::testing::Session session(data[0]);
  session.Step(14, 0, 8 * 3 + 1);
  for (size_t i = 1; i + 4 <= size && i < kMaxSize; i += 4) {
    session.Step(data[i], data[i + 1],
                 static_cast<uint16_t>(data[i + 2] | data[i + 3] << 8));
  }
  session.Finish();
  return 0;
}
