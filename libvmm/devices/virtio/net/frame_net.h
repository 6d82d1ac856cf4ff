// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_FRAME_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_FRAME_NET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/net/frame_ring.h"
#include "libvmm/devices/virtio/net/net_backend.h"

namespace libvmm {

// A network that the embedder plays: it is called with each frame that the
// machine sends and hands in those that the machine receives.
//
// Thread-safety: as NetBackend; Deliver and Resume are thread-safe, and may be
//     called inside of `on_frame`, which runs in the lane of the device.
// Ownership: owns the callback.
// Errors: of Create.
// Cost: a copy of each frame, each way. No descriptor and no system call; the
//     thread that delivers a frame carries it into the machine.
class FrameNet final : public NetBackend {
 public:
  struct Options {
    // Takes a frame that the machine sent; its bytes lie together and are a copy
    // until this returns. False: not now; the frame is held back until Resume.
    // Null: frames go nowhere.
    absl::AnyInvocable<bool(const IncomingFrame& frame)> on_frame = nullptr;
    // What frames to on_frame, and those of Deliver, may leave undone: by
    // default nothing, and headers are all zeroes.
    NetOffloads send_offloads = {};
    NetOffloads receive_offloads = {};
    // Bytes of delivered frames that may wait; as PairNet::Options.
    size_t capacity = size_t{1} << 20;
  };

  // kInvalidArgument: Options::capacity.
  static absl::StatusOr<std::unique_ptr<FrameNet>> Create(Options options);
  ~FrameNet() override;

  // Hands in a frame, without and with work left to do. False: too many wait
  // already, or there is no driver, or it is larger than
  // virtio::net::kMaxFrameSize; it is dropped.
  bool Deliver(std::span<const std::byte> frame) {
    return Deliver(NetHeader(), frame);
  }
  bool Deliver(const NetHeader& header, std::span<const std::byte> frame);

  // on_frame takes frames again.
  void Resume() { NotifyListener(); }

  // NetBackend.
  [[nodiscard]] NetOffloads send_offloads() const override;
  [[nodiscard]] NetOffloads receive_offloads() const override;
  void Start(const NetOffloads& receive) override;
  void Stop() override;
  void SetReceiveOffloads(const NetOffloads& receive) override;
  [[nodiscard]] SendResult Send(const OutgoingFrame& frame) override;
  [[nodiscard]] const IncomingFrame* Front() override;
  void PopFront() override;

 private:
  explicit FrameNet(Options options);

  Options options_;
  // The frame that on_frame looks at.
  const std::unique_ptr<std::byte[]> sent_;
  std::atomic<bool> started_ = false;
  // Of those that deliver.
  Mutex put_mutex_;
  FrameRing ring_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_FRAME_NET_H_
