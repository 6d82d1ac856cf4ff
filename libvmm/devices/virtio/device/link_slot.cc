// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/device/link_slot.h"

namespace libvmm {

void LinkSlot::Set(VirtioLink& link) { link_.store(&link); }

void LinkSlot::Clear() {
  // Pairs with With: either it sees no link, or this sees the user.
  link_.store(nullptr, std::memory_order_seq_cst);
  uint32_t users = users_.load(std::memory_order_seq_cst);
  while (users != 0) {
    users_.wait(users);
    users = users_.load(std::memory_order_seq_cst);
  }
}

template <typename Use>
void LinkSlot::With(Use use) {
  users_.fetch_add(1, std::memory_order_seq_cst);
  if (VirtioLink* const link = link_.load(std::memory_order_seq_cst);
      link != nullptr) {
    use(*link);
  }
  if (users_.fetch_sub(1, std::memory_order_seq_cst) == 1) users_.notify_all();
}

void LinkSlot::Wake(uint16_t lane) {
  With([lane](VirtioLink& link) { link.Wake(lane); });
}

void LinkSlot::ConfigChanged() {
  With([](VirtioLink& link) { link.ConfigChanged(); });
}

}  // namespace libvmm
