// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_TOPOLOGY_CPUID_H_
#define LIBVMM_PLATFORM_TOPOLOGY_CPUID_H_

#include <cstdint>

#include "libvmm/kvm/cpuid.h"
#include "libvmm/platform/cpu_topology.h"

namespace libvmm {

// Writes into a vCPU's CPUID list where it stands in the topology, in every
// leaf in which an operating system looks for it (Intel SDM volume 2, "CPUID";
// AMD APM volume 3, appendix E):
//
//   1            EBX: APIC id and threads of the socket; EDX: HTT
//   4            threads and cores that share each cache (where there are
//                caches): levels 1 and 2 belong to a core, others to a socket
//   0xB, 0x1F    thread and core level and the x2APIC id; 0xB is added, and
//                leaf 0 raised to it, where the list has it not; 0x1F only
//                where leaf 0 reaches it
//   and with the vendor string of AMD or Hygon:
//   0x80000001   ECX: CmpLegacy
//   0x80000008   ECX: threads of the socket, width of their field
//   0x8000001D   as leaf 4
//   0x8000001E   APIC id, core, socket; with TopologyExtensions in 0x80000001
//   0x80000026   is removed: it would repeat leaf 0xB
//
// `topology` is valid and `vcpu_index` below its vcpu_count().
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: some tens of look-ups in the list.
void WriteTopology(Cpuid& cpuid, const CpuTopology& topology,
                   uint32_t vcpu_index);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_TOPOLOGY_CPUID_H_
