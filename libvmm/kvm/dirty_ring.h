// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_DIRTY_RING_H_
#define LIBVMM_KVM_DIRTY_RING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

class Vcpu;

// A page that a vCPU dirtied, as its ring reports it.
struct DirtyPage {
  uint16_t slot = 0;           // memory slot id
  uint16_t address_space = 0;  // 1 is system management mode's
  uint64_t page = 0;           // counted from the start of the slot
};

// One vCPU's ring of dirtied pages (KVM_CAP_DIRTY_LOG_RING). Where the bitmap
// makes a host look at every slot, the ring names the pages; its price is an
// exit (KVM_EXIT_DIRTY_RING_FULL) when it is full.
//
// Thread-safety: thread-compatible; the vCPU may run meanwhile.
// Ownership: move-only; owns the mapping. May outlive the Vcpu.
// Errors: none here; DirtyRings has them.
// Cost: Harvest makes no system call and is linear in the pages it reports.
class DirtyRing {
 public:
  // Hands each new entry to `page`, oldest first, and marks it for the next
  // DirtyRings::Reset; returns how many, at most one ring full. The page's
  // bytes may be read only after that Reset: a write before it makes no new
  // entry.
  size_t Harvest(absl::FunctionRef<void(const DirtyPage&)> page);

  // On entries of one's own instead of a vCPU's.
  explicit DirtyRing(Mapping entries) : entries_(std::move(entries)) {}

 private:
  Mapping entries_;
  // The next entry to look at; runs freely and wraps by the entry count.
  uint32_t next_ = 0;
};

// The dirty rings of a VM: switches them on and gives access to each vCPU's.
//
//   LIBVMM_ASSIGN_OR_RETURN(DirtyRings rings, DirtyRings::Enable(vm, 4096));
//   ...slots with dirty logging, vCPUs...
//   LIBVMM_ASSIGN_OR_RETURN(DirtyRing ring, rings.Open(vcpu));
//   ...on KVM_EXIT_DIRTY_RING_FULL, or at a checkpoint with vCPUs stopped:
//   ring.Harvest(...);
//   LIBVMM_RETURN_IF_ERROR(rings.Reset().status());
//   ...now copy the pages...
//
// Thread-safety: immutable; Reset is thread-safe.
// Ownership: move-only; keeps the VM's descriptor open.
// Errors: see Enable.
// Cost: one system call per operation; four or three for Reset.
class DirtyRings {
 public:
  // `entry_count` per vCPU, a power of two; KVM sets a least number, some
  // hundreds, as it needs room for what the processor buffers. Before any vCPU.
  // The bitmap calls (dirty_log.h) fail on this VM from now on (ENXIO).
  //   kInvalidArgument  not a power of two, too few, too many, or a vCPU
  //                     exists
  //   kUnimplemented    neither KVM_CAP_DIRTY_LOG_RING_ACQ_REL nor
  //                     KVM_CAP_DIRTY_LOG_RING
  static absl::StatusOr<DirtyRings> Enable(const Vm& vm, uint32_t entry_count);

  DirtyRings(DirtyRings&&) noexcept = default;
  DirtyRings& operator=(DirtyRings&&) noexcept = default;
  ~DirtyRings() = default;

  // The ring of a vCPU of this VM. Open it once: two readers of one ring would
  // each miss what the other took.
  absl::StatusOr<DirtyRing> Open(const Vcpu& vcpu) const;

  // KVM_RESET_DIRTY_RINGS: write-protects again what was harvested from any
  // ring and frees the entries; returns how many. All that was harvested before
  // the call is reset when it returns. vCPUs may go on dirtying: what nobody
  // has harvested is left alone, so the work is bounded. Signals of this thread
  // wait meanwhile.
  absl::StatusOr<uint64_t> Reset() const;

  [[nodiscard]] uint32_t entry_count() const { return entry_count_; }

 private:
  DirtyRings(std::shared_ptr<const VmFd> vm, uint32_t entry_count)
      : vm_(std::move(vm)), entry_count_(entry_count) {}

  std::shared_ptr<const VmFd> vm_;
  uint32_t entry_count_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_DIRTY_RING_H_
