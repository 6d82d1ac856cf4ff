// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_FRAME_RING_H_
#define LIBVMM_DEVICES_VIRTIO_NET_FRAME_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/virtio/net/net_frame.h"

namespace libvmm {

// Frames on their way from one thread to another, in order, each one copied in
// and lent out. It also remembers who waits for the other side: one that finds
// the ring empty or full is told of by the other's next call, so a wake-up costs
// nothing while both keep busy, and none is lost.
//
// Thread-safety: one thread at a time puts in (Push), one at a time takes out
//     (Front, PopFront, Clear); they need not know of each other.
// Ownership: owns the memory, `capacity` bytes, all of it from the start.
// Errors: none.
// Cost: a copy in; no lock, no allocation, no system call.
class FrameRing {
 public:
  // Below it the largest frame might not fit.
  static constexpr size_t kMinCapacity = size_t{256} << 10;
  static constexpr size_t kMaxCapacity = size_t{1} << 30;

  // kInvalidArgument, which begins with `what`, unless `capacity` is in these
  // limits and a multiple of 16.
  static absl::Status CheckCapacity(absl::string_view what, size_t capacity);

  // `capacity` is such.
  explicit FrameRing(size_t capacity);
  FrameRing(const FrameRing&) = delete;
  FrameRing& operator=(const FrameRing&) = delete;

  enum class PushResult : uint8_t {
    kDone,
    // And the taker had found the ring empty: it wants to be woken.
    kDoneWakeTaker,
    // There is no room; PopFront tells when half of it is free.
    kFull,
  };
  // Puts a frame of at most virtio::net::kMaxFrameSize bytes in.
  [[nodiscard]] PushResult Push(const OutgoingFrame& frame);
  // Whether there may be something in it.
  [[nodiscard]] bool empty() const;

  // The frame that came first, or null, after which the next Push asks to wake
  // the taker. The same one again until PopFront; valid until then.
  [[nodiscard]] const IncomingFrame* Front();
  // Only after Front gave a frame. True: the putter found the ring full and
  // wants to be woken.
  [[nodiscard]] bool PopFront();
  // Takes all frames that are there out; true as PopFront.
  [[nodiscard]] bool Clear();

 private:
  struct alignas(64) Position {
    // Free-running bytes.
    std::atomic<uint64_t> value = 0;
  };

  [[nodiscard]] bool HasRoom(uint64_t tail, size_t needed) const;
  [[nodiscard]] bool TakeFrom(uint64_t head);

  const size_t capacity_;
  std::unique_ptr<std::byte[]> buffer_;
  // Of the taker, the putter.
  Position head_;
  Position tail_;
  alignas(64) std::atomic<bool> taker_waits_ = false;
  std::atomic<bool> putter_waits_ = false;
  // The taker's: what Front gave out, and where the next one begins.
  alignas(64) IncomingFrame front_;
  uint64_t front_end_ = 0;
  bool has_front_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_FRAME_RING_H_
