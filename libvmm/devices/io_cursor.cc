// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/io_cursor.h"

#include <atomic>

#include "libvmm/base/hot.h"
#include "libvmm/devices/internal/io_bus_state.h"
#include "libvmm/devices/internal/io_cursor_slot.h"
#include "libvmm/devices/internal/io_table.h"
#include "libvmm/devices/internal/io_table_entry.h"

namespace libvmm {

using internal::IoBusState;
using internal::IoCursorSlot;
using internal::IoTable;
using internal::IoTableEntry;
using internal::kIdle;
using internal::kLookup;
using internal::kNested;

namespace {

// `call` takes device and offset; it is called once at most.
template <typename Call>
inline IoOutcome Dispatch(const IoBusState& state, IoCursorSlot& slot,
                          uint64_t address, uint64_t size, Call call) {
  const uint64_t outer = slot.inside.load(std::memory_order_relaxed);
  slot.thread.store(internal::ThisThread(), std::memory_order_relaxed);
  slot.inside.store(kLookup, std::memory_order_release);
  state.fence.Light();
  // Before the table: a generation older than its table only makes the next
  // access look up again.
  const uint64_t generation = state.generation.load(std::memory_order_acquire);
  const IoTable& table = state.table();
  const IoTableEntry* const found = table.Find(address, size);
  IoTableEntry entry;
  if (found != nullptr) [[likely]] {
    entry = *found;
    slot.last = entry;
    slot.generation = generation;
  } else {
    // With a base of zero, the default device's offset is the address.
    entry = table.fallback();
    if (entry.device == nullptr || size == 0) {
      slot.inside.store(outer, std::memory_order_release);
      return IoOutcome::kUnclaimed;
    }
  }
  slot.inside.store(outer == kIdle ? entry.id : kNested,
                    std::memory_order_release);
  const IoResult result = call(*entry.device, address - entry.base);
  slot.inside.store(outer, std::memory_order_release);
  return static_cast<IoOutcome>(result);
}

}  // namespace

IoCursor::IoCursor(std::shared_ptr<IoBusState> state, IoCursorSlot* slot)
    : state_(std::move(state)), epoch_(state_.get()), slot_(slot) {}

IoCursor& IoCursor::operator=(IoCursor&& other) noexcept {
  if (this != &other) {
    Release();
    state_ = std::move(other.state_);
    epoch_ = other.epoch_;
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

LIBVMM_HOT IoOutcome IoCursor::ReadAnew(uint64_t address,
                                        std::span<std::byte> data) {
  return Dispatch(*state_, *slot_, address, data.size(),
                  [data](IoDevice& device, uint64_t offset) {
                    return device.Read(offset, data);
                  });
}

LIBVMM_HOT IoOutcome IoCursor::WriteAnew(uint64_t address,
                                         std::span<const std::byte> data) {
  return Dispatch(*state_, *slot_, address, data.size(),
                  [data](IoDevice& device, uint64_t offset) {
                    return device.Write(offset, data);
                  });
}

}  // namespace libvmm
