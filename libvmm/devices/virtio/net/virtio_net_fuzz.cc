// SPDX-License-Identifier: Apache-2.0
// A driver and a network on both sides of a device, split and packed: frames
// sent and delivered, buffers of any size, a network that takes no more, control
// commands of any content, resets, and rings overwritten with anything.
//
// While the driver keeps to the rules: frames sent are those that the network
// gets, in order and unchanged; frames received are those delivered, in order,
// unchanged and each once, laid into as many buffers as their header says;
// nothing is lost but what the counters say. Always: what the network gets is of
// a size and leaves undone what was negotiated; nothing is written outside of
// buffers. Input: four bytes of set-up, then steps of four bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/net/frame_net.h"
#include "libvmm/devices/virtio/net/frame_ring.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/devices/virtio/net/net_offloads.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/virtio_net.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

using namespace virtio::net;  // NOLINT: the specification's names.

using testing::Bytes;
using testing::MakeFrame;
using testing::VirtioTestLink;
using testing::VirtqueueDriver;

constexpr uint16_t kRx = 0;
constexpr uint16_t kTx = 1;
constexpr uint16_t kControl = 2;
constexpr MacAddress kMacAddress({2, 0, 0, 0, 0, 1});
// What is written around each buffer, and must stay.
constexpr std::byte kUntouched{0x5c};
constexpr uint64_t kMargin = 16;

struct Sent {
  uint32_t seed = 0;
  size_t size = 0;
  // Where the device may finish a checksum.
  std::optional<size_t> checksum_at = std::nullopt;

  bool Is(Bytes frame) const {
    Bytes expected = MakeFrame(size, seed);
    if (frame.size() != expected.size()) return false;
    if (checksum_at.has_value() && *checksum_at + 2 <= size) {
      std::copy_n(expected.begin() + static_cast<ptrdiff_t>(*checksum_at), 2,
                  frame.begin() + static_cast<ptrdiff_t>(*checksum_at));
    }
    return frame == expected;
  }
};

class Session {
 public:
  Session(bool packed, uint8_t ring, uint16_t features)
      : net_(*FrameNet::Create({.on_frame =
                                    [this](const IncomingFrame& frame) {
                                      return TakeFrame(frame);
                                    },
                                .send_offloads = NetOffloads::All(),
                                .receive_offloads = NetOffloads::All(),
                                .capacity = FrameRing::kMinCapacity})),
        device_(*VirtioNet::Create(
            {.backends = {net_.get()}, .mac = kMacAddress, .queue_size = 64})) {
    uint64_t chosen = kMac | kStatus;
    if ((features & 1) != 0) chosen |= kMergeableBuffers;
    if ((features & 2) != 0) {
      chosen |= kCtrlVq | kCtrlRx | kCtrlRxExtra | kCtrlVlan | kCtrlMacAddr |
                kCtrlGuestOffloads | kGuestAnnounce;
    }
    if ((features & 4) != 0) chosen |= kCsum | kHostTso4 | kHostUfo;
    if ((features & 8) != 0) chosen |= kGuestCsum | kGuestTso6 | kGuestEcn;
    if ((features & 16) != 0) chosen |= kCtrlVq;
    features_ = chosen;
    link_ = std::make_unique<VirtioTestLink>(
        *device_,
        VirtioTestLink::Options{
            .features = chosen,
            .packed = packed,
            .indirect = (ring & 1) != 0,
            .event_index = (ring & 2) != 0,
            .in_order = (ring & 4) != 0,
            .queue_size = (ring & 8) != 0 ? uint16_t{4} : uint16_t{32}});
    Activate();
  }
  ~Session() { link_.reset(); }

