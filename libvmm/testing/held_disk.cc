// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/held_disk.h"

#include <cstring>
#include <utility>

#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/memory/guest_copy.h"

namespace libvmm::testing {

uint64_t HeldDisk::capacity() const {
  const MutexLock lock(capacity_mutex_);
  return capacity_.value_or(bytes_.size());
}

void HeldDisk::set_capacity(uint64_t capacity) {
  const MutexLock lock(capacity_mutex_);
  capacity_ = capacity;
}

void HeldDisk::set_immediate(bool immediate) {
  const MutexLock lock(mutex_);
  immediate_ = immediate;
}

void HeldDisk::set_room(size_t room) {
  BlockRequestOwner* waiting = nullptr;
  {
    const MutexLock lock(mutex_);
    room_ = room;
    if (held_.size() < room_) waiting = std::exchange(waiting_, nullptr);
  }
  if (waiting != nullptr) waiting->OnRoom();
}

BlockAnswer HeldDisk::Submit(BlockRequest& request) {
  const MutexLock lock(mutex_);
  if (held_.size() >= room_) {
    waiting_ = request.owner;
    return BlockAnswer::kLater;
  }
  submitted_.push_back(request);
  if (immediate_) return Do(request);
  held_.push_back(&request);
  ++unstarted_;
  return BlockAnswer::kPending;
}

void HeldDisk::Start() {
  const MutexLock lock(mutex_);
  ++starts_;
  unstarted_ = 0;
}

void HeldDisk::Drain() {
  {
    const MutexLock lock(mutex_);
    ++drains_;
    waiting_ = nullptr;
  }
  FinishAll();
}

BlockAnswer HeldDisk::Do(BlockRequest& request) {
  if (request.operation == BlockOperation::kFlush) return BlockAnswer::kOk;
  LIBVMM_CHECK(RangeFits(bytes_.size(), request.offset, request.size));
  std::byte* at = bytes_.data() + request.offset;
  uint64_t size = 0;
  for (const iovec& buffer : request.buffers) {
    auto* const guest = static_cast<std::byte*>(buffer.iov_base);
    LIBVMM_CHECK(buffer.iov_len > 0);
    if (request.operation == BlockOperation::kRead) {
      internal::CopyToGuest(guest, at, buffer.iov_len);
    } else {
      internal::CopyFromGuest(at, guest, buffer.iov_len);
    }
    at += buffer.iov_len;
    size += buffer.iov_len;
  }
  if (request.operation == BlockOperation::kDiscard ||
      request.operation == BlockOperation::kWriteZeroes) {
    LIBVMM_CHECK(request.buffers.empty());
    std::memset(at, 0, request.size);
  } else {
    LIBVMM_CHECK(size == request.size);
  }
  return BlockAnswer::kOk;
}

size_t HeldDisk::held() {
  const MutexLock lock(mutex_);
  return held_.size();
}
std::vector<BlockRequest> HeldDisk::submitted() {
  const MutexLock lock(mutex_);
  return submitted_;
}
size_t HeldDisk::submissions() {
  const MutexLock lock(mutex_);
  return submitted_.size();
}
int HeldDisk::starts() {
  const MutexLock lock(mutex_);
  return starts_;
}
int HeldDisk::drains() {
  const MutexLock lock(mutex_);
  return drains_;
}
size_t HeldDisk::unstarted() {
  const MutexLock lock(mutex_);
  return unstarted_;
}

void HeldDisk::Finish(size_t index, BlockAnswer answer) {
  BlockCompletion done;
  BlockRequestOwner* waiting = nullptr;
  {
    const MutexLock lock(mutex_);
    LIBVMM_CHECK(index < held_.size());
    done = {held_[index], answer};
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
    if (answer == BlockAnswer::kOk) done.answer = Do(*done.request);
    if (held_.size() < room_) waiting = std::exchange(waiting_, nullptr);
  }
  done.request->owner->OnComplete(std::span(&done, 1));
  if (waiting != nullptr) waiting->OnRoom();
}

void HeldDisk::FinishAll(BlockAnswer answer) {
  std::vector<BlockCompletion> done;
  BlockRequestOwner* waiting = nullptr;
  {
    const MutexLock lock(mutex_);
    for (BlockRequest* const request : std::exchange(held_, {})) {
      done.push_back(
          {request, answer == BlockAnswer::kOk ? Do(*request) : answer});
    }
    waiting = std::exchange(waiting_, nullptr);
  }
  if (!done.empty()) done.front().request->owner->OnComplete(done);
  if (waiting != nullptr) waiting->OnRoom();
}

}  // namespace libvmm::testing
