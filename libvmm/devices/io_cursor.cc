// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/io_cursor.h"

#include <pthread.h>

#include <atomic>

#include "libvmm/base/check.h"
#include "libvmm/devices/internal/io_bus_state.h"
#include "libvmm/devices/internal/io_table.h"

namespace libvmm {

using internal::IoBusState;
using internal::IoCursorSlot;
using internal::IoTable;
using internal::IoTableEntry;
using internal::kIdle;
using internal::kLookup;
using internal::kNested;

namespace {

// The order of stores and loads here is the half of the protocol that
// IoBusState's comment describes.

template <typename Call>
IoOutcome Deliver(IoCursorSlot& slot, uint64_t outer, IoDevice& device,
                  Call call) {
  const IoResult result = call(device);
  // Release: the callback is over before a removal may see it so. What the slot
  // caches may have changed meanwhile, by a nested dispatch.
  slot.inside.store(outer, std::memory_order_release);
  return static_cast<IoOutcome>(result);
}

struct Found {
  IoDevice* device;
  uint64_t offset;
};

// Leaves slot.inside naming the registration found. Null when there is none.
[[gnu::noinline]] Found Lookup(const IoBusState& state, IoCursorSlot& slot,
                               uint64_t outer, uint64_t address,
                               uint64_t size) {
  slot.inside.store(kLookup, std::memory_order_release);
  state.Fence();
  const uint64_t generation = state.generation();
  const IoTable& table = state.table();
  const IoTableEntry* entry = table.Find(address, size);
  Found found;
  if (entry != nullptr) [[likely]] {
    slot.generation = generation;
    slot.base = entry->base;
    slot.size = entry->size;
    slot.id = entry->id;
    slot.device = entry->device;
    found = {entry->device, address - entry->base};
  } else {
    entry = &table.fallback();
    found = {size == 0 ? nullptr : entry->device, address};
  }
  const uint64_t id = entry->id;
  // Release: the table is not read after a registration may see this.
  slot.inside.store(outer == kIdle ? id : kNested, std::memory_order_release);
  return found;
}

// `call` is given the device and the offset, once at most.
template <typename Call>
IoOutcome Dispatch(const IoBusState& state, IoCursorSlot& slot,
                   uint64_t address, uint64_t size, Call call) {
  const uint64_t outer = slot.inside.load(std::memory_order_relaxed);
  slot.thread.store(::pthread_self(), std::memory_order_relaxed);
  const uint64_t offset = address - slot.base;
  if (offset < slot.size && size - 1 < slot.size - offset) [[likely]] {
    slot.inside.store(outer == kIdle ? slot.id : kNested,
                      std::memory_order_release);
    state.Fence();
    if (state.generation() == slot.generation) [[likely]] {
      return Deliver(slot, outer, *slot.device,
                     [&](IoDevice& device) { return call(device, offset); });
    }
  }
  const Found found = Lookup(state, slot, outer, address, size);
  if (found.device == nullptr) {
    slot.inside.store(outer, std::memory_order_release);
    return IoOutcome::kUnclaimed;
  }
  return Deliver(slot, outer, *found.device,
                 [&](IoDevice& device) { return call(device, found.offset); });
}

}  // namespace

IoCursor::IoCursor(std::shared_ptr<IoBusState> state, IoCursorSlot* slot)
    : state_(std::move(state)), slot_(slot) {}

IoCursor& IoCursor::operator=(IoCursor&& other) noexcept {
  if (this != &other) {
    Release();
    state_ = std::move(other.state_);
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

IoCursor::~IoCursor() { Release(); }

void IoCursor::Release() {
  if (slot_ == nullptr) return;
  state_->ReleaseSlot(std::exchange(slot_, nullptr));
  state_.reset();
}

IoOutcome IoCursor::Read(uint64_t address, std::span<std::byte> data) {
  LIBVMM_DCHECK(slot_ != nullptr);
  return Dispatch(*state_, *slot_, address, data.size(),
                  [data](IoDevice& device, uint64_t offset) {
                    return device.Read(offset, data);
                  });
}

IoOutcome IoCursor::Write(uint64_t address, std::span<const std::byte> data) {
  LIBVMM_DCHECK(slot_ != nullptr);
  return Dispatch(*state_, *slot_, address, data.size(),
                  [data](IoDevice& device, uint64_t offset) {
                    return device.Write(offset, data);
                  });
}

}  // namespace libvmm
