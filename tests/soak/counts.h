// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_COUNTS_H_
#define TESTS_SOAK_COUNTS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "tests/soak/plan.h"

namespace libvmm::soak {

// What the soak has done so far.
//
// Thread-safety: thread-safe.
struct Counts {
  struct PerKind {
    std::atomic<uint64_t> done = 0;
    // Found nothing to act on, such as an empty cell.
    std::atomic<uint64_t> idle = 0;
  };
  std::array<PerKind, kOperationKindCount> operations;

  std::atomic<uint64_t> vms = 0;
  std::atomic<uint64_t> iterations = 0;
  std::atomic<uint64_t> pio_exits = 0;
  std::atomic<uint64_t> mmio_exits = 0;
  std::atomic<uint64_t> halts = 0;
  std::atomic<uint64_t> deadlines = 0;
  std::atomic<uint64_t> interruptions = 0;
  std::atomic<uint64_t> kicks = 0;
  std::atomic<uint64_t> kicks_reported = 0;
  std::atomic<uint64_t> doorbell_events = 0;
  std::atomic<uint64_t> coalesced_writes = 0;
  std::atomic<uint64_t> guest_interrupts = 0;
  // Observations of windows and device slots that a change overlapped, so that
  // they could not be held against the state; and those that could.
  std::atomic<uint64_t> overlapped = 0;
  std::atomic<uint64_t> compared = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_COUNTS_H_
