// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_IO_CURSOR_H_
#define LIBVMM_DEVICES_IO_CURSOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "libvmm/devices/internal/io_cursor_slot.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

namespace internal {
class IoBusState;
}  // namespace internal

// What became of an access on a bus: a device's answer (the first three are
// IoResult's), or that nothing answered.
enum class IoOutcome : uint8_t {
  kDone = static_cast<uint8_t>(IoResult::kDone),
  kDeferred = static_cast<uint8_t>(IoResult::kDeferred),
  kStop = static_cast<uint8_t>(IoResult::kStop),
  // No device claims the access and the bus has no default device. Nothing was
  // called and `data` is as it was.
  kUnclaimed,
};

// One thread's way into an IoBus: carries accesses to the devices registered
// there. A vCPU thread has one for each bus it dispatches to, from
// IoBus::MakeCursor(). It remembers the range it hit last and tells
// registrations which device it is inside of.
//
// An access goes to a device only if all of its bytes lie in the device's
// range; otherwise it is unclaimed as a whole, never split and never cut. A
// device's callback may dispatch again through the same cursor.
//
// Thread-safety: thread-compatible: one thread at a time, each thread its own.
//     Any number of cursors dispatch at once, while others register.
// Ownership: move-only. Keeps the bus's shared state alive, not the devices.
//     Must not be destroyed or assigned to inside a callback it is dispatching.
// Errors: none.
// Cost: wait-free: two or three stores to its own cache line, one load of the
//     bus's generation, for a range other than the last one a table lookup, and
//     the virtual call. No lock, allocation, system call or atomic
//     read-modify-write.
class IoCursor {
 public:
  IoCursor(IoCursor&& other) noexcept
      : state_(std::move(other.state_)),
        epoch_(other.epoch_),
        slot_(std::exchange(other.slot_, nullptr)) {}
  IoCursor& operator=(IoCursor&& other) noexcept;
  ~IoCursor();

  // The guest loads, or stores, data.size() bytes at `address` (a port, or a
  // guest-physical address). An access of no bytes is kUnclaimed, default
  // device or not. A moved-from cursor must not be used.
  [[nodiscard]] IoOutcome Read(uint64_t address, std::span<std::byte> data) {
    if (IoDevice* const device = EnterLast(address, data.size())) [[likely]] {
      return Leave(device->Read(address - slot_->last.base, data));
    }
    return ReadAnew(address, data);
  }
  [[nodiscard]] IoOutcome Write(uint64_t address,
                                std::span<const std::byte> data) {
    if (IoDevice* const device = EnterLast(address, data.size())) [[likely]] {
      return Leave(device->Write(address - slot_->last.base, data));
    }
    return WriteAnew(address, data);
  }

 private:
  friend class IoBus;

  IoCursor(std::shared_ptr<internal::IoBusState> state,
           internal::IoCursorSlot* slot);

  // Enters the device of the last range hit, unless the access needs a lookup
  // or this is inside a callback: then null. Leave() follows the call.
  IoDevice* EnterLast(uint64_t address, uint64_t size) {
    internal::IoCursorSlot& slot = *slot_;
    if (!slot.last.Claims(address, size) ||
        slot.inside.load(std::memory_order_relaxed) != internal::kIdle) {
      return nullptr;
    }
    slot.thread.store(internal::ThisThread(), std::memory_order_relaxed);
    slot.inside.store(slot.last.id, std::memory_order_release);
    epoch_->fence.Light();
    if (epoch_->generation.load(std::memory_order_acquire) != slot.generation)
        [[unlikely]] {
      slot.inside.store(internal::kIdle, std::memory_order_release);
      return nullptr;
    }
    return slot.last.device;
  }
  IoOutcome Leave(IoResult result) {
    slot_->inside.store(internal::kIdle, std::memory_order_release);
    return static_cast<IoOutcome>(result);
  }

  // With a lookup.
  IoOutcome ReadAnew(uint64_t address, std::span<std::byte> data);
  IoOutcome WriteAnew(uint64_t address, std::span<const std::byte> data);

  void Release();

  std::shared_ptr<internal::IoBusState> state_;
  const internal::IoBusEpoch* epoch_ = nullptr;
  internal::IoCursorSlot* slot_ = nullptr;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_IO_CURSOR_H_
