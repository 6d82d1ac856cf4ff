// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/device/link_slot.h"

namespace libvmm {

void LinkSlot::Set(VirtioLink& link) { link_.store(&link); }

void LinkSlot::Clear() {
  // Pairs with Use: either it sees no link, or this sees the user.
  link_.store(nullptr, std::memory_order_seq_cst);
  uint32_t users = users_.load(std::memory_order_seq_cst);
  while (users != 0) {
    users_.wait(users);
    users = users_.load(std::memory_order_seq_cst);
  }
}

void LinkSlot::Wake(uint16_t lane) {
  Use([lane](VirtioLink& link) { link.Wake(lane); });
}

void LinkSlot::ConfigChanged() {
  Use([](VirtioLink& link) { link.ConfigChanged(); });
}

}  // namespace libvmm
