// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/console_input.h"

#include <algorithm>

namespace libvmm {

ConsoleInput::ConsoleInput(size_t capacity) : bytes_(capacity) {}

size_t ConsoleInput::Put(std::span<const std::byte> bytes) {
  MutexLock lock(mutex_);
  const size_t taken = std::min(bytes.size(), bytes_.size() - count_);
  const size_t at = (first_ + count_) % bytes_.size();
  const size_t before_end = std::min(taken, bytes_.size() - at);
  std::copy_n(bytes.begin(), before_end, bytes_.begin() + at);
  std::copy_n(bytes.begin() + before_end, taken - before_end, bytes_.begin());
  count_ += taken;
  if (taken < bytes.size()) cut_ = true;
  return taken;
}

size_t ConsoleInput::Take(std::span<std::byte> to) {
  MutexLock lock(mutex_);
  const size_t taken = std::min(to.size(), count_);
  const size_t before_end = std::min(taken, bytes_.size() - first_);
  std::copy_n(bytes_.begin() + first_, before_end, to.begin());
  std::copy_n(bytes_.begin(), taken - before_end, to.begin() + before_end);
  first_ = (first_ + taken) % bytes_.size();
  count_ -= taken;
  return taken;
}

bool ConsoleInput::empty() const {
  MutexLock lock(mutex_);
  return count_ == 0;
}

bool ConsoleInput::TakeRoom() {
  MutexLock lock(mutex_);
  if (!cut_ || count_ == bytes_.size()) return false;
  cut_ = false;
  return true;
}

void ConsoleInput::Clear() {
  MutexLock lock(mutex_);
  count_ = 0;
}

}  // namespace libvmm
