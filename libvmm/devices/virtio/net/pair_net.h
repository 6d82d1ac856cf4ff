// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_PAIR_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_PAIR_NET_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/frame_ring.h"
#include "libvmm/devices/virtio/net/net_backend.h"

namespace libvmm {

// One end of a cable between two machines of one process. What one end sends
// the other receives, in order, checksums and segments undone where both drivers
// leave them so.
//
// Each direction is a FrameRing. A full one holds the sender back; an end
// without a driver takes what it is sent and drops it.
//
// Thread-safety: as NetBackend and EventSource, each end for itself.
// Ownership: the ends share the cable; either may go first, and the other then
//     sends into nothing.
// Errors: of Create.
// Cost: two copies of a frame, in and out. A system call only to wake an end
//     that found nothing to do, and one there to take note.
class PairNet final : public NetBackend, public EventSource {
 public:
  struct Options {
    // Bytes of frames that may be on their way in each direction; a multiple of
    // 16, FrameRing::kMinCapacity to kMaxCapacity.
    size_t capacity = size_t{1} << 20;
    // What frames may leave undone, in both directions.
    NetOffloads offloads = NetOffloads::All();
    // Frames for a full ring are dropped, as a switch would, instead of held
    // back: a machine that does not take its frames then cannot stop the other.
    bool drop_when_full = false;
  };
  struct Ends {
    std::unique_ptr<PairNet> first;
    std::unique_ptr<PairNet> second;
  };

  // kInvalidArgument: Options::capacity; kResourceExhausted: no descriptor left.
  static absl::StatusOr<Ends> Create(const Options& options);
  static absl::StatusOr<Ends> Create() { return Create(Options()); }
  ~PairNet() override;

  // NetBackend.
  [[nodiscard]] NetOffloads send_offloads() const override;
  [[nodiscard]] NetOffloads receive_offloads() const override;
  [[nodiscard]] EventSource* event_source() override { return this; }
  void Start(const NetOffloads& receive) override;
  void Stop() override;
  void SetReceiveOffloads(const NetOffloads& receive) override;
  [[nodiscard]] SendResult Send(const OutgoingFrame& frame) override;
  [[nodiscard]] const IncomingFrame* Front() override;
  void PopFront() override;

  // EventSource.
  [[nodiscard]] int fd() const override;
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override {
    return absl::InfiniteDuration();
  }
  void OnReady(short revents) override;
  void OnDeadline() override {}

 private:
  struct Direction;
  struct Cable;

  PairNet(std::shared_ptr<Cable> cable, Direction& in, Direction& out);

  const std::shared_ptr<Cable> cable_;
  Direction& in_;
  Direction& out_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_PAIR_NET_H_
