// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/devices/virtio/vsock/internal/port_table.h"
#include "libvmm/devices/virtio/vsock/internal/reply_queue.h"
#include "libvmm/devices/virtio/vsock/internal/slot_queue.h"
#include "libvmm/devices/virtio/vsock/internal/vsock_pool.h"
#include "libvmm/devices/virtio/vsock/internal/vsock_slot.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

namespace libvmm {

using namespace internal;  // NOLINT: the slot's flags.
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
using virtio::vsock::Type;

namespace {

constexpr uint16_t kLane = 0;

// Host ports of connections that the host makes: far from those that programs
// listen on.
constexpr uint32_t kFirstOwnPort = uint32_t{1} << 30;
constexpr uint32_t kLastOwnPort = (uint32_t{1} << 31) - 1;

constexpr uint32_t kMinBufferSize = 4096;
constexpr uint32_t kMaxBufferSize = uint32_t{1} << 30;
constexpr uint32_t kMaxConnections = 65536;
constexpr uint16_t kMaxQueueSize = 32768;

// Turns from the transmit to the receive queue and back in one Serve.
constexpr int kMaxTurns = 4;

absl::Status ValidateCid(uint64_t cid, absl::string_view name) {
  if (cid >= virtio::vsock::kFirstGuestCid &&
      cid <= virtio::vsock::kLastGuestCid) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", cid, ": ", virtio::vsock::kFirstGuestCid,
                   " to ", virtio::vsock::kLastGuestCid, " can be"));
}

absl::Status Validate(const VirtioVsock::Options& options) {
  LIBVMM_RETURN_IF_ERROR(
      ValidateCid(options.guest_cid, "VirtioVsock::Options.guest_cid"));
  if (options.max_connections < 1 ||
      options.max_connections > kMaxConnections) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioVsock::Options.max_connections is ", options.max_connections,
        ": 1 to ", kMaxConnections, " can be"));
  }
  if (!std::has_single_bit(options.buffer_size) ||
      options.buffer_size < kMinBufferSize ||
      options.buffer_size > kMaxBufferSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioVsock::Options.buffer_size is ",
                     options.buffer_size, ": powers of two from ",
                     kMinBufferSize, " to ", kMaxBufferSize, " can be"));
  }
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioVsock::Options.queue_size is ", options.queue_size,
                     ": powers of two up to ", kMaxQueueSize, " can be"));
  }
  if (options.connect_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioVsock::Options.connect_timeout is ",
        absl::FormatDuration(options.connect_timeout), ": not positive"));
  }
  if (options.close_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioVsock::Options.close_timeout is ",
        absl::FormatDuration(options.close_timeout), ": not positive"));
  }
  return absl::OkStatus();
}

// A connection as the device has it, in the lane only.
struct Connection {
  enum class Phase : uint8_t {
    // None: the slot is free, or its connection is over.
    kNone,
    // The guest's REQUEST waits for the service; then RESPONSE is to be sent.
    kAsking,
    kAccepted,
    // REQUEST is to be sent; then RESPONSE is to come.
    kConnecting,
    kRequested,
    kOpen,
    // The stream knows that it is over; RST is to be sent.
    kDying,
  };

  Phase phase = Phase::kNone;
  // SHUTDOWN flags of the guest, and those sent to it. Both only grow.
  uint32_t guest_shutdown = 0;
  uint32_t told_shutdown = 0;
  // The guest's credit (5.10.6.3), as its last packet had it.
  uint32_t peer_buf_alloc = 0;
  uint32_t peer_fwd_cnt = 0;
  // The guest asked for credit. It was asked for credit, since it had none
  // left.
  bool update_wanted = false;
  bool credit_requested = false;
  // The reference is dropped after the stream was told.
  bool forgotten = false;
  absl::Duration deadline = absl::InfiniteDuration();
};
using Phase = Connection::Phase;

}  // namespace

