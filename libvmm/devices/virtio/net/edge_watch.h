// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_EDGE_WATCH_H_
#define LIBVMM_DEVICES_VIRTIO_NET_EDGE_WATCH_H_

#include <atomic>

#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm {

// A descriptor of a loop's that tells of each thing that happens to another one
// once: an epoll set of one, edge-triggered. A back-end whose device cannot take
// more lets frames wait without a loop spinning on what stays readable, and
// nobody has to tell the loop when that changes: whoever takes frames later
// takes them to the end.
//
// Thread-safety: Take one at a time; WantWrite one at a time, beside it.
// Ownership: owns the epoll set. The watched descriptor outlives it.
// Errors: of Create.
// Cost: one system call for each function, but for WantWrite that changes
//     nothing.
class EdgeWatch {
 public:
  // `fd` is watched for reading. kResourceExhausted: no descriptor or memory
  // left; kPermissionDenied: not one that epoll can watch (EPERM).
  static absl::StatusOr<EdgeWatch> Create(int fd);
  EdgeWatch(EdgeWatch&& other) noexcept;
  EdgeWatch& operator=(EdgeWatch&&) = delete;

  // Readable while there is something for Take.
  [[nodiscard]] int fd() const { return set_.get(); }

  // What has happened since the last Take: POLLIN, POLLOUT, POLLERR, POLLHUP, as
  // far as it still is so.
  [[nodiscard]] short Take();

  // Watch for writing, too, or no more. If it can be written to already when
  // this is called for the first time, Take tells.
  void WantWrite(bool want);

 private:
  EdgeWatch(UniqueFd set, int watched) : set_(std::move(set)), fd_(watched) {}

  UniqueFd set_;
  int fd_;
  std::atomic<bool> wants_write_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_EDGE_WATCH_H_
