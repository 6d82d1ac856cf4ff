// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/byte_ring.h"

#include <algorithm>
#include <cstring>

#include "libvmm/base/check.h"

namespace libvmm {

void ByteRing::Make(uint32_t capacity) {
  LIBVMM_DCHECK(capacity != 0 && (capacity & (capacity - 1)) == 0);
  // Uninitialised: nobody sees a byte that was not written.
  bytes_.reset(new std::byte[capacity]);
  capacity_ = capacity;
  written_.store(0, std::memory_order_relaxed);
  read_.store(0, std::memory_order_relaxed);
}

void ByteRing::Free() {
  bytes_.reset();
  capacity_ = 0;
  written_.store(0, std::memory_order_relaxed);
  read_.store(0, std::memory_order_relaxed);
}

std::span<std::byte> ByteRing::Room() {
  if (capacity_ == 0) return {};
  const uint32_t written = written_.load(std::memory_order_relaxed);
  const uint32_t free =
      capacity_ - (written - read_.load(std::memory_order_acquire));
  const uint32_t place = written & (capacity_ - 1);
  return {bytes_.get() + place, std::min(free, capacity_ - place)};
}

void ByteRing::Commit(size_t size) {
  LIBVMM_DCHECK(size <= room());
  written_.store(
      written_.load(std::memory_order_relaxed) + static_cast<uint32_t>(size),
      std::memory_order_release);
}

size_t ByteRing::Write(std::span<const std::byte> from) {
  size_t done = 0;
  while (done < from.size()) {
    const std::span<std::byte> to = Room();
    const size_t size = std::min(to.size(), from.size() - done);
    if (size == 0) break;
    std::memcpy(to.data(), from.data() + done, size);
    Commit(size);
    done += size;
  }
  return done;
}

std::span<const std::byte> ByteRing::Peek() const {
  if (capacity_ == 0) return {};
  const uint32_t read = read_.load(std::memory_order_relaxed);
  const uint32_t ready = written_.load(std::memory_order_acquire) - read;
  const uint32_t place = read & (capacity_ - 1);
  return {bytes_.get() + place, std::min(ready, capacity_ - place)};
}

void ByteRing::Consume(size_t size) {
  LIBVMM_DCHECK(size <= this->size());
  read_.store(
      read_.load(std::memory_order_relaxed) + static_cast<uint32_t>(size),
      std::memory_order_release);
}

size_t ByteRing::Read(std::span<std::byte> to) {
  size_t done = 0;
  while (done < to.size()) {
    const std::span<const std::byte> from = Peek();
    const size_t size = std::min(from.size(), to.size() - done);
    if (size == 0) break;
    std::memcpy(to.data() + done, from.data(), size);
    Consume(size);
    done += size;
  }
  return done;
}

}  // namespace libvmm
