// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_CPUID_SAMPLES_H_
#define LIBVMM_KVM_CPUID_SAMPLES_H_

// For tests: what KVM might support on two large processors, as lists of the
// shape that KVM_GET_SUPPORTED_CPUID gives. Both have every feature of
// x86-64-v4 and every feature that a CPU policy leaves off.

#include <array>
#include <cstdint>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"

namespace libvmm::testing {

inline void AddLeaf(Cpuid& cpuid, uint32_t function,
                    const std::array<uint32_t, 4>& words) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  entry.eax = words[0];
  entry.ebx = words[1];
  entry.ecx = words[2];
  entry.edx = words[3];
  cpuid.Set(entry);
}

inline void AddSubleaf(Cpuid& cpuid, uint32_t function, uint32_t index,
                       const std::array<uint32_t, 4>& words) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  entry.index = index;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.eax = words[0];
  entry.ebx = words[1];
  entry.ecx = words[2];
  entry.edx = words[3];
  cpuid.Set(entry);
}

// KVM's own leaves, and what both processors have.
inline void AddCommonLeaves(Cpuid& cpuid) {
  AddLeaf(cpuid, 0x40000000, {0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d});
  AddLeaf(cpuid, 0x40000001, {0x01007efb, 0, 0, 0});
  for (uint32_t function = 0x80000002; function <= 0x80000004; ++function) {
    AddLeaf(cpuid, function, {0, 0, 0, 0});
  }
}

// Like a Zen 4: nesting, performance counters, SEV, topology extensions. Not in
// the list, though KVM serves it: the TSC-deadline timer.
inline Cpuid AmdSample() {
  Cpuid cpuid;
  AddLeaf(cpuid, 0x0, {0x10, 0x68747541, 0x444d4163, 0x69746e65});
  AddLeaf(cpuid, 0x1, {0x00a10f11, 0x07100800, 0xf6f83203, 0x178bfbff});
  AddLeaf(cpuid, 0x6, {0x4, 0, 0, 0});
  AddSubleaf(cpuid, 0x7, 0, {0x1, 0xf1bf97a9, 0x00405fde, 0xb4000010});
  AddSubleaf(cpuid, 0x7, 1, {0x20, 0, 0, 0});
  AddSubleaf(cpuid, 0xb, 0, {0, 0, 0, 7});
  AddSubleaf(cpuid, 0xd, 0, {0xe7, 0x980, 0x980, 0});
  AddSubleaf(cpuid, 0xd, 1, {0xf, 0x980, 0x1800, 0});
  AddSubleaf(cpuid, 0xd, 2, {0x100, 0x240, 0, 0});
  AddSubleaf(cpuid, 0xd, 5, {0x40, 0x340, 0, 0});
  AddSubleaf(cpuid, 0xd, 6, {0x200, 0x380, 0, 0});
  AddSubleaf(cpuid, 0xd, 7, {0x400, 0x580, 0, 0});
  AddSubleaf(cpuid, 0xd, 11, {0x10, 0, 1, 0});
  AddCommonLeaves(cpuid);
  AddLeaf(cpuid, 0x80000000, {0x80000026, 0x68747541, 0x444d4163, 0x69746e65});
  AddLeaf(cpuid, 0x80000001, {0x00a10f11, 0x40000000, 0x75c237ff, 0x2fd3fbff});
  AddLeaf(cpuid, 0x80000005, {0xff48ff40, 0xff48ff40, 0x20080140, 0x20080140});
  AddLeaf(cpuid, 0x80000006, {0x5c002200, 0x6c004200, 0x04006140, 0x0a009140});
  AddLeaf(cpuid, 0x80000007, {0, 0, 0, 0x100});
  AddLeaf(cpuid, 0x80000008, {0x00003030, 0x791ef257, 0x0000700f, 0x10007});
  AddLeaf(cpuid, 0x8000000a, {0x1, 0x8, 0, 0x119b9cff});
  AddLeaf(cpuid, 0x8000001b, {0x3ff, 0, 0, 0});
  AddSubleaf(cpuid, 0x8000001d, 0, {0x00004121, 0x01c0003f, 0x3f, 0});
  AddSubleaf(cpuid, 0x8000001d, 1, {0x00004122, 0x01c0003f, 0x3f, 0});
  AddSubleaf(cpuid, 0x8000001d, 2, {0x00004143, 0x01c0003f, 0x7ff, 2});
  AddSubleaf(cpuid, 0x8000001d, 3, {0x0001c163, 0x03c0003f, 0x7fff, 1});
  AddSubleaf(cpuid, 0x8000001d, 4, {0, 0, 0, 0});
  AddLeaf(cpuid, 0x8000001e, {7, 0x103, 0, 0});
  AddLeaf(cpuid, 0x8000001f, {0xf, 0x3b3, 0x1fd, 1});
  AddLeaf(cpuid, 0x80000021, {0x00062fcf, 0, 0, 0});
  AddLeaf(cpuid, 0x80000022, {0x1, 0x6, 0, 0});
  AddSubleaf(cpuid, 0x80000026, 0, {1, 2, 0x100, 7});
  return cpuid;
}

