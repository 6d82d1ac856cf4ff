// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_CPUID_H_
#define LIBVMM_KVM_CPUID_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/ioctl.h"

struct kvm_cpuid2;
struct kvm_cpuid_entry2;

namespace libvmm {

// One answer of the CPUID instruction is chosen by EAX and, for some leaves,
// ECX.
struct CpuidLeaf {
  uint32_t function = 0;  // EAX
  uint32_t index = 0;     // ECX; ignored by leaves that do not depend on it.

  friend constexpr bool operator==(const CpuidLeaf&,
                                   const CpuidLeaf&) = default;
};

enum class CpuidRegister : uint8_t { kEax, kEbx, kEcx, kEdx };

// A list of CPUID answers (struct kvm_cpuid2, KVM API 4.20 "KVM_SET_CPUID2"):
// what host and KVM can give, or what one vCPU's guest sees. The usual way is
// to copy the supported list, edit the copy, give it the vCPU's APIC id and set
// it:
//
//   Cpuid cpuid = **kvm.SupportedCpuid();
//   cpuid.ClearBits({.function = 1}, CpuidRegister::kEcx, kHypervisorBit);
//   cpuid.SetApicId(vcpu_id);
//   SetCpuid(vcpu, cpuid);            // vcpu_cpuid.h
//
// An entry with KVM_CPUID_FLAG_SIGNIFCANT_INDEX answers one index, an entry
// without it answers every index of its function. The first match wins, as in
// the kernel.
//
// Thread-safety: thread-compatible value.
// Ownership: owns its entries on the heap; copies are independent. Pointers and
//     spans into it end with the next change of the list.
// Errors: only the queries fail, and they name the call.
// Cost: look-ups walk the list, which has some tens of entries. The queries
//     walk the host's CPUID, 8 microseconds an instruction inside a virtual
//     machine: ask once (Kvm::SupportedCpuid does) and copy.
class Cpuid {
 public:
  // Room of the first request of a query. Lists that need more make the kernel
  // answer E2BIG, and the query asks again with twice the room.
  static constexpr uint32_t kFirstCapacity = 256;

  // No entries: a guest that sees zeros everywhere.
  Cpuid() = default;
  Cpuid(const Cpuid& other);
  Cpuid& operator=(const Cpuid& other);
  Cpuid(Cpuid&& other) noexcept;
  Cpuid& operator=(Cpuid&& other) noexcept;
  ~Cpuid() = default;

  // KVM_GET_SUPPORTED_CPUID on a /dev/kvm descriptor: what may be given to a
  // guest on this host. Features that need XSAVE permission (AMX) are in it
  // only when the process asked for them by arch_prctl(2) before.
  static absl::StatusOr<Cpuid> QuerySupported(
      int kvm_fd, uint32_t first_capacity = kFirstCapacity);

  // KVM_GET_EMULATED_CPUID: feature bits that KVM emulates although the host
  // lacks them, slowly. Never set unless asked for.
  static absl::StatusOr<Cpuid> QueryEmulated(
      int kvm_fd, uint32_t first_capacity = kFirstCapacity);

  // KVM_GET_SUPPORTED_HV_CPUID: the Hyper-V leaves (0x40000000 and up), on a
  // /dev/kvm descriptor or, with older kernels, on a vCPU's. kUnimplemented
  // names KVM_CAP_SYS_HYPERV_CPUID where this KVM has no Hyper-V emulation.
  static absl::StatusOr<Cpuid> QueryHyperV(
      int kvm_or_vcpu_fd, uint32_t first_capacity = kFirstCapacity);

  // What a vCPU descriptor was given; vcpu_cpuid.h has it for a Vcpu.
  static absl::StatusOr<Cpuid> QueryVcpu(
      int vcpu_fd, uint32_t first_capacity = kFirstCapacity);

  [[nodiscard]] size_t size() const;
  [[nodiscard]] std::span<const kvm_cpuid_entry2> entries() const;
  // The list as the kernel takes it; never null.
  [[nodiscard]] const kvm_cpuid2* get() const;

  // The entry that answers `leaf`; null when none does.
  [[nodiscard]] const kvm_cpuid_entry2* Find(CpuidLeaf leaf) const;

  // Puts `entry` in the place of the one that answers its function and index,
  // or appends it. Its flags say whether the index counts.
  void Set(const kvm_cpuid_entry2& entry);
  // Removes the entry that answers `leaf`; false when there is none. The guest
  // then reads zeros, or the highest basic leaf on Intel.
  bool Remove(CpuidLeaf leaf);
  // Removes every entry of `function`; returns how many there were.
  size_t RemoveFunction(uint32_t function);

  // Sets or clears the bits of `mask` in one register of the entry that answers
  // `leaf`. False when no entry does: nothing is added.
  bool SetBits(CpuidLeaf leaf, CpuidRegister which, uint32_t mask);
  bool ClearBits(CpuidLeaf leaf, CpuidRegister which, uint32_t mask);

  // Writes a vCPU's APIC id, which is its KVM id, where the guest looks for it:
  // leaf 1 EBX[31:24] (the low 8 bits), leaves 0xB and 0x1F EDX at every level,
  // leaf 0x8000001E EAX. Leaves that are not in the list are not added; the
  // shape of the topology (threads per core, cores per package) stays as it is.
  void SetApicId(uint32_t apic_id);

 private:
  static absl::StatusOr<Cpuid> Query(int fd, IoctlRequest request,
                                     uint32_t first_capacity);

  kvm_cpuid_entry2* FindMutable(CpuidLeaf leaf);
  void Reserve(size_t capacity);

  // Null until there is an entry or room for one; `nent` counts the entries.
  internal::FlexBlock<kvm_cpuid2> list_;
  size_t capacity_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_CPUID_H_
