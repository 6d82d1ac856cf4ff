// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_SOAK_H_
#define TESTS_SOAK_SOAK_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tests/soak/counts.h"
#include "tests/soak/plan.h"

namespace libvmm::soak {

struct SoakOptions {
  PlanOptions plan;
  uint32_t threads = 4;
  // Each thread ends after so many operations, or all when the time is over,
  // whichever comes first. Neither: at once.
  std::optional<uint64_t> steps = std::nullopt;
  std::optional<absl::Duration> time = std::nullopt;
  // A thread that is in one operation for so long is stuck: the process then
  // prints where every thread is, and exits with 1.
  absl::Duration stuck_after = absl::Minutes(5);
  // A line on stderr this often.
  absl::Duration progress_every = absl::Seconds(5);
};

// Threads are at most so many: each has a word of its own in guest memory.
inline constexpr uint32_t kMaxThreads = 32;

// Random operations over VMs that the threads share, each compared with what
// must come of it. Afterwards descriptors, mappings and heap must be as they
// were, the threads gone. Before the account begins, a short soak of its own
// makes what a process makes once.
//
// Thread-safety: one at a time in a process; no other thread may open, map or
//     allocate meanwhile. The calling thread waits, and prints progress.
// Returns nothing when all was well; else the finding, with the last operations
//     of each thread and how to replay.
std::optional<std::string> RunSoak(const SoakOptions& options, Counts& counts);

// How often each operation was done, and what came of it.
std::string CountsTable(const Counts& counts);

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_SOAK_H_