class VirtioVsock::Engine {
 public:
  explicit Engine(const Options& options)
      : options_(options),
        guest_cid_(options.guest_cid),
        pool_(std::make_shared<VsockPool>(options.max_connections,
                                          options.buffer_size)),
        connections_(options.max_connections),
        table_(options.max_connections, reinterpret_cast<uintptr_t>(this)),
        to_send_(options.max_connections),
        to_tell_(options.max_connections) {
    traits_ = {.id = VirtioDeviceId::kVsock,
               // Chains are given back in the order in which they came.
               .features = virtio::vsock::kFeatureStream | virtio::kInOrder,
               .queues = {{.max_size = options.queue_size, .lane = kLane},
                          {.max_size = options.queue_size, .lane = kLane},
                          {.max_size = options.queue_size, .lane = kLane}},
               .lanes = 1,
               .config_size = virtio::vsock::kConfigSize};
  }

  [[nodiscard]] const Traits& traits() const { return traits_; }
  [[nodiscard]] uint64_t guest_cid() const { return guest_cid_.load(); }
  [[nodiscard]] VsockPool& pool() { return *pool_; }

  void SetTransportReset(std::optional<uint64_t> cid) {
    if (cid.has_value()) guest_cid_.store(*cid);
    if (!pool_->link_slot().has_link()) return;
    transport_reset_.store(true);
    pool_->link_slot().Wake(kLane);
  }

  bool Activate(VirtioLink& link);
  void Serve();
  void Reset();

 private:
  using Reply = ReplyQueue<kReplyCount>::Reply;

  Connection& ConnectionOf(const VsockSlot& slot) {
    return connections_[slot.index];
  }

  // ---- What streams did -----------------------------------------------------
  // A connection that the host wants and the device has not taken up. The slot
  // need not be the device's: it may be free, or in the hands of Claim.
  static bool IsNew(const VsockSlot& slot) {
    // In this order: who finds the device's part cleared finds no wish of the
    // slot's last owner.
    return (slot.found.load() & kFoundStarted) == 0 &&
           (slot.wanted.load() & kWantConnect) != 0;
  }
  void Look(VsockSlot& slot);
  bool StartConnecting(VsockSlot& slot);

  // ---- Transmit queue -------------------------------------------------------
  void ServeTransmit();
  ChainResult OnTransmit(const DescriptorChain& chain);
  void OnPacket(const Header& header, ChainReader& payload);
  void OnRequest(const Header& header);
  void OnPacketOf(VsockSlot& slot, const Header& header, ChainReader& payload);
  bool TakeData(VsockSlot& slot, uint32_t size, ChainReader& payload);
  void OnShutdown(VsockSlot& slot, const Header& header);

  // ---- Receive queue --------------------------------------------------------
  // What the connection has to send first, or kInvalid.
  Op NextOp(VsockSlot& slot);
  uint32_t WantedShutdown(const VsockSlot& slot) const;
  uint32_t Credit(const VsockSlot& slot) const;
  bool HasPacket();
  void ServeReceive();
  ChainResult OnReceive(const DescriptorChain& chain);
  ChainResult SendPacket(VsockSlot& slot, ChainWriter& writer);
  static bool WriteHeader(ChainWriter& writer, const Header& header);
  Header HeaderOf(const VsockSlot& slot, Op op) const;
  void AfterSending(VsockSlot& slot, const Header& header);

  // ---- Event queue ----------------------------------------------------------
  void ServeEvents();

  // ---- Ends -----------------------------------------------------------------
  void PushReset(const Header& header);
  // The stream is told that it is over.
  void Tell(VsockSlot& slot, uint32_t found);
  // The connection is none of the device's any more.
  void Forget(VsockSlot& slot);
  // Over, and the guest is to be sent RST.
  void Kill(VsockSlot& slot);
  void DropAll();
  void SetDeadline(Connection& connection, absl::Duration timeout);
  void ServeDeadlines();
  void ArmDeadline();
  // Calls the streams' callbacks. Last, since these may do anything.
  void TellStreams();

  const Options options_;
  Traits traits_;
  std::atomic<uint64_t> guest_cid_;
  std::atomic<bool> transport_reset_ = false;
  const std::shared_ptr<VsockPool> pool_;

