// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/net_queue_pair.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "libvmm/devices/virtio/net/checksum.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"

namespace libvmm::internal {
namespace {

uint16_t ReceiveQueue(uint16_t pair) { return static_cast<uint16_t>(2 * pair); }
uint16_t TransmitQueue(uint16_t pair) {
  return static_cast<uint16_t>(2 * pair + 1);
}

bool HasWholeFrame(size_t size) {
  return size >= virtio::net::kEthernetHeaderSize &&
         size <= virtio::net::kMaxFrameSize;
}

// The guest's address of byte `offset` of a chain's writable part, which has it.
Gpa AddressOf(const DescriptorChain& chain, uint64_t offset) {
  for (const ChainSegment& segment : chain.writable()) {
    if (offset < segment.size) return segment.gpa + offset;
    offset -= segment.size;
  }
  return Gpa(0);
}

}  // namespace

struct NetQueuePair::Pieces {
  // Header; frame; and where a checksum is finished: the checksum and the rest.
  std::array<std::span<const std::byte>, 4> spans;
  size_t total = 0;
};

NetQueuePair::NetQueuePair(uint16_t index, NetBackend& backend,
                           const Shared& shared, uint16_t ring_size)
    : index_(index),
      backend_(backend),
      settings_(shared.settings),
      transmit_limiter_(shared.transmit),
      receive_limiter_(shared.receive),
      segment_buffer_(backend.receive_offloads().segmentation()
                          ? std::make_unique_for_overwrite<std::byte[]>(
                                Segmenter::kMaxSegmentSize)
                          : nullptr) {
  used_.reserve(ring_size);
  backend_.set_listener(this);
}

NetQueuePair::~NetQueuePair() {
  Reset();
  backend_.set_listener(nullptr);
}

void NetQueuePair::Activate(VirtioLink& link) {
  const uint64_t features = link.features();
  send_offloads_ = NetOffloads::FromHostFeatures(features).Consistent();
  mergeable_ = (features & virtio::net::kMergeableBuffers) != 0;
  filter_version_ = settings_.CopyFilter(filter_);
  receive_features_ = settings_.receive_features();
  receive_offloads_ = NetOffloads::FromGuestFeatures(receive_features_);
  link_slot_.Set(link);
}

void NetQueuePair::Reset() {
  link_slot_.Clear();
  if (started_) backend_.Stop();
  started_ = false;
  failed_ = false;
  used_.clear();
  laid_ = 0;
  places_ = 0;
  paid_ = false;
  cutting_ = false;
  transmit_at_ = receive_at_ = deadline_ = absl::InfiniteDuration();
}

void NetQueuePair::Wake() { link_slot_.Wake(index_); }

void NetQueuePair::Start() {
  started_ = true;
  backend_.Start(receive_offloads_);
}

void NetQueuePair::Stop(VirtioLink& link) {
  if (Virtqueue* const queue = link.queue(ReceiveQueue(index_));
      queue != nullptr && !used_.empty()) {
    GiveUp(*queue);
    if (queue->Publish()) link.Interrupt(ReceiveQueue(index_));
  }
  paid_ = false;
  cutting_ = false;
  backend_.Stop();
  started_ = false;
}

void NetQueuePair::FollowOffloads() {
  const uint64_t features = settings_.receive_features();
  if (features == receive_features_) return;
  receive_features_ = features;
  receive_offloads_ = NetOffloads::FromGuestFeatures(features);
  backend_.SetReceiveOffloads(receive_offloads_);
}

void NetQueuePair::Serve(VirtioLink& link) {
  if (failed_) return;
  const bool wanted = index_ < settings_.active_pairs();
  if (wanted && !started_) Start();
  if (!wanted && started_) Stop(link);
  if (!started_) return;
  backend_.Flush();
  if (!Transmit(link) || !Receive(link)) {
    failed_ = true;
    return;
  }
  const absl::Duration deadline = std::min(transmit_at_, receive_at_);
  if (deadline == deadline_) return;
  deadline_ = deadline;
  link.SetDeadline(index_, deadline);
}

// ---- From the driver --------------------------------------------------------

bool NetQueuePair::Transmit(VirtioLink& link) {
  transmit_at_ = absl::InfiniteDuration();
  Virtqueue* const queue = link.queue(TransmitQueue(index_));
  if (queue == nullptr) return true;
  bool failed = false;
  ServeQueue(link, TransmitQueue(index_), index_, chain_,
             [&](const DescriptorChain&) {
               const ChainResult result = TransmitChain(link, *queue);
               failed = result == ChainResult::kFail;
               return result;
             });
  return !failed && !queue->broken();
}

ChainResult NetQueuePair::TransmitChain(VirtioLink& link, Virtqueue& queue) {
  ChainReader reader(chain_.readable());
  if (!reader.Read(std::as_writable_bytes(std::span(&header_, 1)))) {
    return ChainResult::kFail;
  }
  const uint64_t size = reader.remaining();
  if (!settings_.link_up() || !HasWholeFrame(size) || !CheckHeader(size)) {
    counters_.sent_dropped.Add(1);
    queue.Push(chain_.token(), 0);
    return ChainResult::kTaken;
  }
  if (transmit_limiter_.limited()) {
    const absl::Duration now = link.clock().Monotonic();
    if (const absl::Duration ready = transmit_limiter_.Take(size, now);
        ready > now) {
      transmit_at_ = ready;
      return ChainResult::kLater;
    }
  }
  size_t count = 0;
  pieces_[count++] = {.iov_base = &header_, .iov_len = sizeof header_};
  while (reader.remaining() > 0) {
    const std::span<const std::byte> piece = reader.Next(reader.remaining());
    // Never written: writev(2) has no other type for what it reads.
    pieces_[count++] = {.iov_base = const_cast<std::byte*>(piece.data()),
                        .iov_len = piece.size()};
  }
  switch (backend_.Send(OutgoingFrame(std::span(pieces_).first(count)))) {
    case NetBackend::SendResult::kLater:
      transmit_limiter_.Return(size);
      return ChainResult::kLater;
    case NetBackend::SendResult::kSent:
      counters_.sent_frames.Add(1);
      counters_.sent_bytes.Add(size);
      break;
    case NetBackend::SendResult::kDropped:
      counters_.sent_dropped.Add(1);
      break;
  }
  queue.Push(chain_.token(), 0);
  return ChainResult::kTaken;
}

bool NetQueuePair::CheckHeader(size_t frame_size) {
  // Bits that a driver may not set or that mean nothing are not the back-end's
  // to see (section 5.1.6.2.2).
  header_.flags &= NetHeader::kNeedsChecksum;
  header_.num_buffers = 0;
  if (!send_offloads_.Allow(header_)) return false;
  if (header_.flags == 0) {
    header_.csum_start = 0;
    header_.csum_offset = 0;
  } else if (!ChecksumFits(header_, frame_size)) {
    return false;
  }
  if (header_.gso_type == NetHeader::kGsoNone) {
    header_.gso_size = 0;
  } else if (header_.gso_size == 0) {
    return false;
  }
  // A hint, which some peers want to be true.
  header_.hdr_len =
      static_cast<uint16_t>(std::min<size_t>(header_.hdr_len, frame_size));
  return true;
}

// ---- To the driver ----------------------------------------------------------

bool NetQueuePair::Receive(VirtioLink& link) {
  receive_at_ = absl::InfiniteDuration();
  const uint16_t index = ReceiveQueue(index_);
  Virtqueue* const queue = link.queue(index);
  if (queue == nullptr) return true;
  if (!queue->Refresh()) {
    link.Fail();
    return false;
  }
  uint32_t budget = queue->config().size;
  queue->DisableNotifications();
  const IncomingFrame* frame;
  while (budget > 0 && (frame = Front()) != nullptr) {
    --budget;
    if (used_.empty() && !cutting_) {
      FollowOffloads();
      if (!Wanted(*frame)) {
        backend_.PopFront();
        continue;
      }
      if (receive_limiter_.limited() && !paid_) {
        const absl::Duration now = link.clock().Monotonic();
        if (const absl::Duration ready =
                receive_limiter_.Take(frame->bytes.size(), now);
            ready > now) {
          receive_at_ = ready;
          break;
        }
      }
      paid_ = true;
      if (!Suit(*frame)) {
        counters_.received_dropped.Add(1);
        PopFront();
        continue;
      }
      frame = Front();
    }
    const Delivery delivery = Deliver(link, *queue, *frame);
    if (delivery == Delivery::kFail) {
      if (queue->Publish()) link.Interrupt(index);
      link.Fail();
      return false;
    }
    if (delivery == Delivery::kNoBuffers) {
      // The driver is asked to tell of new ones, and sees what is there first.
      // If it just made some available nobody will tell.
      if (queue->Publish()) link.Interrupt(index);
      if (!queue->EnableNotifications()) return true;
      queue->DisableNotifications();
      continue;
    }
    if (delivery == Delivery::kDone) {
      counters_.received_frames.Add(1);
      counters_.received_bytes.Add(frame->bytes.size());
    } else {
      counters_.received_dropped.Add(1);
    }
    PopFront();
  }
  if (queue->Publish()) link.Interrupt(index);
  if (budget == 0) link.Wake(index_);
  return true;
}

const IncomingFrame* NetQueuePair::Front() {
  return cutting_ ? &segment_ : backend_.Front();
}

void NetQueuePair::PopFront() {
  if (cutting_ && segmenter_.remaining() > 0) {
    segment_ = segmenter_.Next(
        std::span(segment_buffer_.get(), Segmenter::kMaxSegmentSize));
    return;
  }
  cutting_ = false;
  paid_ = false;
  backend_.PopFront();
}

bool NetQueuePair::Wanted(const IncomingFrame& frame) {
  if (settings_.filter_version() != filter_version_) {
    filter_version_ = settings_.CopyFilter(filter_);
  }
  if (!HasWholeFrame(frame.bytes.size()) || !settings_.link_up() ||
      !ChecksumFits(frame.header, frame.bytes.size())) {
    counters_.received_dropped.Add(1);
    return false;
  }
  if (!filter_.Passes(frame.bytes)) {
    counters_.received_filtered.Add(1);
    return false;
  }
  return true;
}

bool NetQueuePair::Suit(const IncomingFrame& frame) {
  // A checksum can be finished in passing.
  NetOffloads offloads = receive_offloads_;
  offloads.checksum = true;
  if (offloads.Allow(frame.header)) return true;
  if (segment_buffer_ == nullptr || !segmenter_.Start(frame)) return false;
  cutting_ = true;
  segment_ = segmenter_.Next(
      std::span(segment_buffer_.get(), Segmenter::kMaxSegmentSize));
  return true;
}

NetQueuePair::Delivery NetQueuePair::Deliver(VirtioLink& link, Virtqueue& queue,
                                             const IncomingFrame& frame) {
  // Section 5.1.6.4.1 says which flags a driver may see.
  NetHeader header = frame.header;
  header.flags &= NetHeader::kNeedsChecksum | NetHeader::kDataValid;
  header.num_buffers = 1;
  Pieces pieces{.spans = {std::as_bytes(std::span(&header, 1)), frame.bytes},
                .total = sizeof header + frame.bytes.size()};
  uint16_t checksum = 0;
  if (!receive_offloads_.checksum && header.flags != 0) {
    if ((header.flags & NetHeader::kNeedsChecksum) != 0) {
      const size_t at = size_t{header.csum_start} + header.csum_offset;
      checksum = FinishedChecksum(header, frame.bytes);
      pieces.spans[1] = frame.bytes.first(at);
      pieces.spans[2] = std::as_bytes(std::span(&checksum, 1));
      pieces.spans[3] = frame.bytes.subspan(at + sizeof checksum);
    }
    header.flags = 0;
    header.csum_start = 0;
    header.csum_offset = 0;
  }

  while (laid_ < pieces.total) {
    // All places of the ring are in our hands and still too small.
    if (places_ >= queue.config().size) {
      GiveUp(queue);
      return Delivery::kDropped;
    }
    switch (queue.Pop(chain_)) {
      case PopResult::kChain:
        break;
      case PopResult::kEmpty:
        return Delivery::kNoBuffers;
      case PopResult::kMalformed:
        return Delivery::kFail;
    }
    if (used_.empty()) {
      if (chain_.writable_size() < sizeof header) return Delivery::kFail;
      if (!mergeable_ && chain_.writable_size() < pieces.total) {
        queue.Unpop(chain_.token());
        return Delivery::kDropped;
      }
      constexpr size_t kAt = offsetof(NetHeader, num_buffers);
      count_at_ = {AddressOf(chain_, kAt), AddressOf(chain_, kAt + 1)};
    } else if (chain_.writable().empty()) {
      return Delivery::kFail;
    }
    Fill(link, pieces);
  }
  if (!WriteCount(link)) return Delivery::kFail;
  for (const Used& used : used_) queue.Push(used.token, used.written);
  used_.clear();
  laid_ = 0;
  places_ = 0;
  return Delivery::kDone;
}

void NetQueuePair::Fill(VirtioLink& link, const Pieces& pieces) {
  ChainWriter writer(chain_.writable(), link.memory());
  size_t passed = laid_;
  for (const std::span<const std::byte> piece : pieces.spans) {
    if (passed >= piece.size()) {
      passed -= piece.size();
      continue;
    }
    laid_ += writer.WriteSome(piece.subspan(passed));
    passed = 0;
    if (writer.remaining() == 0) break;
  }
  used_.push_back({.token = chain_.token(), .written = writer.written()});
  places_ += chain_.token().places;
}

bool NetQueuePair::WriteCount(VirtioLink& link) const {
  // One is what the header said.
  if (used_.size() == 1) return true;
  const auto count = std::bit_cast<std::array<uint8_t, sizeof(uint16_t)>>(
      static_cast<uint16_t>(used_.size()));
  return link.memory().Store<uint8_t>(count_at_[0], count[0]) &&
         link.memory().Store<uint8_t>(count_at_[1], count[1]);
}

void NetQueuePair::GiveUp(Virtqueue& queue) {
  for (const Used& used : used_) queue.Push(used.token, 0);
  used_.clear();
  laid_ = 0;
  places_ = 0;
}

}  // namespace libvmm::internal
