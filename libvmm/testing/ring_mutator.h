// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_RING_MUTATOR_H_
#define LIBVMM_TESTING_RING_MUTATOR_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm::testing {

// A hostile guest: a thread that overwrites words in parts of guest memory,
// again and again, until it is stopped. It flips bits, stores numbers that are
// small, large, or those of another word of the parts, in words of 2, 4 and 8
// bytes.
//
//   {
//     RingMutator mutator(memory, {driver.area()}, /*seed=*/1);
//     ... the device works ...
//   }
//
// Its stores are atomic, so ThreadSanitizer finds races of the device's, not
// its.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the memory. Its thread ends in Stop or the destructor.
class RingMutator {
 public:
  // Each range is 16 bytes at least, at a multiple of 8.
  RingMutator(GuestMemory& memory, std::vector<GpaRange> ranges, uint64_t seed)
      : memory_(memory),
        ranges_(std::move(ranges)),
        random_(seed),
        thread_([this] { Run(); }) {}
  RingMutator(const RingMutator&) = delete;
  RingMutator& operator=(const RingMutator&) = delete;
  ~RingMutator() { Stop(); }

  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  // Stores so far.
  [[nodiscard]] uint64_t stores() const { return stores_; }

 private:
  // Gives way to the others after so many stores.
  static constexpr int kBurst = 16;

  void Run() {
    while (!stop_.load(std::memory_order_relaxed)) {
      for (int i = 0; i < kBurst; ++i) {
        switch (random_() % 3) {
          case 0:
            Mutate<uint16_t>();
            break;
          case 1:
            Mutate<uint32_t>();
            break;
          default:
            Mutate<uint64_t>();
            break;
        }
        ++stores_;
      }
      std::this_thread::yield();
    }
  }

  template <typename T>
  Gpa AnyWord() {
    const GpaRange& range = ranges_[random_() % ranges_.size()];
    return range.start + random_() % (range.size / sizeof(T)) * sizeof(T);
  }

  template <typename T>
  void Mutate() {
    const Gpa gpa = AnyWord<T>();
    const std::optional<T> before = memory_.Load<T>(gpa);
    // The memory may have been taken away.
    if (!before.has_value()) return;
    T value = 0;
    switch (random_() % 5) {
      case 0:
        value = static_cast<T>(*before ^ T{1} << random_() % (8 * sizeof(T)));
        break;
      case 1:
        value = static_cast<T>(random_() % 32);
        break;
      case 2:
        value = static_cast<T>(*before + 1);
        break;
      case 3:
        value = static_cast<T>(random_());
        break;
      default:
        value = memory_.Load<T>(AnyWord<T>()).value_or(0);
        break;
    }
    (void)memory_.Store<T>(gpa, value);
  }

  GuestMemory& memory_;
  std::vector<GpaRange> ranges_;
  std::mt19937_64 random_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> stores_ = 0;
  std::thread thread_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_RING_MUTATOR_H_
