// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_STREAM_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_STREAM_NET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/edge_watch.h"
#include "libvmm/devices/virtio/net/net_backend.h"

namespace libvmm {

// Frames over a stream socket, each behind its length as four bytes, the highest
// first: what passt speaks, and QEMU's -netdev stream and socket. The other
// process is the embedder's to start.
//
// Frames have no header there, so nothing may be left undone in them.
//
// Thread-safety: as NetBackend and EventSource.
// Ownership: owns its descriptor.
// Errors: of the factories. A peer that closes the connection, or breaks the
//     protocol, is gone: connected() says so, frames then go nowhere.
// Cost: a system call for each frame sent; one for as many frames received as
//     there are in 128 KiB. No allocation.
class StreamNet final : public NetBackend, public EventSource {
 public:
  // A connected stream socket, of any family. It is set to not block.
  // kInvalidArgument when it is no stream socket.
  static absl::StatusOr<std::unique_ptr<StreamNet>> Adopt(UniqueFd socket);
  // Connects to the UNIX socket at `path`. kInvalidArgument: longer than such a
  // name can be; otherwise as ErrnoStatus.
  static absl::StatusOr<std::unique_ptr<StreamNet>> Connect(
      absl::string_view path);
  ~StreamNet() override;

  [[nodiscard]] bool connected() const {
    return !gone_.load(std::memory_order_relaxed);
  }

  // NetBackend.
  [[nodiscard]] NetOffloads send_offloads() const override { return {}; }
  [[nodiscard]] NetOffloads receive_offloads() const override { return {}; }
  [[nodiscard]] EventSource* event_source() override { return this; }
  void Start(const NetOffloads& receive) override;
  void Stop() override;
  void SetReceiveOffloads(const NetOffloads& receive) override;
  void Flush() override;
  [[nodiscard]] SendResult Send(const OutgoingFrame& frame) override;
  [[nodiscard]] const IncomingFrame* Front() override;
  void PopFront() override;

  // EventSource.
  [[nodiscard]] int fd() const override { return watch_.fd(); }
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override {
    return absl::InfiniteDuration();
  }
  void OnReady(short revents) override;
  void OnDeadline() override {}

 private:
  StreamNet(UniqueFd socket, EdgeWatch watch);

  // Reads more bytes behind those that are there. False: not now.
  [[nodiscard]] bool Fetch();

  const UniqueFd fd_;
  EdgeWatch watch_;
  std::atomic<bool> readable_ = true;
  std::atomic<bool> gone_ = false;

  // The rest of a frame that the socket took only a part of: it must follow
  // before anything else.
  const std::unique_ptr<std::byte[]> unsent_;
  size_t unsent_begin_ = 0;
  size_t unsent_end_ = 0;

  // Bytes read, from frames not given out yet.
  const std::unique_ptr<std::byte[]> received_;
  size_t received_begin_ = 0;
  size_t received_end_ = 0;
  IncomingFrame front_;
  bool has_front_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_STREAM_NET_H_
