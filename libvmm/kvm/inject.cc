// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/inject.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

absl::StatusOr<bool> QueueInterrupt(Vcpu& vcpu, uint8_t vector) {
  // Pending events that the Vcpu holds back must not overwrite this one later.
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  const kvm_interrupt interrupt = {.irq = vector};
  const int result = ::ioctl(vcpu.fd(), KVM_INTERRUPT, &interrupt);
  const int error = errno;
  vcpu.DropRegisters();
  if (result >= 0) return true;
  // A guest with interrupts off can bring this about: no Status.
  if (error == EEXIST) return false;
  const absl::Status status = ErrnoStatus(
      error, absl::StrCat("ioctl(KVM_INTERRUPT, vector ", vector, ")"));
  if (error != ENXIO) return status;
  return absl::FailedPreconditionError(absl::StrCat(
      "the VM's interrupt controller is in the kernel: ", status.message()));
}

absl::Status QueueNmi(Vcpu& vcpu) {
  return internal::WithoutCapability(
      internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_NMI), nullptr).status(),
      LIBVMM_CAPABILITY(KVM_CAP_USER_NMI));
}

absl::Status QueueSmi(Vcpu& vcpu) {
  return internal::WithoutCapability(
      internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_SMI), nullptr).status(),
      LIBVMM_CAPABILITY(KVM_CAP_X86_SMM));
}

}  // namespace libvmm
