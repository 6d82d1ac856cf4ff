// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_STREAM_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/functional/any_invocable.h"

namespace libvmm {

namespace internal {
class VsockPool;
struct VsockSlot;
}  // namespace internal

// Where a VsockStream is in its life. It only ever goes down this list.
enum class VsockState : uint8_t {
  // The guest asks; Accept, or destroy the stream.
  kAsking,
  // The host asked, and the guest has not answered.
  kConnecting,
  kOpen,
  // Both sides said that they are done, and the guest knows.
  kEnded,
  // Given up by the guest, by the library (no answer, a broken rule, the
  // device's reset), or by Reset. What the guest had sent can still be read.
  kReset,
};

// The host's end of a connection with a program in the guest: a stream of bytes
// each way, none lost, repeated or out of order unless the state is kReset.
//
//   void Echo(VsockStream& stream) {         // As `ready` of Accept.
//     while (true) {
//       const auto bytes = stream.Peek();
//       const size_t taken = stream.Write(bytes);
//       stream.Consume(taken);
//       if (taken == 0) break;
//     }
//     if (stream.AtEnd()) stream.ShutdownWrite();
//   }
//
// Nothing blocks. Each way has a buffer of VirtioVsock::Options::buffer_size.
// The guest cannot send more than there is room for, and what the host writes
// waits until the guest has room: so both sides are slowed down to the other's
// pace.
//
// Thread-safety: thread-compatible; besides, one thread may read (Peek,
//     Consume, Read, AtEnd) while another one writes (Room, Commit, Write,
//     CanWrite). Each of them may run the device, as VirtioLink::Wake has it,
//     and so `ready` of this and other streams: hold no lock that these take.
// Ownership: move-only. Keeps its buffers, not the device, which may go first:
//     then the state is kReset.
// Errors: none; what became of the connection is state().
// Cost: reading and writing copy bytes and make no system call but what serving
//     the device makes. Accept allocates the two buffers.
class VsockStream {
 public:
  // Of no connection: kReset.
  VsockStream() = default;
  VsockStream(VsockStream&& other) noexcept;
  VsockStream& operator=(VsockStream&& other) noexcept;
  // As Close.
  ~VsockStream();

  [[nodiscard]] VsockState state() const;
  // host_port is 0 until the guest has answered, where the host asked.
  [[nodiscard]] uint32_t guest_port() const;
  [[nodiscard]] uint32_t host_port() const;

  // Once, while kAsking: the guest is connected, unless it has given up
  // meanwhile: then state() is kReset at once, and `ready` may not be called.
  // Otherwise it is called when there is something new: bytes to be read, room after there was not enough, the
  // guest has shut down a direction, a new state. It may be called for nothing,
  // and runs on the thread that serves the device, one call at a time, without
  // locks. It may use this stream, and destroy it. When the stream is closed
  // or destroyed by another thread meanwhile, this waits for the call to end;
  // none comes afterwards. May be null, for who looks by itself.
  void Accept(absl::AnyInvocable<void()> ready);

  // ---- From the guest -------------------------------------------------------

  // The next bytes, as far as they lie together; empty when there are none now.
  // Valid until Consume, Read, or the end of the stream.
  [[nodiscard]] std::span<const std::byte> Peek() const;
  // So many of them are read, at most Peek().size(): the guest may send as much
  // again.
  void Consume(size_t size);
  // Fills `to` as far as there are bytes; returns how many.
  size_t Read(std::span<std::byte> to);
  // All was read, and nothing more will come.
  [[nodiscard]] bool AtEnd() const;

  // ---- To the guest ---------------------------------------------------------

  // Where the next bytes can be written in place, as far as the room lies
  // together; empty when there is none now, and `ready` tells when there is.
  [[nodiscard]] std::span<std::byte> Room();
  // So many bytes at the front of Room() are on their way, at most its size.
  void Commit(size_t size);
  // As much of `bytes` as there is room for; returns how much.
  size_t Write(std::span<const std::byte> bytes);
  // False: the guest will not receive, or ShutdownWrite was called; what is
  // written goes nowhere, and there is no room.
  [[nodiscard]] bool CanWrite() const;

  // ---- The end --------------------------------------------------------------

  // Nothing more will be written; the guest is told behind the last byte.
  void ShutdownWrite();
  // Nothing more will be read: the guest is told, and what comes is dropped.
  void ShutdownRead();

  // Both, and the stream is of no connection any more. What was written still
  // goes to the guest as it makes room. A connection that was not accepted is
  // refused, one that is connecting is given up.
  void Close();

  // As Close, but the guest sees a reset, and what it has not got is dropped.
  void Reset();

 private:
  friend class internal::VsockPool;
  VsockStream(std::shared_ptr<internal::VsockPool> pool,
              internal::VsockSlot* slot);

  void ReleaseWith(uint32_t flags);

  std::shared_ptr<internal::VsockPool> pool_;
  internal::VsockSlot* slot_ = nullptr;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_STREAM_H_