  // The rest is the lane's.
  VirtioLink* link_ = nullptr;
  std::vector<Connection> connections_;
  PortTable table_;
  ReplyQueue<kReplyCount> replies_;
  // Connections that may have a packet to send, and those whose stream is to be
  // called.
  SlotQueue to_send_;
  SlotQueue to_tell_;
  DescriptorChain chain_;
  uint32_t next_own_port_ = kFirstOwnPort;
  bool event_due_ = false;
  bool transmit_stopped_ = false;
  bool failed_ = false;
  // Not later than the first deadline of a connection.
  absl::Duration first_deadline_ = absl::InfiniteDuration();
  absl::Duration armed_deadline_ = absl::InfiniteDuration();
};

bool VirtioVsock::Engine::Activate(VirtioLink& link) {
  // Without the event queue nobody tells of TRANSPORT_RESET; all else works.
  if (link.queue(kRxQueue) == nullptr || link.queue(kTxQueue) == nullptr) {
    return false;
  }
  link_ = &link;
  failed_ = false;
  event_due_ = false;
  transport_reset_.store(false);
  first_deadline_ = armed_deadline_ = absl::InfiniteDuration();
  pool_->link_slot().Set(link);
  return true;
}

void VirtioVsock::Engine::Serve() {
  if (link_ == nullptr) return;
  if (transport_reset_.exchange(false)) {
    DropAll();
    event_due_ = true;
  }
  pool_->TakeTouched([this](VsockSlot& slot) { Look(slot); });
  ServeEvents();
  for (int turn = 1; !failed_; ++turn) {
    ServeTransmit();
    // What the service did with new connections goes out at once.
    pool_->TakeTouched([this](VsockSlot& slot) { Look(slot); });
    ServeReceive();
    if (!transmit_stopped_ || replies_.full()) break;
    if (turn == kMaxTurns) {
      link_->Wake(kLane);
      break;
    }
  }
  ServeDeadlines();
  if (failed_) DropAll();
  ArmDeadline();
  TellStreams();
}

void VirtioVsock::Engine::Reset() {
  // First, so that callbacks below wake nobody.
  pool_->link_slot().Clear();
  link_ = nullptr;
  DropAll();
  pool_->TakeTouched([this](VsockSlot& slot) {
    if (ConnectionOf(slot).phase != Phase::kNone || !IsNew(slot)) return;
    slot.found.fetch_or(kFoundStarted);
    Tell(slot, kFoundReset);
    Forget(slot);
  });
  TellStreams();
}

// ---- What streams did -------------------------------------------------------

void VirtioVsock::Engine::Look(VsockSlot& slot) {
  Connection& connection = ConnectionOf(slot);
  if (connection.phase == Phase::kNone) {
    if (IsNew(slot) && StartConnecting(slot)) to_send_.Push(slot.index);
    return;
  }
  const uint32_t wanted = slot.wanted.load();
  switch (connection.phase) {
    case Phase::kNone:
      return;
    case Phase::kAsking:
      if ((wanted & kWantAccept) != 0) {
        connection.phase = Phase::kAccepted;
      } else if ((wanted & kWantClose) != 0) {
        Kill(slot);
      }
      break;
    case Phase::kConnecting:
      if ((wanted & kWantClose) == 0) break;
      // The guest knows nothing of it.
      Tell(slot, kFoundReset);
      Forget(slot);
      return;
    case Phase::kRequested:
      if ((wanted & kWantClose) != 0) Kill(slot);
      break;
    case Phase::kAccepted:
    case Phase::kOpen:
      if ((wanted & kWantReset) != 0) Kill(slot);
      break;
    case Phase::kDying:
      break;
  }
  to_send_.Push(slot.index);
}

bool VirtioVsock::Engine::StartConnecting(VsockSlot& slot) {
  slot.found.fetch_or(kFoundStarted);
  if ((slot.wanted.load() & kWantClose) != 0) {
    Tell(slot, kFoundReset);
    Forget(slot);
    return false;
  }
  PortPair ports{.guest = slot.guest_port, .host = next_own_port_};
  // Ends: there are fewer connections than ports.
  while (table_.Find(ports).has_value()) {
    ports.host = ports.host == kLastOwnPort ? kFirstOwnPort : ports.host + 1;
  }
  next_own_port_ = ports.host == kLastOwnPort ? kFirstOwnPort : ports.host + 1;
  slot.host_port.store(ports.host, std::memory_order_release);
  table_.Insert(ports, slot.index);
  Connection& connection = ConnectionOf(slot);
  connection = {};
  connection.phase = Phase::kConnecting;
  SetDeadline(connection, options_.connect_timeout);
  return true;
}

