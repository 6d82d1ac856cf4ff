// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_DEVICE_LINK_SLOT_H_
#define LIBVMM_DEVICES_VIRTIO_DEVICE_LINK_SLOT_H_

#include <atomic>
#include <cstdint>

#include "libvmm/devices/virtio/device/virtio_link.h"

namespace libvmm {

// How a device's other threads (the embedder's, a back-end's) reach the link,
// which is there between Activate and Reset only: what they ask for outside that
// time goes nowhere, and Reset waits for those that are using it.
//
// The device's calls may run Serve inside, and callbacks of the embedder inside
// that, which may come back here.
//
// Thread-safety: Wake and ConfigChanged are thread-safe; Set and Clear are for
//     Activate and Reset.
// Ownership: refers to the link between Set and Clear.
// Errors: none.
// Cost: two atomic read-modify-writes beside the link's own work.
class LinkSlot {
 public:
  LinkSlot() = default;
  LinkSlot(const LinkSlot&) = delete;
  LinkSlot& operator=(const LinkSlot&) = delete;

  void Set(VirtioLink& link);
  // Waits until nobody uses the link; so not from inside Serve.
  void Clear();

  // Whether there is a link now; it may go at any moment.
  [[nodiscard]] bool has_link() const { return link_.load() != nullptr; }

  // VirtioLink::Wake and VirtioLink::ConfigChanged, if there is a link.
  void Wake(uint16_t lane);
  void ConfigChanged();

  // Calls `use(link)` if there is one: for what is none of these.
  template <typename Callback>
  void Use(Callback use) {
    users_.fetch_add(1, std::memory_order_seq_cst);
    if (VirtioLink* const link = link_.load(std::memory_order_seq_cst);
        link != nullptr) {
      use(*link);
    }
    if (users_.fetch_sub(1, std::memory_order_seq_cst) == 1) {
      users_.notify_all();
    }
  }

 private:
  std::atomic<VirtioLink*> link_ = nullptr;
  std::atomic<uint32_t> users_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_DEVICE_LINK_SLOT_H_
