// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTS_SANDBOX_RANDOM_CODE_H_
#define LIBVMM_TESTS_SANDBOX_RANDOM_CODE_H_

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "libvmm/base/address.h"
#include "tests/sandbox/hostile_guest.h"

namespace libvmm::sandbox {

// Machine code by chance: bytes, instructions of which some are privileged, and
// mixtures; with registers that often point to where something is.
struct RandomCode {
  std::vector<uint8_t> code;
  StartRegisters registers;
};

// Numbers that are worth trying as an argument, an address or a size.
class HostileNumbers {
 public:
  HostileNumbers(Gva data, Gva code) : data_(data), code_(code) {}
  [[nodiscard]] uint64_t Next(std::mt19937_64& random) const;

 private:
  Gva data_;
  Gva code_;
};

// A function of `number` alone.
RandomCode MakeRandomCode(uint64_t number, const HostileNumbers& numbers);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_TESTS_SANDBOX_RANDOM_CODE_H_
