// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_RUNTIME_RUNTIME_IMAGE_H_
#define LIBVMM_SANDBOX_RUNTIME_RUNTIME_IMAGE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/sandbox/runtime/syscall_entry.h"

struct kvm_sregs;

namespace libvmm::sandbox {

// The ring-0 runtime as it stands in memory and registers before a sandbox's
// first instruction. It is the whole of what runs at CPL 0: exception entries
// that report to the host, the SYSCALL entry, and a loop that rewrites
// page-table entries.

// Copies the runtime's pages (RuntimeLayout) into `memory`; false when they are
// not there.
[[nodiscard]] bool WriteRuntime(GuestMemory& memory, SyscallEntry entry);

// Where they are seen, and the direct map of `memory_size` bytes, whose pages
// are large. Only two of the pages are open to ring 3.
[[nodiscard]] std::vector<PageMapping> RuntimeMappings(uint64_t memory_size);

// What the program's processor has, of that which the runtime switches on.
struct RuntimeCpu {
  bool smep = false;   // ring 0 cannot execute ring 3's pages
  bool smap = false;   // ring 0 cannot read or write them
  bool umip = false;   // ring 3 cannot read the tables' addresses
  bool xsave = false;  // vector state beyond SSE
  uint64_t xcr0 = 1;   // its components

  static RuntimeCpu From(const Cpuid& cpuid);
};

// Sets long mode with the runtime's tables and everything that `cpu` offers.
// The vCPU is in ring 3, or in ring 0 (SetRing).
void SetRuntimeRegisters(const RuntimeCpu& cpu, Gpa page_tables,
                         kvm_sregs& sregs);

// The code and stack segments of a ring, which decide the privilege level.
enum class Ring : uint8_t { k0, k3 };
void SetRing(Ring ring, kvm_sregs& sregs);
[[nodiscard]] Ring RingOf(const kvm_sregs& sregs);

// STAR, LSTAR and SFMASK for the entry.
[[nodiscard]] std::array<Msr, 3> RuntimeMsrs(SyscallEntry entry);

// What an exception has left on RuntimeLayout::kTrapStack, lowest address
// first; RSP points at it.
struct TrapFrame {
  uint64_t cr2;
  uint64_t vector;
  uint64_t error_code;
  uint64_t rip;
  uint64_t cs;
  uint64_t rflags;
  uint64_t rsp;
  uint64_t ss;
};
inline constexpr Gpa kTrapFrame{0x5000 - sizeof(TrapFrame)};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_RUNTIME_RUNTIME_IMAGE_H_
