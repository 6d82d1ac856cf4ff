// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_KILLER_H_
#define LIBVMM_SANDBOX_KILLER_H_

#include <atomic>
#include <memory>
#include <utility>

#include "libvmm/kvm/kicker.h"

namespace libvmm::sandbox {

namespace internal {
class Instance;
}  // namespace internal

// Ends what a sandbox is doing, from any thread: the call under way, or the next
// one, comes back with kKilled, and the sandbox has to be reset. Kills that meet
// are one. A reset ends the Killer: it does not reach what the sandbox does next.
//
// A sandbox without a VcpuThread is not interrupted: the kill takes effect when
// its code next exits.
//
// Thread-safety: thread-safe; Kill is async-signal-safe.
// Ownership: copyable; from Sandbox::killer. May outlive the sandbox, and then
//     does nothing.
// Cost: that of Kicker::Kick.
class Killer {
 public:
  void Kill() const {
    requested_->store(true);
    kicker_.Kick();
  }

 private:
  friend class internal::Instance;

  Killer(std::shared_ptr<std::atomic<bool>> requested, Kicker kicker)
      : requested_(std::move(requested)), kicker_(std::move(kicker)) {}

  std::shared_ptr<std::atomic<bool>> requested_;
  Kicker kicker_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_KILLER_H_
