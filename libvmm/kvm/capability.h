// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_CAPABILITY_H_
#define LIBVMM_KVM_CAPABILITY_H_

#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace libvmm {

// A KVM_CAP_ number and the name under which errors report it.
struct Capability {
  unsigned number = 0;
  const char* name = "";
};

// The capability of a macro from abi.h: LIBVMM_CAPABILITY(KVM_CAP_PIT2).
#define LIBVMM_CAPABILITY(name) (::libvmm::Capability{name, #name})

// The value of a capability that a wrapper cannot do without, asked of a VM's
// or the system's descriptor (KVM_CHECK_EXTENSION). What the value means, a
// count, a mask or just "yes", is the capability's. kUnimplemented, with the
// name, when it is absent: so that a caller learns which feature is missing and
// not only that some ioctl gave ENOTTY or EINVAL.
//
// Thread-safety: thread-safe.
// Cost: one system call; an error allocates.
absl::StatusOr<int> RequireCapability(int fd, Capability capability);

// KVM_ENABLE_CAP with arguments on a VM's or a vCPU's descriptor; everything
// else in the struct is zero. At most four arguments. Errors name the
// capability.
absl::Status EnableCapability(int fd, Capability capability,
                              std::initializer_list<uint64_t> arguments = {});

}  // namespace libvmm

#endif  // LIBVMM_KVM_CAPABILITY_H_
