// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_LINK_GUARD_H_
#define LIBVMM_DEVICES_VIRTIO_NET_LINK_GUARD_H_

#include <atomic>
#include <cstdint>

#include "libvmm/devices/virtio/device/virtio_link.h"

namespace libvmm {

// A device's VirtioLink for threads that no lane has let in: a back-end's loop,
// the embedder. They may come at any moment, and the link is there only between
// Activate and Reset.
//
// Thread-safety: Use is thread-safe, also inside of itself; Set and Clear are
//     called one after the other.
// Ownership: refers to the link between Set and Clear.
// Errors: none.
// Cost: two atomic read-modify-writes for a Use. Clear waits for those under
//     way.
class LinkGuard {
 public:
  LinkGuard() = default;
  LinkGuard(const LinkGuard&) = delete;
  LinkGuard& operator=(const LinkGuard&) = delete;

  void Set(VirtioLink& link) { link_.store(&link); }

  // When this has returned no Use has the link. Not from within Use.
  void Clear() {
    link_.store(nullptr);
    // Pairs with the decrement in Use: a user counted here may have seen the
    // link, one that counts itself later does not.
    for (uint32_t users = users_.load(); users != 0; users = users_.load()) {
      users_.wait(users);
    }
  }

  // Calls `use(link)` if there is one.
  template <typename Callback>
  void Use(Callback use) {
    users_.fetch_add(1);
    if (VirtioLink* const link = link_.load(); link != nullptr) use(*link);
    if (users_.fetch_sub(1) == 1) users_.notify_all();
  }

 private:
  std::atomic<VirtioLink*> link_ = nullptr;
  std::atomic<uint32_t> users_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_LINK_GUARD_H_
