// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_QUEUE_PAIR_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_QUEUE_PAIR_H_

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/devices/virtio/net/net_offloads.h"
#include "libvmm/devices/virtio/net/net_settings.h"
#include "libvmm/devices/virtio/net/receive_filter.h"
#include "libvmm/devices/virtio/net/segmenter.h"
#include "libvmm/devices/virtio/rate/rate_limiter.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"

namespace libvmm::internal {

// A receive and a transmit queue of a VirtioNet with their back-end: one lane.
//
// Thread-safety: as a lane of a VirtioDevice; Wake and the counters are
//     thread-safe.
// Ownership: refers to the back-end, whose listener it is, settings, limiters.
class NetQueuePair final : public NetListener {
 public:
  struct Shared {
    NetSettings& settings;
    RateLimiter& transmit;
    RateLimiter& receive;
  };
  // `ring_size`: of the receive queue, at most.
  NetQueuePair(uint16_t index, NetBackend& backend, const Shared& shared,
               uint16_t ring_size);
  NetQueuePair(const NetQueuePair&) = delete;
  NetQueuePair& operator=(const NetQueuePair&) = delete;
  ~NetQueuePair();

  void Activate(VirtioLink& link);
  void Serve(VirtioLink& link);
  void Reset();

  // Serves the lane, from any thread, if there is a driver.
  void Wake();

  // One writer, the lane; any readers.
  class Counter {
   public:
    void Add(uint64_t count) {
      value_.store(value_.load(std::memory_order_relaxed) + count,
                   std::memory_order_relaxed);
    }
    [[nodiscard]] uint64_t value() const {
      return value_.load(std::memory_order_relaxed);
    }

   private:
    std::atomic<uint64_t> value_ = 0;
  };
  struct Counters {
    Counter sent_frames;
    Counter sent_bytes;
    Counter sent_dropped;
    Counter received_frames;
    Counter received_bytes;
    Counter received_dropped;
    Counter received_filtered;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  // Of a frame that is being laid into the driver's buffers, because they were
  // not enough at first.
  struct Used {
    ChainToken token;
    uint32_t written = 0;
  };
  // What became of the frame at the back-end's front.
  enum class Delivery : uint8_t {
    kDone,
    // Some of it has no buffer yet.
    kNoBuffers,
    // It will never have.
    kDropped,
    // DEVICE_NEEDS_RESET.
    kFail,
  };
  // Bytes of a frame and its header, in their order.
  struct Pieces;

  // NetListener.
  void OnBackendReady() override { Wake(); }

  void Start();
  void Stop(VirtioLink& link);
  void FollowOffloads();

  // False: the link has failed.
  [[nodiscard]] bool Transmit(VirtioLink& link);
  [[nodiscard]] ChainResult TransmitChain(VirtioLink& link, Virtqueue& queue);
  // Checks and mends the copy of the driver's header; false: no such frame can
  // be sent.
  [[nodiscard]] bool CheckHeader(size_t frame_size);

  [[nodiscard]] bool Receive(VirtioLink& link);
  // The frame to be delivered: the back-end's first, or a segment of it.
  [[nodiscard]] const IncomingFrame* Front();
  void PopFront();
  // Whether the driver wants the frame at all.
  [[nodiscard]] bool Wanted(const IncomingFrame& frame);
  // Begins to cut the frame if the driver takes it only so. False: it takes it
  // in no way.
  [[nodiscard]] bool Suit(const IncomingFrame& frame);
  [[nodiscard]] Delivery Deliver(VirtioLink& link, Virtqueue& queue,
                                 const IncomingFrame& frame);
  // Writes on in the buffer that chain_ is.
  void Fill(VirtioLink& link, const Pieces& pieces);
  // Shows the driver how many buffers the frame is in.
  [[nodiscard]] bool WriteCount(VirtioLink& link) const;
  // Gives the buffers of a frame that is not finished back as they are.
  void GiveUp(Virtqueue& queue);

  const uint16_t index_;
  NetBackend& backend_;
  NetSettings& settings_;
  RateLimiter& transmit_limiter_;
  RateLimiter& receive_limiter_;
  LinkSlot link_slot_;

  // Negotiated.
  NetOffloads send_offloads_;
  bool mergeable_ = false;

  bool started_ = false;
  bool failed_ = false;
  // Copies of settings, and of which version.
  ReceiveFilter filter_;
  uint32_t filter_version_ = 0;
  uint64_t receive_features_ = 0;
  NetOffloads receive_offloads_;
  // When each direction may go on; absl::InfiniteDuration() when it does not
  // wait.
  absl::Duration transmit_at_ = absl::InfiniteDuration();
  absl::Duration receive_at_ = absl::InfiniteDuration();
  absl::Duration deadline_ = absl::InfiniteDuration();

  // The frame that is being received: bytes of it laid down, the buffers they
  // are in, and where the header has num_buffers.
  size_t laid_ = 0;
  uint32_t places_ = 0;
  std::vector<Used> used_;
  std::array<Gpa, sizeof(NetHeader::num_buffers)> count_at_;
  // It was let through by the limiter.
  bool paid_ = false;
  // It is cut into segments for the driver, of which one is being received.
  bool cutting_ = false;
  Segmenter segmenter_;
  IncomingFrame segment_;
  // Null where the back-end has no frames to be cut.
  const std::unique_ptr<std::byte[]> segment_buffer_;

  NetHeader header_;
  std::array<iovec, OutgoingFrame::kMaxPieces> pieces_;
  DescriptorChain chain_;
  Counters counters_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_QUEUE_PAIR_H_
