// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_PIT_H_
#define LIBVMM_KVM_PIT_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vm.h"

struct kvm_pit_state2;

namespace libvmm {

// KVM's in-kernel i8254 timer at ports 0x40-0x43, raising GSI 0
// (KVM_CREATE_PIT2).
//
// Thread-safety: thread-safe; the kernel serialises.
// Ownership: move-only; keeps the VM's descriptor open. The timer lives and
//     dies with the VM; no second one can be made.
// Errors: kAlreadyExists for a second timer; see Create.
// Cost: one system call per operation.
class Pit {
 public:
  struct Options {
    // Also answer port 0x61, the speaker gate, in the kernel.
    bool speaker_port = true;
  };

  // `irqchip` is the same VM's, in its full form: kFailedPrecondition for a
  // split one. kUnimplemented without KVM_CAP_PIT2.
  static absl::StatusOr<Pit> Create(const Vm& vm, const IrqChip& irqchip,
                                    const Options& options);
  static absl::StatusOr<Pit> Create(const Vm& vm, const IrqChip& irqchip) {
    return Create(vm, irqchip, Options());
  }

  Pit(Pit&&) noexcept = default;
  Pit& operator=(Pit&&) noexcept = default;
  ~Pit() = default;

  // KVM_GET_PIT2 and KVM_SET_PIT2, with the vCPUs stopped. kUnimplemented
  // without KVM_CAP_PIT_STATE2.
  absl::StatusOr<kvm_pit_state2> GetState() const;
  absl::Status SetState(const kvm_pit_state2& state) const;

  // KVM_REINJECT_CONTROL: true (the kernel's choice at creation) delivers ticks
  // that the guest was too slow to take later, one by one; false drops them,
  // right for a guest that reads another clock. kUnimplemented without
  // KVM_CAP_REINJECT_CONTROL.
  absl::Status SetReinject(bool reinject) const;

 private:
  explicit Pit(std::shared_ptr<const VmFd> vm) : vm_(std::move(vm)) {}

  std::shared_ptr<const VmFd> vm_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_PIT_H_
