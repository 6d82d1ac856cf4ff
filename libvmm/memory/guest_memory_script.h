// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_GUEST_MEMORY_SCRIPT_H_
#define LIBVMM_MEMORY_GUEST_MEMORY_SCRIPT_H_

#include <cstdint>
#include <span>
#include <string>

namespace libvmm::testing {

// Reads `script` as a list of operations on a GuestMemory (add, remove, load,
// store, copies, spans, dirty tracking ...), does each on a real one and on a
// model that looks every byte up by itself, and compares results, memory and
// dirty pages after each. Any bytes are a valid script. Returns the first
// difference, or nothing. Tests and the fuzzer share it.
std::string RunGuestMemoryScript(std::span<const uint8_t> script);

}  // namespace libvmm::testing

#endif  // LIBVMM_MEMORY_GUEST_MEMORY_SCRIPT_H_
