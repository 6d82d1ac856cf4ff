// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VM_MEMORY_H_
#define LIBVMM_KVM_VM_MEMORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/dirty_ring.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

// The memory of a VM, seen from both sides: each region has a memory slot for
// the guest and a place in a GuestMemory for devices, at the same address and
// for the same time. Slot ids are given out here.
//
//   LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
//   LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), ram));
//   Serial uart(memory.guest_memory(), ...);
//
// Thread-safety: thread-compatible. guest_memory() is thread-safe, and vCPUs
//     may run through all of it, but see MemorySlot about resizing.
// Ownership: move-only; owns slots and GuestMemory, keeps the VM's descriptor
//     open. guest_memory() keeps its address when this object moves.
// Errors: nothing is half done: an Add that fails leaves neither slot nor
//     place.
// Cost: MemorySlot's and GuestMemory's, and a search in a sorted list.
class VmMemory {
 public:
  struct AddOptions {
    // Guest writes exit as MMIO. Implied by a region that is read only.
    bool read_only = false;
    // See MemorySlot::Options.
    std::optional<MemorySlot::PrivateMemory> private_memory = std::nullopt;
  };

  // No memory, no slots. Ids of MemorySlots that others make are passed over.
  static absl::StatusOr<VmMemory> Create(const Vm& vm);

  VmMemory(VmMemory&&) noexcept;
  VmMemory& operator=(VmMemory&&) noexcept;
  ~VmMemory();

  // Places `region` at `gpa` for guest and devices. kAlreadyExists when a byte
  // of it has memory or is reserved; kInvalidArgument as MemorySlot::Create;
  // kResourceExhausted when the VM's slot ids are used up. While dirty tracking
  // is on, the new memory is tracked as well.
  absl::Status Add(Gpa gpa, MemoryRegion region, const AddOptions& options);
  absl::Status Add(Gpa gpa, MemoryRegion region) {
    return Add(gpa, std::move(region), AddOptions());
  }

  // Takes out the region that starts at `gpa`, from the guest first; kNotFound
  // when none does. The bytes stay mapped until GuestMemory::Reclaim. An error
  // of MemorySlot::Delete leaves the region with guest and devices.
  absl::Status Remove(Gpa gpa);

  // Keeps slots away from a range that KVM or a device uses (see vm_setup.h;
  // the APIC pages). kAlreadyExists when memory or a reservation is there.
  absl::Status Reserve(const GpaRange& range);

  // The devices' view; lives as long as this object.
  [[nodiscard]] GuestMemory& guest_memory() { return *guest_memory_; }
  [[nodiscard]] const GuestMemory& guest_memory() const {
    return *guest_memory_;
  }

  // The slots, lowest address first. The span is valid until the next change.
  [[nodiscard]] std::span<const MemorySlot> slots() const { return slots_; }

  // ---- Dirty pages, of guest and host together -----------------------------

  enum class DirtySource : uint8_t {
    kLog,        // KVM's bitmap of each slot
    kManualLog,  // the same on a VM where EnableManualDirtyLog was called
    kRing,       // the vCPUs' rings: the embedder brings entries to MarkDirty
  };

  // From now on all memory is tracked: what vCPUs write, in the slots that KVM
  // can log (not read-only ones, not those with a guest_memfd), and what is
  // written through guest_memory(). Make the first full copy after this call.
  // Each start takes fresh bitmaps, and each stop keeps the old ones, 32 KiB
  // for a GiB of memory, until GuestMemory::Reclaim.
  absl::Status StartDirtyTracking(DirtySource source);
  // When a slot's log cannot be switched off, tracking stays on and this can be
  // called again; of slots whose log is off by then, CollectDirty tells only
  // what was written through guest_memory().
  absl::Status StopDirtyTracking();

  // An entry that DirtyRing::Harvest gave, to be in the next CollectDirty.
  // False for a page that is not here. Makes no system call and does not
  // allocate.
  bool MarkDirty(const DirtyPage& page);

  // Calls `visit` for each tracked slot with dirty pages: `words` has the
  // layout of GetDirtyLog and is valid during the call. The pages are taken:
  // they come again only when written again. Returns the number of pages.
  //
  // With vCPUs and devices stopped the result is exact; while they run, a page
  // written meanwhile comes now or the next time. With kRing, harvest all rings
  // and call DirtyRings::Reset first. kFailedPrecondition unless tracking is
  // on. When the log of a slot cannot be had, pages of slots not yet visited
  // are left for the next time.
  absl::StatusOr<uint64_t> CollectDirty(
      absl::FunctionRef<void(const MemorySlot& slot,
                             std::span<const uint64_t> words)>
          visit);

 private:
  VmMemory(std::shared_ptr<const VmFd> vm, uint32_t slot_limit);

  // The lowest id that no slot of the VM has, with an entry in ranges_.
  absl::StatusOr<uint16_t> FindFreeId();
  absl::Status CheckFree(const GpaRange& range) const;
  absl::Status SetLogging(bool on);

  std::shared_ptr<const VmFd> vm_;
  uint32_t slot_limit_;
  std::unique_ptr<GuestMemory> guest_memory_;
  // After guest_memory_: the guest loses its memory first.
  std::vector<MemorySlot> slots_;
  // The slots' ranges by slot id; empty for an id that is free.
  std::vector<GpaRange> ranges_;
  std::vector<GpaRange> reserved_;
  std::optional<DirtySource> tracking_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_VM_MEMORY_H_
