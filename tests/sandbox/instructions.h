// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTS_SANDBOX_INSTRUCTIONS_H_
#define LIBVMM_TESTS_SANDBOX_INSTRUCTIONS_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace libvmm::sandbox {

// An instruction that could reach out of ring 3, if anything could.
struct Instruction {
  const char* name;
  const char* bytes;  // in hexadecimal
  enum class End : uint8_t {
    kRefused,  // ends in #GP or #UD
    kAny,      // some processors and KVMs let ring 3 execute it
  };
  End end;
};

// Memory operands are at RDI.
std::span<const Instruction> PrivilegedInstructions();

// The bytes of hexadecimal text.
std::vector<uint8_t> FromHex(std::string_view text);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_TESTS_SANDBOX_INSTRUCTIONS_H_