  void Step(uint8_t action, uint8_t argument, uint16_t value) {
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
        Transmit(argument, value);
        break;
      case 3:
      case 4:
      case 5:
        PostBuffer(argument, value);
        break;
      case 6:
      case 7:
        Deliver(argument, value);
        break;
      case 8:
        take_ = !take_;
        if (take_) net_->Resume();
        break;
      case 9:
        Command(argument, value);
        break;
      case 10:
        device_->SetLinkUp(argument % 4 != 0);
        // Frames of either side may now be dropped.
        lossy_ = true;
        break;
      case 11:
        link_->Notify(argument % (Has(kCtrlVq) ? 3 : 2));
        break;
      case 12:
        if (argument < 16) Overwrite(argument, value);
        break;
      case 13:
        if (argument < 64) {
          link_->Reset();
          Activate();
        }
        break;
      case 14:
        Announce();
        break;
      default:
        break;
    }
    Collect();
    CheckAll();
  }

 private:
  struct Buffer {
    Gpa gpa;
    uint32_t size = 0;
  };

  bool Has(uint64_t feature) const { return (features_ & feature) != 0; }
  // The driver keeps to the rules, and the device was not told to lose frames.
  bool Strict() const { return !hostile_ && !lossy_ && !link_->failed(); }

  void Activate() {
    link_->FreeAll();
    expected_out_.clear();
    expected_in_.clear();
    buffers_.clear();
    commands_.clear();
    hostile_ = false;
    lossy_ = !device_->link_up();
    before_ = device_->counters();
    got_frames_ = passed_over_ = 0;
    take_ = true;
    FUZZ_CHECK(link_->Activate());
  }

  // The network's side of what the driver sends.
  bool TakeFrame(const IncomingFrame& frame) {
    if (!take_) return false;
    FUZZ_CHECK(frame.bytes.size() >= kEthernetHeaderSize);
    FUZZ_CHECK(frame.bytes.size() <= kMaxFrameSize);
    FUZZ_CHECK(NetOffloads::FromHostFeatures(features_).Consistent().Allow(
        frame.header));
    FUZZ_CHECK(frame.header.hdr_len <= frame.bytes.size());
    if ((frame.header.flags & NetHeader::kNeedsChecksum) != 0) {
      FUZZ_CHECK(size_t{frame.header.csum_start} + frame.header.csum_offset +
                     2 <=
                 frame.bytes.size());
    }
    if (link_ == nullptr || !Strict()) return true;
    FUZZ_CHECK(!expected_out_.empty());
    const Sent sent = expected_out_.front();
    expected_out_.pop_front();
    FUZZ_CHECK(
        std::ranges::equal(frame.bytes, MakeFrame(sent.size, sent.seed)));
    return true;
  }

  size_t Size(uint8_t argument, uint16_t value) const {
    return argument % 8 == 0 ? value : value % 1600;
  }

  void Transmit(uint8_t argument, uint16_t value) {
    auto& driver = link_->driver(kTx);
    const size_t size = Size(argument, value);
    const uint32_t pieces = 1 + argument % 5;
    if (driver.free_places() < pieces || !HasMemory(size)) return;
    NetHeader header;
    if (argument >= 0xc0) {
      header = {.flags = static_cast<uint8_t>(argument),
                .gso_type = static_cast<uint8_t>(value % 8),
                .hdr_len = value,
                .gso_size = static_cast<uint16_t>(value >> 8),
                .csum_start = static_cast<uint16_t>(value % 100),
                .csum_offset = static_cast<uint16_t>(value % 19)};
    }
    const uint32_t seed = ++seed_;
    Bytes chain(sizeof header);
    std::memcpy(chain.data(), &header, sizeof header);
    const Bytes frame = MakeFrame(size, seed);
    chain.insert(chain.end(), frame.begin(), frame.end());
    const Gpa at = link_->Put(chain);
    std::vector<VirtqueueDriver::Buffer> buffers;
    const auto total = static_cast<uint32_t>(chain.size());
    uint32_t done = 0;
    for (uint32_t i = 0; i < pieces && done < total; ++i) {
      const uint32_t piece =
          i + 1 == pieces ? total - done
                          : std::min(total - done, 1 + (value + i * 7u) % 40);
      buffers.push_back({.gpa = at + done, .size = piece});
      done += piece;
    }
    if (!driver.Add(buffers)) return;
    if (size >= kEthernetHeaderSize && size <= kMaxFrameSize &&
        Sendable(header, size)) {
      expected_out_.push_back({.seed = seed, .size = size});
    }
    link_->Kick(kTx);
  }

  // As the specification has it, beside the device's own check.
  bool Sendable(const NetHeader& header, size_t size) const {
    const bool checksum = (header.flags & 1) != 0;
    if (checksum &&
        (!Has(kCsum) || header.csum_start + header.csum_offset + 2u > size)) {
      return false;
    }
    switch (header.gso_type) {
      case 0:
        return true;
      case 1:
        return Has(kHostTso4) && header.gso_size != 0;
      case 3:
        return Has(kHostUfo) && header.gso_size != 0;
      default:
        return false;
    }
  }

  void PostBuffer(uint8_t argument, uint16_t value) {
    auto& driver = link_->driver(kRx);
    // A driver's first duty: room for the header.
    const uint32_t size = static_cast<uint32_t>(
        std::max(sizeof(NetHeader), argument % 8 == 0 ? size_t{value} + 100
                                                      : size_t{value} % 2100));
    const uint32_t pieces = 1 + argument % 3;
    if (driver.free_places() < pieces || !HasMemory(size)) return;
    const Gpa at = link_->Put(Bytes(size + 2 * kMargin, kUntouched)) + kMargin;
    std::vector<VirtqueueDriver::Buffer> parts;
    uint32_t done = 0;
    for (uint32_t i = 0; i < pieces && done < size; ++i) {
      const uint32_t part = i + 1 == pieces
                                ? size - done
                                : std::min(size - done, 1 + (value + i) % 30u);
      parts.push_back({.gpa = at + done, .size = part, .writable = true});
      done += part;
    }
    const auto id = driver.Add(parts);
    if (!id) return;
    if (buffers_.size() <= *id) buffers_.resize(*id + size_t{1});
    buffers_[*id] = Buffer{.gpa = at, .size = size};
    link_->Kick(kRx);
  }

  void Deliver(uint8_t argument, uint16_t value) {
    const size_t size = std::max(Size(argument, value), kEthernetHeaderSize);
    const uint32_t seed = ++seed_;
    NetHeader header;
    if (argument >= 0xe0) {
      header = {.flags = static_cast<uint8_t>(argument),
                .gso_type = static_cast<uint8_t>(value % 6),
                .gso_size = 100,
                .csum_start = static_cast<uint16_t>(value % 99),
                .csum_offset = static_cast<uint16_t>(value % 17)};
    }
    if (!net_->Deliver(header, MakeFrame(size, seed))) return;
    expected_in_.push_back({.seed = seed, .size = size});
    if ((header.flags & NetHeader::kNeedsChecksum) != 0) {
      expected_in_.back().checksum_at =
          size_t{header.csum_start} + header.csum_offset;
    }
  }

  void Command(uint8_t argument, uint16_t value) {
    if (!Has(kCtrlVq)) return;
    auto& driver = link_->driver(kControl);
    if (driver.free_places() < 2 || !HasMemory(64)) return;
    Bytes request{std::byte(value % 7), std::byte(argument % 7)};
    for (unsigned i = 0; i < argument / 4u; ++i) {
      request.push_back(std::byte(i % 4 == 0 ? value >> 8 : i % 3));
    }
    const Gpa out = link_->Put(request);
    const Gpa in = link_->Put(Bytes(1, kUntouched));
    const auto id =
        driver.Add({{.gpa = out, .size = static_cast<uint32_t>(request.size())},
                    {.gpa = in, .size = 1, .writable = true}});
    if (!id) return;
    if (commands_.size() <= *id) commands_.resize(*id + size_t{1});
    commands_[*id] = in;
    // It may have said that frames are not wanted.
    lossy_ = true;
    link_->Kick(kControl);
  }

  void Announce() {
    device_->Announce();
    Bytes status(2);
    device_->ReadConfig(kConfigStatus, status);
    if (!Has(kGuestAnnounce)) {
      FUZZ_CHECK((LoadLittleEndian(status) & kStatusAnnounce) == 0);
    }
  }

  // What no driver does.
  void Overwrite(uint8_t argument, uint16_t value) {
    hostile_ = true;
    const uint16_t queue = argument % (Has(kCtrlVq) ? 3 : 2);
    const GpaRange area = link_->driver(queue).area();
    const Bytes bytes(1 + argument / 4u, std::byte(value));
    FUZZ_CHECK(link_->memory().Write(
        area.start + (value * 3u) % (area.size - bytes.size()), bytes));
    link_->Notify(queue);
  }

  bool HasMemory(uint64_t size) {
    // The buffers of one life of the driver have so much room.
    constexpr uint64_t kRoom = uint64_t{7} << 20;
    used_ += size + 256;
    if (used_ < kRoom) return true;
    link_->Reset();
    used_ = 0;
    Activate();
    return false;
  }

  void Collect() {
    while (link_->driver(kTx).Collect()) continue;
    if (Has(kCtrlVq)) CollectCommands();
    std::optional<VirtqueueDriver::Used> used;
    Bytes frame;
    size_t missing = 0;
    while ((used = link_->driver(kRx).Collect())) {
      if (hostile_) continue;
      FUZZ_CHECK(used->id < buffers_.size() && buffers_[used->id].has_value());
      const Buffer buffer = *std::exchange(buffers_[used->id], std::nullopt);
      FUZZ_CHECK(used->written <= buffer.size);
      CheckMargins(buffer, used->written);
      // Given back as it was: the ring was too small for a frame.
      if (used->written == 0) continue;
      const Bytes bytes = link_->Bytes(buffer.gpa, used->written);
      if (missing == 0) {
        FUZZ_CHECK(bytes.size() >= sizeof(NetHeader));
        NetHeader header;
        std::memcpy(&header, bytes.data(), sizeof header);
        CheckReceived(header);
        missing = header.num_buffers;
        frame.assign(bytes.begin() + sizeof header, bytes.end());
      } else {
        frame.insert(frame.end(), bytes.begin(), bytes.end());
      }
      if (--missing == 0) Got(frame);
    }
    FUZZ_CHECK(missing == 0);
  }

  void CollectCommands() {
    while (const auto used = link_->driver(kControl).Collect()) {
      if (hostile_) continue;
      FUZZ_CHECK(used->written == 1);
      FUZZ_CHECK(used->id < commands_.size());
      const std::byte ack = link_->Bytes(commands_[used->id], 1)[0];
      FUZZ_CHECK(ack == std::byte{kAckOk} || ack == std::byte{kAckError});
    }
  }

  void CheckReceived(const NetHeader& header) const {
    FUZZ_CHECK(header.num_buffers >= 1);
    FUZZ_CHECK(Has(kMergeableBuffers) || header.num_buffers == 1);
    FUZZ_CHECK(
        NetOffloads::FromGuestFeatures(features_).Consistent().Allow(header));
    FUZZ_CHECK(Has(kGuestCsum) || header.flags == 0);
  }

  // Before the buffer, and behind what is said to be written.
  void CheckMargins(const Buffer& buffer, uint32_t written) {
    const auto untouched = [](std::byte byte) { return byte == kUntouched; };
    FUZZ_CHECK(std::ranges::all_of(
        link_->Bytes(Gpa(buffer.gpa.value() - kMargin), kMargin), untouched));
    FUZZ_CHECK(std::ranges::all_of(
        link_->Bytes(buffer.gpa + buffer.size, kMargin), untouched));
    if (written == 0) return;
    FUZZ_CHECK(std::ranges::all_of(
        link_->Bytes(buffer.gpa + written, buffer.size - written), untouched));
  }

  // A whole frame: the next of those delivered, but for those that were dropped.
  void Got(const Bytes& frame) {
    ++got_frames_;
    while (!expected_in_.empty() && !expected_in_.front().Is(frame)) {
      expected_in_.pop_front();
      ++passed_over_;
    }
    FUZZ_CHECK(!expected_in_.empty());
    expected_in_.pop_front();
  }

  void CheckAll() {
    if (hostile_) return;
    const VirtioNet::Counters now = device_->counters();
    FUZZ_CHECK(got_frames_ == now.received_frames - before_.received_frames);
    FUZZ_CHECK(passed_over_ <= now.received_dropped - before_.received_dropped +
                                   now.received_filtered -
                                   before_.received_filtered);
    if (!Strict()) return;
    // A network that takes frames has them all.
    if (take_) FUZZ_CHECK(expected_out_.empty());
    FUZZ_CHECK(now.received_filtered == before_.received_filtered);
  }

  bool take_ = true;
  bool hostile_ = false;
  bool lossy_ = false;
  uint32_t seed_ = 0;
  uint64_t used_ = 0;
  uint64_t features_ = 0;
  std::deque<Sent> expected_out_;
  std::deque<Sent> expected_in_;
  std::vector<std::optional<Buffer>> buffers_;
  std::vector<Gpa> commands_;
  uint64_t got_frames_ = 0;
  uint64_t passed_over_ = 0;
  VirtioNet::Counters before_;

  std::unique_ptr<FrameNet> net_;
  std::unique_ptr<VirtioNet> device_;
  std::unique_ptr<VirtioTestLink> link_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kSetUp = 4;
  constexpr size_t kStep = 4;
  if (size < kSetUp) return 0;
  libvmm::Session session(data[0] % 2 != 0, data[1],
                          static_cast<uint16_t>(data[2] | data[3] << 8));
  for (size_t i = kSetUp; i + kStep <= size && i < 2048; i += kStep) {
    session.Step(data[i], data[i + 1],
                 static_cast<uint16_t>(data[i + 2] | data[i + 3] << 8));
  }
  return 0;
}
