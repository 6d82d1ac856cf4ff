// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/run_gate.h"

namespace libvmm {

namespace {

// Bits of RunGate::state_. A note is there only while someone is inside.
constexpr uint32_t kOpen = 1 << 0;
constexpr uint32_t kInside = 1 << 1;
constexpr uint32_t kNote = 1 << 2;

}  // namespace

bool RunGate::Enter() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while ((state & kOpen) != 0) {
    const bool taken = (state & kInside) != 0;
    // A note that is there already is written again: only a read-modify-write
    // hands over what this thread did before.
    if (state_.compare_exchange_weak(state, state | (taken ? kNote : kInside),
                                     std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
      return !taken;
    }
  }
  return false;
}

bool RunGate::Leave() {
  uint32_t state = state_.load(std::memory_order_relaxed);
  while (true) {
    const bool again = (state & kOpen) != 0 && (state & kNote) != 0;
    const uint32_t next = again ? state & ~kNote : state & ~(kInside | kNote);
    if (!state_.compare_exchange_weak(state, next, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
      continue;
    }
    if (again) return false;
    // Whoever closes waits for this.
    if ((state & kOpen) == 0) state_.notify_all();
    return true;
  }
}

bool RunGate::Yield() {
  const uint32_t state =
      state_.fetch_and(~(kInside | kNote), std::memory_order_acq_rel);
  if ((state & kOpen) == 0) {
    state_.notify_all();
    return false;
  }
  return (state & kNote) != 0;
}

void RunGate::Open() { state_.fetch_or(kOpen, std::memory_order_acq_rel); }

void RunGate::Close() {
  uint32_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  while ((state & kInside) != 0) {
    state_.wait(state, std::memory_order_acquire);
    state = state_.load(std::memory_order_acquire);
  }
}

}  // namespace libvmm
