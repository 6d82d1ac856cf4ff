// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/vsock/internal/vsock_pool.h"
#include "libvmm/devices/virtio/vsock/internal/vsock_slot.h"

namespace libvmm {

using namespace internal;  // NOLINT: the slot's flags.

VsockStream::VsockStream(std::shared_ptr<VsockPool> pool, VsockSlot* slot)
    : pool_(std::move(pool)), slot_(slot) {}

VsockStream::VsockStream(VsockStream&& other) noexcept
    : pool_(std::move(other.pool_)),
      slot_(std::exchange(other.slot_, nullptr)) {}

VsockStream& VsockStream::operator=(VsockStream&& other) noexcept {
  if (this != &other) {
    Close();
    pool_ = std::move(other.pool_);
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

VsockStream::~VsockStream() { Close(); }

VsockState VsockStream::state() const {
  if (slot_ == nullptr) return VsockState::kReset;
  // Sequentially consistent: after Accept either this sees what the device
  // found, or the device sees the callback and calls it.
  const uint32_t found = slot_->found.load();
  if ((found & kFoundReset) != 0) return VsockState::kReset;
  if ((found & kFoundEnded) != 0) return VsockState::kEnded;
  if (slot_->outgoing) {
    return (found & kFoundOpen) != 0 ? VsockState::kOpen
                                     : VsockState::kConnecting;
  }
  return (slot_->wanted.load(std::memory_order_relaxed) & kWantAccept) != 0
             ? VsockState::kOpen
             : VsockState::kAsking;
}

uint32_t VsockStream::guest_port() const {
  return slot_ == nullptr ? 0 : slot_->guest_port;
}

uint32_t VsockStream::host_port() const {
  return slot_ == nullptr ? 0
                          : slot_->host_port.load(std::memory_order_acquire);
}

void VsockStream::Accept(absl::AnyInvocable<void()> ready) {
  if (slot_ == nullptr || slot_->outgoing ||
      (slot_->wanted.load(std::memory_order_relaxed) & kWantAccept) != 0) {
    return;
  }
  pool_->MakeBuffers(*slot_);
  slot_->ready = std::move(ready);
  // The buffers and the callback are the device's from here on.
  slot_->wanted.fetch_or(kWantAccept);
  pool_->Touch(*slot_);
}

std::span<const std::byte> VsockStream::Peek() const {
  // Who said that it reads no more has given the reading side to the device.
  if (slot_ == nullptr ||
      (slot_->wanted.load(std::memory_order_relaxed) & kWantNoRead) != 0) {
    return {};
  }
  return slot_->to_host.Peek();
}

void VsockStream::Consume(size_t size) {
  LIBVMM_DCHECK(size <= Peek().size());
  if (size == 0 || Peek().empty()) return;
  slot_->to_host.Consume(size);
  if (IsCreditWorthTelling(*slot_)) pool_->Touch(*slot_);
}

size_t VsockStream::Read(std::span<std::byte> to) {
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

bool VsockStream::AtEnd() const {
  if (slot_ == nullptr) return true;
  // What the guest sent is in the buffer before it is known to be the last.
  const uint32_t found = slot_->found.load(std::memory_order_acquire);
  return (found & (kFoundNoData | kFoundOver)) != 0 && Peek().empty();
}

bool VsockStream::CanWrite() const {
  return slot_ != nullptr &&
         (slot_->wanted.load(std::memory_order_relaxed) & kWantNoWrite) == 0 &&
         (slot_->found.load(std::memory_order_acquire) &
          (kFoundNoReader | kFoundOver)) == 0;
}

std::span<std::byte> VsockStream::Room() {
  if (!CanWrite()) return {};
  std::span<std::byte> room = slot_->to_guest.Room();
  if (room.empty() && slot_->to_guest.capacity() != 0) {
    // The device takes bytes, then exchanges the flag; this sets it, then looks
    // again. One of the two sees the other.
    slot_->wants_room.exchange(true);
    room = slot_->to_guest.Room();
  }
  return room;
}

void VsockStream::Commit(size_t size) {
  if (size == 0 || !CanWrite()) return;
  slot_->to_guest.Commit(size);
  pool_->Touch(*slot_);
}

size_t VsockStream::Write(std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const std::span<std::byte> to = Room();
    const size_t size = std::min(to.size(), bytes.size() - done);
    if (size == 0) break;
    std::memcpy(to.data(), bytes.data() + done, size);
    slot_->to_guest.Commit(size);
    done += size;
  }
  if (done != 0) pool_->Touch(*slot_);
  return done;
}

void VsockStream::ShutdownWrite() {
  if (slot_ == nullptr) return;
  slot_->wanted.fetch_or(kWantNoWrite);
  pool_->Touch(*slot_);
}

void VsockStream::ShutdownRead() {
  if (slot_ == nullptr) return;
  slot_->wanted.fetch_or(kWantNoRead);
  pool_->Touch(*slot_);
}

void VsockStream::Close() { ReleaseWith(0); }

void VsockStream::Reset() { ReleaseWith(kWantReset); }

void VsockStream::ReleaseWith(uint32_t flags) {
  if (slot_ == nullptr) return;
  VsockSlot& slot = *std::exchange(slot_, nullptr);
  const std::shared_ptr<VsockPool> pool = std::move(pool_);
  // A call that closes its own stream goes on; its callback is destroyed with
  // the slot then.
  if (slot.ready_gate.Close()) slot.ready = nullptr;
  slot.wanted.fetch_or(flags | kWantClose | kWantNoWrite | kWantNoRead);
  pool->Touch(slot);
  pool->Release(slot);
}

}  // namespace libvmm
