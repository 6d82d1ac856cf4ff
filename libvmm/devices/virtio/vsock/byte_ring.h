// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_BYTE_RING_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_BYTE_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace libvmm {

// Bytes on their way from one thread to another one: a ring with a free-running
// count of what was written and one of what was read. The counts wrap at 2^32,
// as those of the socket device's credit do (virtio 1.2, section 5.10.6.3), and
// serve as these.
//
// Thread-safety: one thread at a time writes (written_total, Room, Commit,
//     Write), one reads (read_total, Peek, Consume, Read), both at once; size
//     and room are of both sides. Make and Free are alone.
// Ownership: owns its memory from Make to Free.
// Errors: none.
// Cost: wait-free; no call but memcpy.
class ByteRing {
 public:
  // A ring without memory: capacity 0.
  ByteRing() = default;
  ByteRing(const ByteRing&) = delete;
  ByteRing& operator=(const ByteRing&) = delete;

  // Empty, both counts zero. `capacity` is a power of two up to 2^31 bytes.
  void Make(uint32_t capacity);
  void Free();

  [[nodiscard]] uint32_t capacity() const { return capacity_; }
  // Bytes to be read, and those that could be written. The other side may make
  // either larger meanwhile, for the one that asks.
  [[nodiscard]] uint32_t size() const {
    return written_.load(std::memory_order_acquire) -
           read_.load(std::memory_order_acquire);
  }
  [[nodiscard]] uint32_t room() const { return capacity_ - size(); }

  // All bytes ever written, and read, modulo 2^32.
  [[nodiscard]] uint32_t written_total() const {
    return written_.load(std::memory_order_acquire);
  }
  [[nodiscard]] uint32_t read_total() const {
    return read_.load(std::memory_order_acquire);
  }

  // ---- Writing --------------------------------------------------------------

  // Where the next bytes go, as far as the room lies together; what is behind
  // it has its turn after a Commit. Empty when the ring is full.
  [[nodiscard]] std::span<std::byte> Room();
  // So many bytes at the front of Room() are written now; not more than it has.
  void Commit(size_t size);
  // As much of `from` as there is room for; returns how much.
  size_t Write(std::span<const std::byte> from);

  // ---- Reading --------------------------------------------------------------

  // The next bytes, as far as they lie together; empty when there are none.
  [[nodiscard]] std::span<const std::byte> Peek() const;
  // So many bytes at the front are read; not more than size().
  void Consume(size_t size);
  // Fills `to` as far as there are bytes; returns how many.
  size_t Read(std::span<std::byte> to);

 private:
  std::unique_ptr<std::byte[]> bytes_;
  uint32_t capacity_ = 0;
  // Bytes [read, written) are the reader's. Each side publishes its count with
  // release, after it is done with the bytes; the other's acquire pairs with it.
  std::atomic<uint32_t> written_ = 0;
  std::atomic<uint32_t> read_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_BYTE_RING_H_
