// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_CREW_H_
#define TESTS_SOAK_CREW_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "tests/soak/soak.h"
#include "tests/soak/world.h"

namespace libvmm::soak {

// The threads of one soak, from their first operation to their last.
//
// Thread-safety: thread-compatible.
class Crew {
 public:
  Crew(const SoakOptions& options, World& world);

  // Returns when all threads have ended: nothing, or the finding.
  std::optional<std::string> Work();

 private:
  // What the watching thread looks at.
  struct Place {
    // The operation under way; behind the last when the thread has ended.
    std::atomic<uint64_t> step = 0;
    std::atomic<bool> ended = false;
  };
  struct Watched {
    uint64_t step = 0;
    std::chrono::steady_clock::time_point since;
  };

  void WorkAs(uint32_t index);
  absl::Status Steps(uint32_t index);
  // With all threads gone.
  absl::Status EmptyCells();
  void Find(const std::string& place, const absl::Status& status);
  void Watch(std::unique_lock<std::mutex>& lock);
  // ThreadSanitizer holds a signal's handler back until the thread makes a call
  // that it knows. A deadline whose signal comes just before KVM_RUN is not
  // seen then until something else ends KVM_RUN: this, which asks for nothing,
  // so that it hides no kick that was lost.
  void Nudge();
  void PrintProgress(absl::Duration elapsed);
  [[nodiscard]] std::string Trail() const;

  const SoakOptions options_;
  World& world_;
  std::vector<Place> places_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopping_ = false;

  std::mutex mutex_;
  std::condition_variable ended_;
  uint32_t working_ = 0;
  std::optional<std::string> finding_;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_CREW_H_
