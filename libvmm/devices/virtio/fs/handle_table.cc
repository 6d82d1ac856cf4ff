// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/handle_table.h"

#include <cerrno>

#include "libvmm/devices/virtio/fs/slot_number.h"

namespace libvmm::internal {

PinnedFile::~PinnedFile() {
  if (table_ != nullptr) table_->Unpin(index_);
}

int HandleTable::Add(OpenFile file, uint64_t& handle) {
  MutexLock lock(mutex_);
  uint32_t index = 0;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else if (table_.size() < max_handles_) {
    index = static_cast<uint32_t>(table_.size());
    table_.emplace_back();
  } else {
    return ENFILE;
  }
  Slot& slot = table_[index];
  slot.file = std::move(file);
  slot.used = slot.known = true;
  handle = SlotNumber{.index = index, .generation = slot.generation}.Encode();
  return 0;
}

HandleTable::Slot* HandleTable::Find(uint64_t handle) {
  const SlotNumber number = SlotNumber::Decode(handle);
  if (number.index >= table_.size()) return nullptr;
  Slot& slot = table_[number.index];
  return slot.known && slot.generation == number.generation ? &slot : nullptr;
}

int HandleTable::Pin(uint64_t handle, PinnedFile& pinned) {
  MutexLock lock(mutex_);
  Slot* const slot = Find(handle);
  if (slot == nullptr) return EBADF;
  ++slot->pins;
  pinned.table_ = this;
  pinned.index_ = SlotNumber::Decode(handle).index;
  pinned.file_ = &slot->file;
  pinned.position_ = &slot->position;
  return 0;
}

OpenFile HandleTable::Settle(uint32_t index) {
  Slot& slot = table_[index];
  if (!slot.used || slot.known || slot.pins != 0) return {};
  OpenFile file = std::move(slot.file);
  slot.file = {};
  slot.used = false;
  ++slot.generation;
  free_.push_back(index);
  return file;
}

void HandleTable::Release(uint64_t handle) {
  // Closed outside of the lock, as in the functions below.
  OpenFile closed;
  MutexLock lock(mutex_);
  Slot* const slot = Find(handle);
  if (slot == nullptr) return;
  slot->known = false;
  closed = Settle(SlotNumber::Decode(handle).index);
}

void HandleTable::Unpin(uint32_t index) {
  OpenFile closed;
  MutexLock lock(mutex_);
  --table_[index].pins;
  closed = Settle(index);
}

void HandleTable::Clear() {
  std::vector<OpenFile> closed;
  MutexLock lock(mutex_);
  for (uint32_t index = 0; index < table_.size(); ++index) {
    table_[index].known = false;
    OpenFile file = Settle(index);
    if (file.fd.valid()) closed.push_back(std::move(file));
  }
}

uint32_t HandleTable::handles() const {
  MutexLock lock(mutex_);
  return static_cast<uint32_t>(table_.size() - free_.size());
}

}  // namespace libvmm::internal
