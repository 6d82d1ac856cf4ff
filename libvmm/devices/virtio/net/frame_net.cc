// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/frame_net.h"

#include <array>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {

absl::StatusOr<std::unique_ptr<FrameNet>> FrameNet::Create(Options options) {
  LIBVMM_RETURN_IF_ERROR(
      FrameRing::CheckCapacity("FrameNet: capacity", options.capacity));
  return std::unique_ptr<FrameNet>(new FrameNet(std::move(options)));
}

FrameNet::FrameNet(Options options)
    : options_(std::move(options)),
      sent_(std::make_unique_for_overwrite<std::byte[]>(
          virtio::net::kMaxFrameSize)),
      ring_(options_.capacity) {}

FrameNet::~FrameNet() = default;

bool FrameNet::Deliver(const NetHeader& header,
                       std::span<const std::byte> frame) {
  if (frame.size() > virtio::net::kMaxFrameSize ||
      !started_.load(std::memory_order_acquire)) {
    return false;
  }
  // A ring only reads what it is given.
  const std::array<iovec, 2> pieces{
      iovec{.iov_base = const_cast<NetHeader*>(&header),
            .iov_len = sizeof header},
      iovec{.iov_base = const_cast<std::byte*>(frame.data()),
            .iov_len = frame.size()}};
  FrameRing::PushResult result;
  {
    const MutexLock lock(put_mutex_);
    result = ring_.Push(OutgoingFrame(pieces));
  }
  if (result == FrameRing::PushResult::kDoneWakeTaker) NotifyListener();
  return result != FrameRing::PushResult::kFull;
}

NetOffloads FrameNet::send_offloads() const { return options_.send_offloads; }
NetOffloads FrameNet::receive_offloads() const {
  return options_.receive_offloads;
}

void FrameNet::Start(const NetOffloads&) {
  (void)ring_.Clear();
  started_.store(true, std::memory_order_release);
}

void FrameNet::Stop() {
  started_.store(false, std::memory_order_release);
  (void)ring_.Clear();
}

void FrameNet::SetReceiveOffloads(const NetOffloads&) {}

NetBackend::SendResult FrameNet::Send(const OutgoingFrame& frame) {
  if (options_.on_frame == nullptr) return SendResult::kDropped;
  const std::span<std::byte> bytes(sent_.get(), frame.size());
  frame.CopyTo(bytes);
  return options_.on_frame({.header = frame.header(), .bytes = bytes})
             ? SendResult::kSent
             : SendResult::kLater;
}

const IncomingFrame* FrameNet::Front() { return ring_.Front(); }

void FrameNet::PopFront() { (void)ring_.PopFront(); }

}  // namespace libvmm
