// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_XSAVE_CPUID_H_
#define LIBVMM_KVM_XSAVE_CPUID_H_

#include <cstdint>

#include "libvmm/kvm/cpuid.h"

namespace libvmm {

// Takes the state components that are not in `mask` (bits of XCR0's lower half)
// out of leaf 0xD (Intel SDM volume 1, chapter 13.2): from the components that
// XCR0 can have, the subleaves that describe them, and the size of the area.
// Components of IA32_XSS and the upper half of XCR0 stay.
//
// Thread-safety: thread-compatible.
// Errors: none; a list without leaf 0xD stays as it is.
// Cost: one look-up for each component.
void LimitXsave(Cpuid& cpuid, uint32_t mask);

}  // namespace libvmm

#endif  // LIBVMM_KVM_XSAVE_CPUID_H_
