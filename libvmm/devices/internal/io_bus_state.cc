// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/internal/io_bus_state.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace libvmm::internal {
namespace {

constexpr uint64_t kLastPort = 0xffff;

absl::string_view SpaceName(AddressSpace space) {
  return space == AddressSpace::kPio ? "PIO" : "MMIO";
}

std::string RangeText(uint64_t base, uint64_t size) {
  return absl::StrCat("{base 0x", absl::Hex(base), ", size 0x", absl::Hex(size),
                      "}");
}

// Waiting for other threads to leave a callback or a lookup. They cannot wake
// us, since waking is a system call and theirs is the path that makes none; so
// the slots are polled, ever more seldom. Correctness rests on what a poll
// reads, not on how long a pause lasts.
class Backoff {
 public:
  void Pause() {
    ++round_;
    if (round_ <= kSpins) {
      __builtin_ia32_pause();
    } else if (round_ <= kSpins + kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(sleep_);
      sleep_ = std::min(2 * sleep_, kLongestSleep);
    }
  }

 private:
  static constexpr int kSpins = 64;
  static constexpr int kYields = 16;
  static constexpr std::chrono::microseconds kLongestSleep{1000};

  int round_ = 0;
  std::chrono::microseconds sleep_{2};
};

}  // namespace

IoBusState::IoBusState(AddressSpace space)
    : space_(space),
      current_(std::make_unique<const IoTable>(
          space, std::vector<IoTableEntry>(), IoTableEntry())) {
  table_.store(current_.get(), std::memory_order_relaxed);
}

IoBusState::~IoBusState() {
  for (IoCursorSlot* slot = slots_; slot != nullptr;) {
    delete std::exchange(slot, slot->next);
  }
}

absl::StatusOr<uint64_t> IoBusState::Add(const IoRange& range,
                                         IoDevice& device) {
  const auto text = [&] {
    return absl::StrCat("IoBus::Register: ", SpaceName(space_), " range ",
                        RangeText(range.base, range.size));
  };
  if (range.size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(text(), " is empty"));
  }
  const uint64_t limit = space_ == AddressSpace::kPio
                             ? kLastPort
                             : std::numeric_limits<uint64_t>::max();
  if (range.base > limit || range.size - 1 > limit - range.base) {
    return absl::InvalidArgumentError(
        absl::StrCat(text(), " passes the last address 0x", absl::Hex(limit)));
  }

  MutexLock lock(mutex_);
  const std::span<const IoTableEntry> old = current_->entries();
  // The first entry that ends at or after the new one's base.
  const auto place = std::partition_point(
      old.begin(), old.end(),
      [&](const IoTableEntry& entry) { return entry.last() < range.base; });
  if (place != old.end() && place->base <= range.base + (range.size - 1)) {
    return absl::AlreadyExistsError(absl::StrCat(
        text(), " overlaps ", RangeText(place->base, place->size)));
  }
  const uint64_t id = next_id_++;
  std::vector<IoTableEntry> entries;
  // One more for the table's own end.
  entries.reserve(old.size() + 2);
  entries.assign(old.begin(), place);
  entries.push_back({range.base, range.size, id, &device});
  entries.insert(entries.end(), place, old.end());
  Publish(std::make_unique<const IoTable>(space_, std::move(entries),
                                          current_->fallback()));
  return id;
}

absl::StatusOr<uint64_t> IoBusState::AddDefault(IoDevice& device) {
  MutexLock lock(mutex_);
  if (current_->fallback().device != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("IoBus::RegisterDefault: the ",
                                                 SpaceName(space_),
                                                 " bus has a default device"));
  }
  const uint64_t id = next_id_++;
  const std::span<const IoTableEntry> old = current_->entries();
  Publish(std::make_unique<const IoTable>(
      space_, std::vector<IoTableEntry>(old.begin(), old.end()),
      IoTableEntry{.id = id, .device = &device}));
  return id;
}

void IoBusState::Remove(uint64_t id) {
  const IoCursorSlot* slots;
  {
    MutexLock lock(mutex_);
    IoTableEntry fallback = current_->fallback();
    if (fallback.id == id) fallback = {};
    std::vector<IoTableEntry> entries;
    entries.reserve(current_->entries().size() + 1);
    std::ranges::copy_if(
        current_->entries(), std::back_inserter(entries),
        [&](const IoTableEntry& entry) { return entry.id != id; });
    Publish(
        std::make_unique<const IoTable>(space_, std::move(entries), fallback));
    slots = slots_;
  }
  // Outside the lock: a callback may register. Cursors made from now on see a
  // table without `id`, and listed slots live as long as this object.
  const void* const self = ThisThread();
  for (const IoCursorSlot* slot = slots; slot != nullptr; slot = slot->next) {
    for (Backoff backoff;; backoff.Pause()) {
      // Acquire: pairs with the release at a dispatch's end, so that what the
      // callback did is done before the device is destroyed.
      const uint64_t inside = slot->inside.load(std::memory_order_acquire);
      if (inside != id && inside != kLookup && inside != kNested) break;
      if (slot->thread.load(std::memory_order_relaxed) == self) break;
    }
  }
}

IoCursorSlot* IoBusState::AcquireSlot() {
  MutexLock lock(mutex_);
  if (free_slots_.empty()) {
    auto slot = std::make_unique<IoCursorSlot>();
    slot->next = slots_;
    slots_ = slot.release();
    return slots_;
  }
  IoCursorSlot* const slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void IoBusState::ReleaseSlot(IoCursorSlot* slot) {
  MutexLock lock(mutex_);
  free_slots_.push_back(slot);
}

void IoBusState::Publish(std::unique_ptr<const IoTable> table) {
  const std::unique_ptr<const IoTable> old =
      std::exchange(current_, std::move(table));
  table_.store(current_.get(), std::memory_order_release);
  generation.store(generation.load(std::memory_order_relaxed) + 1,
                   std::memory_order_release);
  if (slots_ == nullptr) return;
  fence.Heavy();
  for (const IoCursorSlot* slot = slots_; slot != nullptr; slot = slot->next) {
    for (Backoff backoff;
         slot->inside.load(std::memory_order_acquire) == kLookup;
         backoff.Pause()) {
    }
  }
}

}  // namespace libvmm::internal
