// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MSRS_H_
#define LIBVMM_KVM_MSRS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_msr_list;
struct kvm_msrs;

namespace libvmm {

// One model-specific register (Intel SDM volume 4) and a value for it.
struct Msr {
  uint32_t index = 0;
  uint64_t value = 0;

  friend constexpr bool operator==(const Msr&, const Msr&) = default;
};

// MSR numbers that this kernel deals with (struct kvm_msr_list).
//
// Thread-safety: immutable.
// Ownership: owns its numbers; move-only.
// Cost: two system calls to query.
class MsrList {
 public:
  // KVM_GET_MSR_INDEX_LIST on a /dev/kvm descriptor: the MSRs that save and
  // restore of a vCPU must carry. Banks of the machine-check registers are not
  // listed. `first_capacity` is the room of the first request; it grows as
  // needed.
  static absl::StatusOr<MsrList> QuerySaved(int kvm_fd,
                                            uint32_t first_capacity = 256);

  // KVM_GET_MSR_FEATURE_INDEX_LIST: MSRs that describe features of the host, to
  // be read by Msrs::ReadFeatures. kUnimplemented names
  // KVM_CAP_GET_MSR_FEATURES.
  static absl::StatusOr<MsrList> QueryFeatures(int kvm_fd,
                                               uint32_t first_capacity = 256);

  [[nodiscard]] std::span<const uint32_t> indices() const;
  [[nodiscard]] bool Contains(uint32_t index) const;

 private:
  explicit MsrList(internal::FlexBlock<kvm_msr_list> list);

  internal::FlexBlock<kvm_msr_list> list_;
};

// What to do about an MSR that the kernel refuses to read or write. A list made
// on one host holds MSRs that another does not know, and some are read-only.
enum class OnRefusedMsr {
  kFail,  // Stop at the first one; the Status names it.
  kSkip,  // Go on behind it; the result lists it.
};

// A set of MSRs with values, read from or written to a vCPU in as few calls as
// the kernel allows (255 MSRs each).
//
//   Msrs msrs(list.indices());
//   LIBVMM_ASSIGN_OR_RETURN(std::vector<uint32_t> lost,
//                           msrs.ReadFrom(vcpu, OnRefusedMsr::kSkip));
//
// Thread-safety: thread-compatible; a vCPU's MSRs as Vcpu.
// Ownership: a value; copies are independent.
// Errors: with kFail, kInvalidArgument names the refused MSR, how many were
//     done before it and, when writing, its value: those before it keep their
//     new values on the vCPU. Otherwise ErrnoStatus of the ioctl.
// Cost: one vCPU ioctl per 255 MSRs, and one more for each refused MSR; a copy
//     of the set on the heap.
class Msrs {
 public:
  // No MSRs.
  Msrs() = default;
  // These, with value zero, in this order.
  explicit Msrs(std::span<const uint32_t> indices);

  [[nodiscard]] std::span<const Msr> entries() const { return entries_; }
  [[nodiscard]] size_t size() const { return entries_.size(); }

  // The value held for an MSR; nothing when it is not in the set.
  [[nodiscard]] std::optional<uint64_t> Find(uint32_t index) const;
  // Changes the value of an MSR in the set, or appends it. The order is that of
  // writing, and can matter (TSC before TSC_DEADLINE).
  void Set(Msr msr);
  bool Remove(uint32_t index);

  // KVM_GET_MSRS: fills in the vCPU's values. Returns the refused MSRs, which
  // are removed from the set, so that it holds only values that were read; with
  // kFail the set is then unchanged.
  absl::StatusOr<std::vector<uint32_t>> ReadFrom(
      Vcpu& vcpu, OnRefusedMsr policy = OnRefusedMsr::kFail);

  // The same on a /dev/kvm descriptor, for the MSRs of MsrList::QueryFeatures.
  absl::StatusOr<std::vector<uint32_t>> ReadFeatures(
      int kvm_fd, OnRefusedMsr policy = OnRefusedMsr::kFail);

  // KVM_SET_MSRS: writes every MSR of the set, in order. Returns the refused
  // ones.
  absl::StatusOr<std::vector<uint32_t>> WriteTo(
      Vcpu& vcpu, OnRefusedMsr policy = OnRefusedMsr::kFail) const;

 private:
  std::vector<Msr> entries_;
};

// A set of MSRs laid out as the kernel takes it, for who writes the same values
// often.
//
// Thread-safety: thread-compatible; a vCPU's MSRs as Vcpu.
// Ownership: move-only; owns its copy of the values.
// Errors: kInvalidArgument names the first MSR that is refused, and its value:
//     those before it keep their new values. Otherwise ErrnoStatus of the
//     ioctl.
// Cost: one vCPU ioctl per 255 MSRs; no heap but for an error.
class PreparedMsrs {
 public:
  explicit PreparedMsrs(const Msrs& msrs);

  // KVM_SET_MSRS, in the order of the set.
  absl::Status WriteTo(Vcpu& vcpu) const;

 private:
  std::vector<internal::FlexBlock<kvm_msrs>> calls_;
};

// One MSR of a vCPU. kInvalidArgument when the kernel refuses it.
absl::StatusOr<uint64_t> GetMsr(Vcpu& vcpu, uint32_t index);
absl::Status SetMsr(Vcpu& vcpu, Msr msr);

}  // namespace libvmm

#endif  // LIBVMM_KVM_MSRS_H_
