// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_TAP_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_TAP_NET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/edge_watch.h"
#include "libvmm/devices/virtio/net/net_backend.h"

namespace libvmm {

// A queue of a Linux tap device (Documentation/networking/tuntap.rst): the
// host's end of an Ethernet cable is a network interface. The kernel finishes
// checksums and segments, or does not where it need not: headers pass through.
//
// Thread-safety: as NetBackend and EventSource.
// Ownership: owns its descriptor. The interface goes with the last one unless it
//     is persistent.
// Errors: of the factories. What the kernel answers later drops the frame, and
//     is in last_error().
// Cost: a system call for each frame, read or written, and one for each burst of
//     those that come. A frame received is copied once more, from a buffer of
//     64 KiB.
class TapNet final : public NetBackend, public EventSource {
 public:
  struct Options {
    // The interface's name, at most 15 bytes; empty, or with a "%d": the kernel
    // chooses.
    std::string name = {};
    // Use what the interface has to offer.
    bool offloads = true;
  };

  // Opens /dev/net/tun and attaches to the interface, which is made if there is
  // none and the process may. kInvalidArgument: the name. kNotFound: there is no
  // /dev/net/tun. kPermissionDenied: no right to. kUnimplemented: it cannot have
  // headers. Otherwise as ErrnoStatus; messages name the interface.
  static absl::StatusOr<std::unique_ptr<TapNet>> Open(const Options& options);

  // The same for `queues` queue pairs, 1 to 256 (a VirtioNet has up to 64), one
  // back-end for each. More than one makes a multi-queue interface
  // (IFF_MULTI_QUEUE); queues that the driver does not use are detached, so that
  // the kernel sends nothing there.
  static absl::StatusOr<std::vector<std::unique_ptr<TapNet>>> OpenQueues(
      const Options& options, uint16_t queues);

  // Works on a descriptor that is attached already, for example by a process
  // with more rights: a tap, with headers (IFF_VNET_HDR), without packet
  // information (IFF_NO_PI). kInvalidArgument when it is not.
  static absl::StatusOr<std::unique_ptr<TapNet>> Adopt(UniqueFd fd,
                                                       bool offloads = true);
  ~TapNet() override;

  // The interface's name.
  [[nodiscard]] const std::string& name() const { return name_; }
  // The errno of the last read or write that failed; zero if none did. EAGAIN is
  // no failure.
  [[nodiscard]] int last_error() const {
    return last_error_.load(std::memory_order_relaxed);
  }

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
  [[nodiscard]] int fd() const override { return watch_.fd(); }
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override {
    return absl::InfiniteDuration();
  }
  void OnReady(short revents) override;
  void OnDeadline() override {}

 private:
  struct Attached;

  explicit TapNet(Attached attached);

  void Note(int error);

  const UniqueFd fd_;
  const std::string name_;
  const NetOffloads offloads_;
  // A further queue of an interface: attached while it is used.
  const bool detachable_;
  EdgeWatch watch_;
  // There may be something to read.
  std::atomic<bool> readable_ = true;
  std::atomic<int> last_error_ = 0;
  const std::unique_ptr<std::byte[]> buffer_;
  IncomingFrame front_;
  bool has_front_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_TAP_NET_H_