// ---- Transmit queue ---------------------------------------------------------

void VirtioVsock::Engine::ServeTransmit() {
  transmit_stopped_ = false;
  ServeQueue(
      *link_, kTxQueue, kLane, chain_,
      [this](const DescriptorChain& chain) { return OnTransmit(chain); });
  failed_ = failed_ || link_->queue(kTxQueue)->broken();
}

ChainResult VirtioVsock::Engine::OnTransmit(const DescriptorChain& chain) {
  // A packet has one RST for an answer at most; without room for it the packet
  // waits (5.10.6.1.2).
  if (replies_.full()) {
    transmit_stopped_ = true;
    return ChainResult::kLater;
  }
  Header header;
  ChainReader reader(chain.readable());
  if (reader.Read(
          std::as_writable_bytes(std::span(&header, 1)).first(kHeaderSize)) &&
      header.src_cid == guest_cid() && header.dst_cid == kHostCid) {
    OnPacket(header, reader);
  }
  link_->queue(kTxQueue)->Push(chain.token(), /*written=*/0);
  return ChainResult::kTaken;
}

void VirtioVsock::Engine::OnPacket(const Header& header, ChainReader& payload) {
  const auto op = static_cast<Op>(header.op);
  // 5.10.6.4.2.
  if (header.type != static_cast<uint16_t>(Type::kStream)) {
    PushReset(header);
    return;
  }
  const std::optional<uint32_t> found =
      table_.Find({.guest = header.src_port, .host = header.dst_port});
  if (header.len > payload.remaining()) {
    PushReset(header);
    if (found.has_value()) {
      Tell(pool_->slot(*found), kFoundReset);
      Forget(pool_->slot(*found));
    }
    return;
  }
  if (found.has_value()) {
    OnPacketOf(pool_->slot(*found), header, payload);
  } else if (op == Op::kRequest) {
    OnRequest(header);
  } else {
    PushReset(header);
  }
}

void VirtioVsock::Engine::OnRequest(const Header& header) {
  VsockSlot* const slot =
      options_.service == nullptr
          ? nullptr
          : pool_->Claim(header.src_port, /*outgoing=*/false);
  if (slot == nullptr) {
    PushReset(header);
    return;
  }
  slot->host_port.store(header.dst_port, std::memory_order_release);
  slot->found.fetch_or(kFoundStarted);
  table_.Insert({.guest = header.src_port, .host = header.dst_port},
                slot->index);
  Connection& connection = ConnectionOf(*slot);
  connection = {};
  connection.phase = Phase::kAsking;
  connection.peer_buf_alloc = header.buf_alloc;
  connection.peer_fwd_cnt = header.fwd_cnt;
  options_.service->OnConnect(pool_->MakeStream(*slot));
}

void VirtioVsock::Engine::OnPacketOf(VsockSlot& slot, const Header& header,
                                     ChainReader& payload) {
  Connection& connection = ConnectionOf(slot);
  const auto op = static_cast<Op>(header.op);
  if (op == Op::kReset) {
    // The answer to SHUTDOWN, or the end.
    Tell(slot,
         connection.told_shutdown == kShutdownBoth ? kFoundEnded : kFoundReset);
    Forget(slot);
    return;
  }
  // RST is on its way to the guest.
  if (connection.phase == Phase::kDying) return;

  connection.peer_buf_alloc = header.buf_alloc;
  connection.peer_fwd_cnt = header.fwd_cnt;
  if (Credit(slot) != 0) connection.credit_requested = false;
  to_send_.Push(slot.index);

  switch (op) {
    case Op::kResponse:
      if (connection.phase != Phase::kRequested) break;
      connection.phase = Phase::kOpen;
      connection.deadline = absl::InfiniteDuration();
      Tell(slot, kFoundOpen);
      return;
    case Op::kShutdown:
      if (connection.phase == Phase::kRequested) break;
      OnShutdown(slot, header);
      return;
    case Op::kReadWrite:
      if (connection.phase != Phase::kOpen ||
          (connection.guest_shutdown & kShutdownSend) != 0 ||
          !TakeData(slot, header.len, payload)) {
        break;
      }
      return;
    case Op::kCreditUpdate:
      return;
    case Op::kCreditRequest:
      connection.update_wanted = true;
      return;
    default:
      break;
  }
  // Not what this connection can be sent.
  PushReset(header);
  Tell(slot, kFoundReset);
  Forget(slot);
}

