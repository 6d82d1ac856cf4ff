// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_NET_FRAMES_H_
#define LIBVMM_TESTING_NET_FRAMES_H_

#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_header.h"

namespace libvmm::testing {

using Bytes = std::vector<std::byte>;

// A frame of `size` bytes whose content depends on `seed`, addressed `to`.
inline Bytes MakeFrame(size_t size, uint32_t seed,
                       const MacAddress& to = MacAddress({2, 0, 0, 0, 0, 1})) {
  Bytes frame(size);
  uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : frame) {
    state = state * 1664525u + 1013904223u;
    byte = std::byte(state >> 24);
  }
  for (size_t i = 0; i < std::min(size, MacAddress::kSize); ++i) {
    frame[i] = std::byte{to.bytes()[i]};
  }
  return frame;
}

// A frame to send, in pieces of `piece` bytes.
//
// Ownership: owns the bytes; frame() refers to them.
class TestFrame {
 public:
  explicit TestFrame(Bytes bytes, const NetHeader& header = {},
                     size_t piece = 1000)
      : bytes_(std::move(bytes)), header_(header) {
    pieces_.push_back({.iov_base = &header_, .iov_len = sizeof header_});
    for (size_t at = 0; at < bytes_.size(); at += piece) {
      pieces_.push_back({.iov_base = bytes_.data() + at,
                         .iov_len = std::min(piece, bytes_.size() - at)});
    }
  }
  TestFrame(const TestFrame&) = delete;
  TestFrame& operator=(const TestFrame&) = delete;

  [[nodiscard]] OutgoingFrame frame() const { return OutgoingFrame(pieces_); }

 private:
  Bytes bytes_;
  NetHeader header_;
  std::vector<iovec> pieces_;
};

// Counts what it hears.
class CountingListener final : public NetListener {
 public:
  void OnBackendReady() override { ++count_; }
  [[nodiscard]] int count() const { return count_; }

 private:
  std::atomic<int> count_ = 0;
};

// The frame at the back-end's front, taken; empty when there is none.
inline Bytes Take(NetBackend& backend) {
  const IncomingFrame* const frame = backend.Front();
  if (frame == nullptr) return {};
  Bytes bytes(frame->bytes.begin(), frame->bytes.end());
  backend.PopFront();
  return bytes;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_NET_FRAMES_H_
