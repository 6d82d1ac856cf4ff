// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_NESTED_STATE_H_
#define LIBVMM_KVM_NESTED_STATE_H_

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

struct kvm_nested_state;

namespace libvmm {

// What a vCPU that is itself running a guest keeps about it: its VMCS or VMCB
// and whether the inner guest is on (struct kvm_nested_state,
// KVM_CAP_NESTED_STATE). A 128-byte header with the true size, then up to some
// pages of data. A vCPU that never entered VMX or SVM operation has the header
// alone.
//
// Thread-safety: thread-compatible; the vCPU as Vcpu.
// Ownership: move-only; owns the bytes.
// Errors: kUnimplemented names KVM_CAP_NESTED_STATE on a KVM without nested
//     virtualization.
// Cost: one vCPU ioctl per transfer.
class NestedState {
 public:
  // Room for the largest state that the VM's vCPUs can have.
  static absl::StatusOr<NestedState> Create(const Vm& vm);

  // A state that bytes() gave earlier. kInvalidArgument when the header does
  // not fit in, or its size field disagrees with, `bytes`.
  static absl::StatusOr<NestedState> FromBytes(
      std::span<const std::byte> bytes);

  // KVM_GET_NESTED_STATE. Grows when the kernel asks for more.
  absl::Status ReadFrom(Vcpu& vcpu);

  // KVM_SET_NESTED_STATE. Belongs after CPUID, SREGS (CR4, EFER) and the
  // feature-control MSR. kInvalidArgument when the kernel finds it
  // inconsistent.
  absl::Status WriteTo(Vcpu& vcpu) const;

  // The header and as much data as it says.
  [[nodiscard]] std::span<const std::byte> bytes() const;
  [[nodiscard]] const kvm_nested_state* get() const { return state_.get(); }

 private:
  explicit NestedState(size_t capacity);

  internal::FlexBlock<kvm_nested_state> state_;
  size_t capacity_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_NESTED_STATE_H_