bool VirtioVsock::Engine::TakeData(VsockSlot& slot, uint32_t size,
                                   ChainReader& payload) {
  if (size > slot.to_host.room()) return false;
  if (size == 0) return true;
  uint32_t left = size;
  while (left != 0) {
    const std::span<std::byte> room = slot.to_host.Room();
    const auto part = static_cast<uint32_t>(
        payload.ReadSome(room.first(std::min<size_t>(room.size(), left))));
    slot.to_host.Commit(part);
    left -= part;
  }
  if ((slot.wanted.load(std::memory_order_acquire) & kWantNoRead) != 0) {
    // The owner has left the reading side to the device.
    slot.to_host.Consume(slot.to_host.size());
  } else {
    to_tell_.Push(slot.index);
  }
  return true;
}

void VirtioVsock::Engine::OnShutdown(VsockSlot& slot, const Header& header) {
  Connection& connection = ConnectionOf(slot);
  connection.guest_shutdown |= header.flags & kShutdownBoth;
  uint32_t found = 0;
  if ((connection.guest_shutdown & kShutdownSend) != 0) found |= kFoundNoData;
  if ((connection.guest_shutdown & kShutdownReceive) != 0) {
    found |= kFoundNoReader;
  }
  if (connection.guest_shutdown != kShutdownBoth) {
    Tell(slot, found);
    return;
  }
  // The answer to a clean disconnect; the stream keeps what it has not read.
  PushReset(header);
  Tell(slot, found | kFoundEnded);
  Forget(slot);
}

// ---- Receive queue ----------------------------------------------------------

uint32_t VirtioVsock::Engine::Credit(const VsockSlot& slot) const {
  const Connection& connection = connections_[slot.index];
  // Modulo 2^32. More than there can be, if the guest says it took what was not
  // sent; then it gets nothing.
  const uint32_t in_flight =
      slot.to_guest.read_total() - connection.peer_fwd_cnt;
  return in_flight < connection.peer_buf_alloc
             ? connection.peer_buf_alloc - in_flight
             : 0;
}

uint32_t VirtioVsock::Engine::WantedShutdown(const VsockSlot& slot) const {
  const uint32_t wanted = slot.wanted.load(std::memory_order_acquire);
  uint32_t flags = 0;
  if ((wanted & kWantNoRead) != 0) flags |= kShutdownReceive;
  // Behind the last byte.
  if ((wanted & kWantNoWrite) != 0 && slot.to_guest.size() == 0) {
    flags |= kShutdownSend;
  }
  return flags;
}

Op VirtioVsock::Engine::NextOp(VsockSlot& slot) {
  Connection& connection = ConnectionOf(slot);
  switch (connection.phase) {
    case Phase::kNone:
    case Phase::kAsking:
    case Phase::kRequested:
      return Op::kInvalid;
    case Phase::kDying:
      return Op::kReset;
    case Phase::kConnecting:
      return Op::kRequest;
    case Phase::kAccepted:
      return Op::kResponse;
    case Phase::kOpen:
      break;
  }
  if ((connection.guest_shutdown & kShutdownReceive) != 0) {
    slot.to_guest.Consume(slot.to_guest.size());
  }
  if ((WantedShutdown(slot) & ~connection.told_shutdown) != 0) {
    return Op::kShutdown;
  }
  const bool has_data = slot.to_guest.size() != 0;
  const bool has_credit = Credit(slot) != 0;
  if (has_data && has_credit) return Op::kReadWrite;
  if (connection.update_wanted || IsCreditWorthTelling(slot)) {
    return Op::kCreditUpdate;
  }
  if (has_data && !connection.credit_requested) return Op::kCreditRequest;
  return Op::kInvalid;
}

