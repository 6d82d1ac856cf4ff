// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_KICK_TARGET_H_
#define TESTS_SOAK_KICK_TARGET_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/kicker.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {

// A vCPU's Kicker with an account of the kicks: none may be lost, and none may
// come from nowhere.
//
// Kicks that meet are reported as one, so the account is one of bounds: when
// more kicks had completed before a Run than had begun by the end of the Run
// that last reported one, at least one of them began after that, and the Run
// must report it. (It may report a deadline first.)
//
// Thread-safety: Kick is thread-safe; the rest is for the vCPU's thread.
class KickTarget {
 public:
  explicit KickTarget(Kicker kicker) : kicker_(std::move(kicker)) {}

  void Kick() {
    begun_.fetch_add(1);
    kicker_.Kick();
    completed_.fetch_add(1);
  }

  // To be called before a Run; CheckReported gets the answer behind it.
  [[nodiscard]] uint64_t completed() const { return completed_.load(); }
  absl::Status CheckReported(uint64_t completed_before, ExitReason reason) {
    if (reason != ExitReason::kKicked) {
      return completed_before > answered_ && reason != ExitReason::kDeadline
                 ? Mismatch("a kick was lost")
                 : absl::OkStatus();
    }
    answered_ = begun_.load();
    return ++reports_ > answered_ ? Mismatch("a kick that nobody made")
                                  : absl::OkStatus();
  }

  // True when the next Run must report a kick.
  [[nodiscard]] bool IsOwed() const { return completed_.load() > answered_; }

  [[nodiscard]] uint64_t begun() const { return begun_.load(); }
  [[nodiscard]] uint64_t reports() const { return reports_; }

 private:
  const Kicker kicker_;
  std::atomic<uint64_t> begun_ = 0;
  std::atomic<uint64_t> completed_ = 0;
  // Begun by the end of the Run that last reported one.
  uint64_t answered_ = 0;
  uint64_t reports_ = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_KICK_TARGET_H_
