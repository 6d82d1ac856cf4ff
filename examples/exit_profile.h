// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_EXIT_PROFILE_H_
#define LIBVMM_EXAMPLES_EXIT_PROFILE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "libvmm/kvm/exit.h"

// Counts a vCPU's exits by reason and address, with the time inside KVM_RUN
// (the guest's and the kernel's) and the time that the host took to handle
// them. Times go into buckets a quarter of a power of two wide, so percentiles
// are within 19%.
class ExitProfile {
 public:
  void Enter() { enter_ = Clock::now(); }
  void Leave() { leave_ = Clock::now(); }
  void Handled(const libvmm::Exit& exit);
  void Print() const;

 private:
  using Clock = std::chrono::steady_clock;

  class Histogram {
   public:
    void Add(std::chrono::nanoseconds time);
    // Nanoseconds below which the fraction of times lies.
    [[nodiscard]] double Quantile(double fraction) const;

   private:
    std::array<uint32_t, 4 * 40> buckets_{};
    uint64_t count_ = 0;
  };
  struct Row {
    uint64_t count = 0;
    Histogram run;
    Histogram handle;
  };
  struct Key {
    libvmm::ExitReason reason;
    bool is_write;
    uint64_t address;
    auto operator<=>(const Key&) const = default;
  };

  Clock::time_point enter_;
  Clock::time_point leave_;
  std::map<Key, Row> rows_;
};

#endif  // LIBVMM_EXAMPLES_EXIT_PROFILE_H_