bool VirtioVsock::Engine::HasPacket() {
  if (!replies_.empty()) return true;
  while (!to_send_.empty()) {
    if (NextOp(pool_->slot(to_send_.front())) != Op::kInvalid) return true;
    to_send_.Pop();
  }
  return false;
}

void VirtioVsock::Engine::ServeReceive() {
  // Buffers stay where they are, and the driver need not tell of new ones,
  // while there is nothing to put into them.
  if (failed_ || !HasPacket()) return;
  ServeQueue(*link_, kRxQueue, kLane, chain_,
             [this](const DescriptorChain& chain) { return OnReceive(chain); });
  failed_ = failed_ || link_->queue(kRxQueue)->broken();
}

ChainResult VirtioVsock::Engine::OnReceive(const DescriptorChain& chain) {
  if (!HasPacket()) return ChainResult::kLater;
  ChainWriter writer(chain.writable(), link_->memory());
  ChainResult result = ChainResult::kTaken;
  if (!replies_.empty()) {
    const Reply reply = replies_.Pop();
    Header header;
    header.src_cid = kHostCid;
    header.dst_cid = guest_cid();
    header.src_port = reply.ports.host;
    header.dst_port = reply.ports.guest;
    header.type = reply.type;
    header.op = static_cast<uint16_t>(Op::kReset);
    if (!WriteHeader(writer, header)) result = ChainResult::kFail;
  } else {
    result = SendPacket(pool_->slot(to_send_.front()), writer);
  }
  failed_ = failed_ || result == ChainResult::kFail;
  link_->queue(kRxQueue)->Push(chain.token(), writer.written());
  return result;
}

bool VirtioVsock::Engine::WriteHeader(ChainWriter& writer,
                                      const Header& header) {
  return writer.Write(std::as_bytes(std::span(&header, 1)).first(kHeaderSize));
}

Header VirtioVsock::Engine::HeaderOf(const VsockSlot& slot, Op op) const {
  Header header;
  header.src_cid = kHostCid;
  header.dst_cid = guest_cid();
  header.src_port = slot.host_port.load(std::memory_order_relaxed);
  header.dst_port = slot.guest_port;
  header.type = static_cast<uint16_t>(Type::kStream);
  header.op = static_cast<uint16_t>(op);
  header.buf_alloc = slot.to_host.capacity();
  header.fwd_cnt = slot.to_host.read_total();
  return header;
}

// The front of to_send_ sends its next packet, and goes behind the others.
ChainResult VirtioVsock::Engine::SendPacket(VsockSlot& slot,
                                            ChainWriter& writer) {
  Header header = HeaderOf(slot, NextOp(slot));
  const auto op = static_cast<Op>(header.op);
  if (writer.remaining() < kHeaderSize) return ChainResult::kFail;
  if (op == Op::kShutdown) {
    header.flags = WantedShutdown(slot) | ConnectionOf(slot).told_shutdown;
  }
  if (op == Op::kReadWrite) {
    header.len = static_cast<uint32_t>(
        std::min<uint64_t>({slot.to_guest.size(), Credit(slot),
                            writer.remaining() - kHeaderSize}));
    if (header.len == 0) return ChainResult::kFail;
  }
  if (!WriteHeader(writer, header)) return ChainResult::kFail;
  for (size_t left = header.len; left != 0;) {
    const std::span<const std::byte> bytes = slot.to_guest.Peek();
    const size_t size =
        writer.WriteSome(bytes.first(std::min(bytes.size(), left)));
    slot.to_guest.Consume(size);
    left -= size;
  }
  to_send_.Pop();
  AfterSending(slot, header);
  to_send_.Push(slot.index);
  return ChainResult::kTaken;
}

