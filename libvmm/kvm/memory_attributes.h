// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MEMORY_ATTRIBUTES_H_
#define LIBVMM_KVM_MEMORY_ATTRIBUTES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// The attributes that a VM's pages can have, as a mask
// (KVM_CAP_MEMORY_ATTRIBUTES of the VM); 0 where there are none. The one
// defined so far is KVM_MEMORY_ATTRIBUTE_PRIVATE: the page's bytes are in the
// slot's guest_memfd, not at its host address.
[[nodiscard]] uint64_t SupportedMemoryAttributes(const Vm& vm);

// KVM_SET_MEMORY_ATTRIBUTES: gives every page of `range` exactly these
// attributes; 0 makes them shared again. The guest's next access meets the new
// state.
//
// Errors: kInvalidArgument for a range that is empty or not page aligned, or
//     for attributes this VM does not have; kUnimplemented without
//     KVM_CAP_MEMORY_ATTRIBUTES. After kResourceExhausted part of the range may
//     have changed.
// Thread-safety: thread-safe.
// Cost: two system calls, linear in the range.
absl::Status SetMemoryAttributes(const Vm& vm, const GpaRange& range,
                                 uint64_t attributes);

}  // namespace libvmm

#endif  // LIBVMM_KVM_MEMORY_ATTRIBUTES_H_
