// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_EXCEPTIONS_H_
#define LIBVMM_SANDBOX_EXCEPTIONS_H_

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::sandbox {

// Vectors of exceptions that the sandbox treats in a way of their own (Intel SDM
// volume 3, table 6-1).
inline constexpr uint8_t kGeneralProtection = 13;
inline constexpr uint8_t kPageFault = 14;

// The error code of a page fault (the same, figure 4-12).
using FaultWrite = Field<uint32_t, 1, 1>;     // W/R
using FaultReserved = Field<uint32_t, 3, 3>;  // RSVD: a bit in a table entry
using FaultFetch = Field<uint32_t, 4, 4>;     // I/D

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_EXCEPTIONS_H_