void VirtioVsock::Engine::AfterSending(VsockSlot& slot, const Header& header) {
  Connection& connection = ConnectionOf(slot);
  slot.told_read.store(header.fwd_cnt, std::memory_order_relaxed);
  connection.update_wanted = false;
  switch (static_cast<Op>(header.op)) {
    case Op::kRequest:
      connection.phase = Phase::kRequested;
      return;
    case Op::kResponse:
      connection.phase = Phase::kOpen;
      return;
    case Op::kReset:
      Forget(slot);
      return;
    case Op::kShutdown:
      connection.told_shutdown = header.flags;
      if (connection.told_shutdown == kShutdownBoth) {
        SetDeadline(connection, options_.close_timeout);
      }
      return;
    case Op::kReadWrite:
      // Pairs with VsockStream::Room.
      if (slot.wants_room.exchange(false)) to_tell_.Push(slot.index);
      return;
    case Op::kCreditRequest:
      connection.credit_requested = true;
      return;
    default:
      return;
  }
}

// ---- Event queue ------------------------------------------------------------

void VirtioVsock::Engine::ServeEvents() {
  if (!event_due_ || failed_) return;
  ServeQueue(
      *link_, kEventQueue, kLane, chain_, [this](const DescriptorChain& chain) {
        if (!event_due_) return ChainResult::kLater;
        const virtio::vsock::Event event{.id = virtio::vsock::kTransportReset};
        ChainWriter writer(chain.writable(), link_->memory());
        const bool written = writer.Write(std::as_bytes(std::span(&event, 1)));
        link_->queue(kEventQueue)->Push(chain.token(), writer.written());
        failed_ = !written;
        event_due_ = false;
        return written ? ChainResult::kTaken : ChainResult::kFail;
      });
  const Virtqueue* const queue = link_->queue(kEventQueue);
  failed_ = failed_ || (queue != nullptr && queue->broken());
}

// ---- Ends -------------------------------------------------------------------

void VirtioVsock::Engine::PushReset(const Header& header) {
  // RST is not answered, or two sides could go on for ever.
  if (header.op == static_cast<uint16_t>(Op::kReset)) return;
  replies_.Push({.ports = {.guest = header.src_port, .host = header.dst_port},
                 .type = header.type});
}

void VirtioVsock::Engine::Tell(VsockSlot& slot, uint32_t found) {
  slot.found.fetch_or(found);
  to_tell_.Push(slot.index);
}

void VirtioVsock::Engine::Forget(VsockSlot& slot) {
  Connection& connection = ConnectionOf(slot);
  if (connection.phase != Phase::kNone) table_.Remove(slot.index);
  connection.phase = Phase::kNone;
  connection.deadline = absl::InfiniteDuration();
  connection.forgotten = true;
  to_tell_.Push(slot.index);
}

void VirtioVsock::Engine::Kill(VsockSlot& slot) {
  Connection& connection = ConnectionOf(slot);
  Tell(slot, kFoundReset);
  connection.phase = Phase::kDying;
  connection.deadline = absl::InfiniteDuration();
  to_send_.Push(slot.index);
}

void VirtioVsock::Engine::DropAll() {
  replies_.Clear();
  for (uint32_t i = 0; i < pool_->count(); ++i) {
    if (connections_[i].phase == Phase::kNone) continue;
    Tell(pool_->slot(i), kFoundReset);
    Forget(pool_->slot(i));
  }
}

void VirtioVsock::Engine::SetDeadline(Connection& connection,
                                      absl::Duration timeout) {
  connection.deadline = link_->clock().Monotonic() + timeout;
  first_deadline_ = std::min(first_deadline_, connection.deadline);
}

void VirtioVsock::Engine::ServeDeadlines() {
  if (first_deadline_ == absl::InfiniteDuration()) return;
  const absl::Duration now = link_->clock().Monotonic();
  if (now < first_deadline_) return;
  first_deadline_ = absl::InfiniteDuration();
  for (uint32_t i = 0; i < pool_->count(); ++i) {
    Connection& connection = connections_[i];
    if (connection.deadline > now) {
      first_deadline_ = std::min(first_deadline_, connection.deadline);
      continue;
    }
    if (connection.phase == Phase::kConnecting) {
      Tell(pool_->slot(i), kFoundReset);
      Forget(pool_->slot(i));
    } else {
      Kill(pool_->slot(i));
    }
  }
  // RSTs of those that were killed.
  ServeReceive();
}

