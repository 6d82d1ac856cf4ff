// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/pair_net.h"

#include <poll.h>

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

// Frames to one end.
struct PairNet::Direction {
  Direction(size_t capacity, EventFd end_event)
      : ring(capacity), event(std::move(end_event)) {}

  FrameRing ring;
  // Its driver is there.
  std::atomic<bool> open = false;
  // Wakes the end: frames came, or there is room for its own again.
  const EventFd event;
};

struct PairNet::Cable {
  Cable(const Options& cable_options, EventFd first, EventFd second)
      : options(cable_options),
        to_first(options.capacity, std::move(first)),
        to_second(options.capacity, std::move(second)) {}

  const Options options;
  Direction to_first;
  Direction to_second;
};

absl::StatusOr<PairNet::Ends> PairNet::Create(const Options& options) {
  LIBVMM_RETURN_IF_ERROR(
      FrameRing::CheckCapacity("PairNet: capacity", options.capacity));
  LIBVMM_ASSIGN_OR_RETURN(EventFd first, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(EventFd second, EventFd::Create());
  const auto cable =
      std::make_shared<Cable>(options, std::move(first), std::move(second));
  Ends ends;
  ends.first.reset(new PairNet(cable, cable->to_first, cable->to_second));
  ends.second.reset(new PairNet(cable, cable->to_second, cable->to_first));
  return ends;
}

PairNet::PairNet(std::shared_ptr<Cable> cable, Direction& in, Direction& out)
    : cable_(std::move(cable)), in_(in), out_(out) {}

PairNet::~PairNet() { Stop(); }

NetOffloads PairNet::send_offloads() const { return cable_->options.offloads; }
NetOffloads PairNet::receive_offloads() const {
  return cable_->options.offloads;
}

void PairNet::Start(const NetOffloads&) {
  // What was on its way when the last driver went.
  if (in_.ring.Clear()) out_.event.Signal();
  in_.open.store(true, std::memory_order_release);
}

void PairNet::Stop() {
  in_.open.store(false, std::memory_order_release);
  if (in_.ring.Clear()) out_.event.Signal();
}

void PairNet::SetReceiveOffloads(const NetOffloads&) {}

NetBackend::SendResult PairNet::Send(const OutgoingFrame& frame) {
  if (!out_.open.load(std::memory_order_acquire)) return SendResult::kDropped;
  switch (out_.ring.Push(frame)) {
    case FrameRing::PushResult::kDone:
      break;
    case FrameRing::PushResult::kDoneWakeTaker:
      out_.event.Signal();
      break;
    case FrameRing::PushResult::kFull:
      return cable_->options.drop_when_full ? SendResult::kDropped
                                            : SendResult::kLater;
  }
  return SendResult::kSent;
}

const IncomingFrame* PairNet::Front() { return in_.ring.Front(); }

void PairNet::PopFront() {
  if (in_.ring.PopFront()) out_.event.Signal();
}

int PairNet::fd() const { return in_.event.fd(); }

short PairNet::events() const { return POLLIN; }

void PairNet::OnReady(short) {
  // First taken note of, then looked: what comes later signals anew.
  (void)in_.event.Drain();
  NotifyListener();
}

}  // namespace libvmm
