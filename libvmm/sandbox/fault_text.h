// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FAULT_TEXT_H_
#define LIBVMM_SANDBOX_FAULT_TEXT_H_

#include <cstdint>
#include <string>

#include "libvmm/sandbox/outcome.h"
#include "libvmm/sandbox/program/program.h"

namespace libvmm::sandbox {

// A fault in a line for people, with the function that it happened in, as far as
// the program, loaded at `bias`, has symbols.
[[nodiscard]] std::string FaultText(const Fault& fault, const Program& program,
                                    uint64_t bias);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FAULT_TEXT_H_