void VirtioVsock::Engine::ArmDeadline() {
  if (armed_deadline_ == first_deadline_) return;
  armed_deadline_ = first_deadline_;
  link_->SetDeadline(kLane, first_deadline_);
}

void VirtioVsock::Engine::TellStreams() {
  while (!to_tell_.empty()) {
    VsockSlot& slot = pool_->slot(to_tell_.Pop());
    // The callback is there when one of these is.
    if ((slot.wanted.load() & (kWantAccept | kWantConnect)) != 0) {
      slot.ready_gate.Call([&slot] {
        if (slot.ready != nullptr) slot.ready();
      });
    }
    if (std::exchange(ConnectionOf(slot).forgotten, false)) {
      pool_->Release(slot);
    }
  }
}

// ---- VirtioVsock ------------------------------------------------------------

absl::StatusOr<std::unique_ptr<VirtioVsock>> VirtioVsock::Create(
    Options options) {
  LIBVMM_RETURN_IF_ERROR(Validate(options));
  std::unique_ptr<VirtioVsock> device(
      new VirtioVsock(std::make_unique<Engine>(options), options.service));
  if (options.service != nullptr) options.service->OnAttach(device.get());
  return device;
}

VirtioVsock::VirtioVsock(std::unique_ptr<Engine> engine, VsockService* service)
    : engine_(std::move(engine)), service_(service) {}

VirtioVsock::~VirtioVsock() {
  engine_->Reset();
  if (service_ != nullptr) service_->OnAttach(nullptr);
}

uint64_t VirtioVsock::guest_cid() const { return engine_->guest_cid(); }

uint32_t VirtioVsock::connections() const { return engine_->pool().claimed(); }

namespace {

absl::Status NoDriver(uint32_t guest_port) {
  return absl::UnavailableError(
      absl::StrCat("connection to guest port ", guest_port,
                   ": the guest's vsock driver is not ready"));
}

}  // namespace

absl::StatusOr<VsockStream> VirtioVsock::Connect(
    uint32_t guest_port, absl::AnyInvocable<void()> ready) {
  VsockPool& pool = engine_->pool();
  if (!pool.link_slot().has_link()) return NoDriver(guest_port);
  VsockSlot* const slot = pool.Claim(guest_port, /*outgoing=*/true);
  if (slot == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("connection to guest port ", guest_port, ": all ",
                     pool.count(), " connections are in use"));
  }
  pool.MakeBuffers(*slot);
  slot->ready = std::move(ready);
  VsockStream stream = pool.MakeStream(*slot);
  // The slot is the device's, too, from here on.
  slot->wanted.fetch_or(kWantConnect);
  pool.Touch(*slot);
  // A reset that came in between has not seen it, and nobody would tell.
  if (!pool.link_slot().has_link()) return NoDriver(guest_port);
  return stream;
}

absl::Status VirtioVsock::ResetTransport(std::optional<uint64_t> guest_cid) {
  if (guest_cid.has_value()) {
    LIBVMM_RETURN_IF_ERROR(ValidateCid(*guest_cid, "guest_cid"));
  }
  engine_->SetTransportReset(guest_cid);
  return absl::OkStatus();
}

const VirtioDevice::Traits& VirtioVsock::traits() const {
  return engine_->traits();
}

void VirtioVsock::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const uint64_t cid = engine_->guest_cid();
  std::memcpy(data.data(), std::as_bytes(std::span(&cid, 1)).data() + offset,
              data.size());
}

void VirtioVsock::WriteConfig(uint32_t, std::span<const std::byte>) {}

bool VirtioVsock::Activate(VirtioLink& link) { return engine_->Activate(link); }

void VirtioVsock::Serve(uint16_t) { engine_->Serve(); }

void VirtioVsock::Reset() { engine_->Reset(); }

}  // namespace libvmm
