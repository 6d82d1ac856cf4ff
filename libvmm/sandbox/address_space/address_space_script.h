// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_SCRIPT_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_SCRIPT_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace libvmm::sandbox::testing {

// How often a script came to what is named.
using ScriptCounts = std::map<std::string, uint64_t>;

// Reads `script` as a list of operations on an AddressSpace (map, unmap,
// protect, remap, brk, discard, faults, the host's and the user's accesses,
// save, reset, clone), does each on a real one and on a map from page to rights
// and bytes, and compares. User accesses go through a FakeMmu, which forgets
// only what the stale list tells it to. Any bytes are a valid script. Returns
// the first difference, or nothing. Tests and the fuzzer share it.
std::string RunAddressSpaceScript(std::span<const uint8_t> script,
                                  ScriptCounts* counts = nullptr);

}  // namespace libvmm::sandbox::testing

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_SCRIPT_H_
