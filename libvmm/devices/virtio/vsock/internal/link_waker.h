// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_LINK_WAKER_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_LINK_WAKER_H_

#include <atomic>
#include <cstdint>

#include "libvmm/devices/virtio/device/virtio_link.h"

namespace libvmm::internal {

// Lets any thread, at any time, wake a lane of a device that a driver may be
// resetting: the link is only there from Activate to Reset.
//
// Thread-safety: thread-safe; Attach and Detach one after the other.
// Ownership: refers to the link between Attach and Detach.
// Errors: none.
// Cost: two atomic read-modify-writes beside VirtioLink::Wake. Detach waits for
//     threads that are in Wake; it is called when the lanes are closed, so
//     these come out at once.
class LinkWaker {
 public:
  LinkWaker() = default;
  LinkWaker(const LinkWaker&) = delete;
  LinkWaker& operator=(const LinkWaker&) = delete;

  void Attach(VirtioLink& link) { link_.store(&link); }

  // Nobody is in the link after this.
  void Detach() {
    link_.store(nullptr);
    // The users that loaded the link before were counted before: both are
    // sequentially consistent.
    for (uint32_t users = users_.load(); users != 0; users = users_.load()) {
      users_.wait(users);
    }
  }

  [[nodiscard]] bool attached() const { return link_.load() != nullptr; }

  // Nothing without a link: whoever attaches one serves the lane then.
  void Wake(uint16_t lane) {
    users_.fetch_add(1);
    VirtioLink* const link = link_.load();
    if (link != nullptr) link->Wake(lane);
    if (users_.fetch_sub(1) == 1 && link_.load() == nullptr) {
      users_.notify_all();
    }
  }

 private:
  std::atomic<VirtioLink*> link_ = nullptr;
  std::atomic<uint32_t> users_ = 0;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_LINK_WAKER_H_
