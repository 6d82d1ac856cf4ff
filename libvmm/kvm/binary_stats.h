// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_BINARY_STATS_H_
#define LIBVMM_KVM_BINARY_STATS_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/stats_layout.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// The counters that KVM keeps about a VM or a vCPU (KVM_GET_STATS_FD,
// KVM_CAP_BINARY_STATS_FD): exits by kind, halts, page faults, TLB flushes.
// Which ones there are is the kernel's choice; they are found by name.
//
//   std::vector<uint64_t> values(stats.layout().value_count());
//   LIBVMM_RETURN_IF_ERROR(stats.Read(values));
//   const StatDescriptor* exits = stats.layout().Find("exits");
//   if (exits != nullptr) use(stats.Values(*exits, values)[0]);
//
// Thread-safety: thread-safe; counters may be read from any thread while the
//     vCPU runs, each value is then whole but they are not of one instant.
// Ownership: move-only; owns the statistics descriptor, which keeps the VM's
//     memory in the kernel.
// Errors: kUnimplemented names KVM_CAP_BINARY_STATS_FD; kDataLoss for a
//     description that makes no sense.
// Cost: opening reads the description once, some kilobytes; Read is one system
//     call without allocation.
class BinaryStats {
 public:
  static absl::StatusOr<BinaryStats> Open(const Vm& vm);
  static absl::StatusOr<BinaryStats> Open(const Vcpu& vcpu);

  // What there is; fixed for the life of the object.
  [[nodiscard]] const StatsLayout& layout() const { return layout_; }

  // Fills in the first layout().value_count() elements of `values`, all
  // statistics at once. kInvalidArgument when there is not room for them.
  absl::Status Read(std::span<uint64_t> values) const;

  // The part of what Read filled in that belongs to `descriptor`.
  [[nodiscard]] static std::span<const uint64_t> Values(
      const StatDescriptor& descriptor, std::span<const uint64_t> values) {
    return values.subspan(descriptor.first, descriptor.count);
  }

 private:
  BinaryStats(UniqueFd fd, StatsLayout layout, uint64_t data_offset);

  static absl::StatusOr<BinaryStats> OpenOn(int vm_or_vcpu_fd);

  UniqueFd fd_;
  StatsLayout layout_;
  uint64_t data_offset_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_BINARY_STATS_H_
