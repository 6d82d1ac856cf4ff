// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/internal/vsock_pool.h"

#include <bit>

namespace libvmm::internal {
namespace {

constexpr uint32_t kWordBits = 64;
// The device has one lane.
constexpr uint16_t kLane = 0;

}  // namespace

VsockPool::VsockPool(uint32_t count, uint32_t buffer_size)
    : count_(count),
      buffer_size_(buffer_size),
      slots_(new VsockSlot[count]),
      used_((count + kWordBits - 1) / kWordBits),
      touched_(count) {
  for (uint32_t i = 0; i < count; ++i) slots_[i].index = i;
  for (uint32_t i = count; i < used_.size() * kWordBits; ++i) {
    used_[i / kWordBits].fetch_or(uint64_t{1} << i % kWordBits);
  }
}

VsockPool::~VsockPool() = default;

VsockSlot* VsockPool::Claim(uint32_t guest_port, bool outgoing) {
  for (uint32_t word = 0; word < used_.size(); ++word) {
    uint64_t used = used_[word].load();
    while (~used != 0) {
      const auto bit = static_cast<uint32_t>(std::countr_one(used));
      // Pairs with Release: what the last user did is over.
      if (!used_[word].compare_exchange_weak(used, used | uint64_t{1} << bit)) {
        continue;
      }
      claimed_.fetch_add(1, std::memory_order_relaxed);
      VsockSlot& slot = slots_[word * kWordBits + bit];
      slot.guest_port = guest_port;
      slot.outgoing = outgoing;
      slot.references.store(2, std::memory_order_relaxed);
      slot.wants_room.store(false, std::memory_order_relaxed);
      // With release: see VirtioVsock::Engine::IsNew.
      slot.found.store(0);
      slot.host_port.store(0, std::memory_order_relaxed);
      slot.told_read.store(0, std::memory_order_relaxed);
      slot.ready_gate.Open();
      return &slot;
    }
  }
  return nullptr;
}

VsockStream VsockPool::MakeStream(VsockSlot& slot) {
  return VsockStream(shared_from_this(), &slot);
}

void VsockPool::Release(VsockSlot& slot) {
  if (slot.references.fetch_sub(1) != 1) return;
  slot.to_guest.Free();
  slot.to_host.Free();
  slot.ready = nullptr;
  // What a touch that comes late finds: nothing wanted.
  slot.wanted.store(0);
  claimed_.fetch_sub(1, std::memory_order_relaxed);
  used_[slot.index / kWordBits].fetch_and(
      ~(uint64_t{1} << slot.index % kWordBits));
}

void VsockPool::MakeBuffers(VsockSlot& slot) {
  slot.to_guest.Make(buffer_size_);
  slot.to_host.Make(buffer_size_);
}

void VsockPool::Touch(VsockSlot& slot) {
  // Who added it before wakes the lane, or a link is still to come.
  if (touched_.Add(slot.index)) link_slot_.Wake(kLane);
}

}  // namespace libvmm::internal