// Like a Sapphire Rapids: nesting, performance counters and traces, SGX, AMX.
inline Cpuid IntelSample() {
  Cpuid cpuid;
  AddLeaf(cpuid, 0x0, {0x24, 0x756e6547, 0x6c65746e, 0x49656e69});
  AddLeaf(cpuid, 0x1, {0x000806f8, 0x03400800, 0xfffab23f, 0x1fabfbff});
  AddLeaf(cpuid, 0x2, {0x00feff01, 0xf0, 0, 0});
  AddSubleaf(cpuid, 0x4, 0, {0xfc004121, 0x02c0003f, 0x3f, 0});
  AddSubleaf(cpuid, 0x4, 1, {0xfc004122, 0x01c0003f, 0x3f, 0});
  AddSubleaf(cpuid, 0x4, 2, {0xfc01c143, 0x03c0003f, 0x7ff, 0});
  AddSubleaf(cpuid, 0x4, 3, {0xfc1fc163, 0x0380003f, 0x1bfff, 4});
  AddSubleaf(cpuid, 0x4, 4, {0, 0, 0, 0});
  AddLeaf(cpuid, 0x6, {0x4, 0, 0x8, 0});
  AddSubleaf(cpuid, 0x7, 0, {0x2, 0xf3bfbfef, 0x5b415f7e, 0xffdd4410});
  AddSubleaf(cpuid, 0x7, 1, {0x00201d30, 0, 0, 0x00004100});
  AddSubleaf(cpuid, 0x7, 2, {0, 0, 0, 0x1f});
  AddLeaf(cpuid, 0xa, {0x08300805, 0, 0xf, 0x8604});
  AddSubleaf(cpuid, 0xb, 0, {0, 0, 0, 3});
  AddSubleaf(cpuid, 0xd, 0, {0x600e7, 0x2b00, 0x2b00, 0});
  AddSubleaf(cpuid, 0xd, 1, {0x1f, 0x2b00, 0, 0});
  AddSubleaf(cpuid, 0xd, 2, {0x100, 0x240, 0, 0});
  AddSubleaf(cpuid, 0xd, 5, {0x40, 0x440, 0, 0});
  AddSubleaf(cpuid, 0xd, 6, {0x200, 0x480, 0, 0});
  AddSubleaf(cpuid, 0xd, 7, {0x400, 0x680, 0, 0});
  AddSubleaf(cpuid, 0xd, 17, {0x40, 0xac0, 2, 0});
  AddSubleaf(cpuid, 0xd, 18, {0x2000, 0xb00, 6, 0});
  AddSubleaf(cpuid, 0x12, 0, {0x3, 0x1, 0, 0x381f});
  AddSubleaf(cpuid, 0x14, 0, {0x1, 0x5f, 0x7, 0});
  AddLeaf(cpuid, 0x1c, {0x4000000b, 0x7, 0x7, 0});
  AddSubleaf(cpuid, 0x1d, 0, {1, 0, 0, 0});
  AddSubleaf(cpuid, 0x1d, 1, {0x04002000, 0x00080040, 0x10, 0});
  AddSubleaf(cpuid, 0x1e, 0, {0, 0x4010, 0, 0});
  AddSubleaf(cpuid, 0x1f, 0, {0, 0, 0, 3});
  AddSubleaf(cpuid, 0x23, 0, {0xf, 0, 0, 0});
  AddCommonLeaves(cpuid);
  AddLeaf(cpuid, 0x80000000, {0x80000008, 0, 0, 0});
  AddLeaf(cpuid, 0x80000001, {0, 0, 0x121, 0x2c100800});
  AddLeaf(cpuid, 0x80000006, {0, 0, 0x08007040, 0});
  AddLeaf(cpuid, 0x80000007, {0, 0, 0, 0x100});
  AddLeaf(cpuid, 0x80000008, {0x3934, 0x200, 0, 0});
  return cpuid;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_KVM_CPUID_SAMPLES_H_
