// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_KICKER_H_
#define LIBVMM_KVM_KICKER_H_

#include <memory>
#include <utility>

namespace libvmm {

namespace internal {
struct KickState;
}  // namespace internal

// Makes a vCPU's current or next Run return, from any thread or signal handler.
//
// A kick first sets a request flag and kvm_run.immediate_exit, which end the
// next KVM_RUN before it enters the guest; then, if a VcpuThread is inside Run
// with this vCPU at that moment, sends that thread its signal, which ends the
// one under way. The request is cleared by the Run that reports it
// (ExitReason::kKicked), and by nothing else, so no kick is lost. Kicks that
// meet before a Run are one. A Run that is just returning for another reason
// leaves the kick to the next.
//
// A vCPU that is run by Vcpu::Run instead of a VcpuThread gets no signal: the
// kick takes effect at the next entry.
//
// Thread-safety: thread-safe; Kick is async-signal-safe.
// Ownership: copyable; from Vcpu::kicker. May outlive its Vcpu, and then does
//     nothing.
// Errors: none.
// Cost: a membarrier(2) call, and a tgkill(2) when the vCPU is running. No
//     lock, no allocation.
class Kicker {
 public:
  // A move is a copy, so that every Kicker can always be used.
  Kicker(const Kicker&) = default;
  Kicker& operator=(const Kicker&) = default;

  void Kick() const;

 private:
  friend class Vcpu;
  explicit Kicker(std::shared_ptr<internal::KickState> state)
      : state_(std::move(state)) {}

  std::shared_ptr<internal::KickState> state_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_KICKER_H_
