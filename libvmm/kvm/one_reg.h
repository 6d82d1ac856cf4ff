// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_ONE_REG_H_
#define LIBVMM_KVM_ONE_REG_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// One register and its value. The id is the kernel's 64-bit number:
// architecture, size, kind and index. On x86, abi.h makes them:
// KvmMsrRegisterId for an MSR, KvmOwnRegisterId for state that only KVM has,
// such as the shadow stack pointer.
struct OneReg {
  uint64_t id = 0;
  uint64_t value = 0;
};

// KVM_GET_ONE_REG and KVM_SET_ONE_REG: single registers by id. The native
// interface of other architectures; on x86 (Linux 6.18, KVM_CAP_ONE_REG) it
// reaches MSRs and the few registers that no struct carries.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kUnimplemented names KVM_CAP_ONE_REG; kInvalidArgument for an id that
//     is wider than 64 bits or that the kernel does not know, or a value it
//     refuses.
// Cost: one vCPU ioctl.
absl::StatusOr<uint64_t> GetOneReg(Vcpu& vcpu, uint64_t id);
absl::Status SetOneReg(Vcpu& vcpu, OneReg reg);

// KVM_GET_REG_LIST: the ids of this vCPU's registers. On x86 without the MSRs,
// for which MsrList serves; it can be empty.
absl::StatusOr<std::vector<uint64_t>> RegisterIds(Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_ONE_REG_H_
