// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_CPU_TOPOLOGY_H_
#define LIBVMM_PLATFORM_CPU_TOPOLOGY_H_

#include <cstdint>

#include "absl/status/status.h"

namespace libvmm {

// How a machine's vCPUs are grouped, and the APIC ids that follow from it
// (Intel SDM volume 3, chapter 9.9, "Detecting Hardware Multi-Threading Support
// and Topology"; AMD APM volume 3, appendix E, "Multiple Processor
// Calculation").
//
// vCPUs are counted thread by thread, core by core, socket by socket. An APIC
// id has a field for each of the three, as wide as the counts need, so that ids
// have gaps where a count is no power of two:
//
//   CpuTopology{.sockets = 2, .cores_per_socket = 3}: ids 0 1 2, 4 5 6
//
// The APIC id is the KVM id of the vCPU (Vcpu::Create).
//
// Thread-safety: thread-compatible value.
// Ownership: a value.
// Errors: Validate alone; the other functions want a valid topology.
// Cost: a few instructions.
struct CpuTopology {
  // APIC ids are below 2^kMaxApicIdBits: what an MSI can name by an extended
  // destination id. KVM's own limit (KVM_CAP_MAX_VCPU_ID) can be lower, and
  // Vcpu::Create reports it.
  static constexpr unsigned kMaxApicIdBits = 15;
  // Bits of an APIC id below the socket's: what CPUID leaf 4 has room for.
  static constexpr unsigned kMaxSocketBits = 12;

  uint32_t sockets = 1;
  uint32_t cores_per_socket = 1;
  uint32_t threads_per_core = 1;

  friend constexpr bool operator==(const CpuTopology&,
                                   const CpuTopology&) = default;

  // kInvalidArgument names a field that is zero, or so large that APIC ids
  // pass a limit above, and its value.
  [[nodiscard]] absl::Status Validate() const;

  [[nodiscard]] uint32_t vcpu_count() const {
    return sockets * threads_per_socket();
  }
  [[nodiscard]] uint32_t threads_per_socket() const {
    return cores_per_socket * threads_per_core;
  }

  // Bits of an APIC id that number the thread in its core, and those that
  // number thread and core in the socket.
  [[nodiscard]] unsigned thread_bits() const;
  [[nodiscard]] unsigned socket_bits() const;

  // Where a vCPU stands: core within its socket, thread within its core.
  struct Place {
    uint32_t socket = 0;
    uint32_t core = 0;
    uint32_t thread = 0;
    friend constexpr bool operator==(const Place&, const Place&) = default;
  };
  // `vcpu_index` is below vcpu_count().
  [[nodiscard]] Place PlaceOf(uint32_t vcpu_index) const;
  [[nodiscard]] uint32_t ApicId(uint32_t vcpu_index) const;
  // The highest of all; x2APIC is needed when it is above 254.
  [[nodiscard]] uint32_t max_apic_id() const {
    return ApicId(vcpu_count() - 1);
  }
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_CPU_TOPOLOGY_H_
