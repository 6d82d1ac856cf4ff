// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MEMORY_SLOT_H_
#define LIBVMM_KVM_MEMORY_SLOT_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

// A memory slot: a region of host memory that the guest sees at a
// guest-physical address (KVM_SET_USER_MEMORY_REGION). The slot is there as
// long as this object. VmMemory keeps many, with their ids, beside a
// GuestMemory.
//
// Size and host memory never change. Whoever wants another size deletes the
// slot and makes one; a vCPU that runs meanwhile meets a hole, so park them
// first.
//
// Thread-safety: thread-compatible; vCPUs may run. The kernel serialises slots.
// Ownership: move-only; holds a handle on the region, so memory cannot go while
//     the guest has it, and keeps the VM's descriptor open. The destructor
//     deletes the slot; afterwards the guest cannot reach the bytes. When the
//     kernel refuses (it has no memory left), the guest still can: the
//     destructor then keeps the region mapped for ever and the slot taken. To
//     hear of that and try again, call Delete.
// Errors: kAlreadyExists for an overlap with another slot; kInvalidArgument for
//     what the kernel cannot take (see Create); kUnimplemented names the
//     capability.
// Cost: one or two system calls per operation, some tens of microseconds; where
//     KVM shadows page tables, deleting and moving drop all of them.
class MemorySlot {
 public:
  // Memory that only the guest may touch, behind the slot's private pages (see
  // memory_attributes.h): a range of a guest_memfd as long as the region. Lent
  // for the call, the kernel keeps the file.
  struct PrivateMemory {
    int guest_memfd = -1;
    uint64_t offset = 0;  // bytes, a multiple of the page size
  };

  struct Options {
    // Not in use by another slot of the VM, below KVM_CAP_NR_MEMSLOTS.
    uint16_t id = 0;
    // 1 is system management mode's, where KVM_CAP_MULTI_ADDRESS_SPACE is 2.
    uint16_t address_space = 0;
    Gpa gpa = Gpa();
    // Log pages that the guest dirties (dirty_log.h, dirty_ring.h).
    bool log_dirty = false;
    // Guest writes exit as MMIO. Implied by a region that is read only.
    bool read_only = false;
    // A region that is a mapped guest_memfd goes behind its own slot by itself.
    std::optional<PrivateMemory> private_memory = std::nullopt;
  };

  // kInvalidArgument: the address is not page aligned, the region is empty or
  // reaches past the guest's physical addresses, the id is too high; a
  // guest_memfd with dirty logging or read only, which KVM cannot do.
  // kAlreadyExists: the range overlaps a slot, or a MemorySlot of this VM has
  // the id in this address space. A slot that was made by a bare ioctl is not
  // seen: the kernel would change it, or answer kInvalidArgument.
  static absl::StatusOr<MemorySlot> Create(const Vm& vm, MemoryRegion region,
                                           const Options& options);
  // The same for an object that keeps only the descriptor of its VM.
  static absl::StatusOr<MemorySlot> Create(std::shared_ptr<const VmFd> vm,
                                           MemoryRegion region,
                                           const Options& options);

  MemorySlot(MemorySlot&&) noexcept = default;
  MemorySlot& operator=(MemorySlot&& other) noexcept;
  ~MemorySlot();

  // Changes the guest-physical address. The region keeps its bytes and the slot
  // its log. kFailedPrecondition with a guest_memfd.
  absl::Status MoveTo(Gpa gpa);

  // Switches dirty logging. Off forgets the log; on starts it empty (or full,
  // see EnableManualDirtyLog). kFailedPrecondition with a guest_memfd.
  absl::Status SetDirtyLogging(bool on);

  // Deletes the slot now and lets go of the region; id and address space are
  // free for others. On an error, which only the kernel's own lack of memory
  // can cause (kResourceExhausted) or use after fork(2) (kInternal), the slot
  // is as it was. Afterwards this object is as one moved from.
  absl::Status Delete();

  [[nodiscard]] uint16_t id() const { return options_.id; }
  [[nodiscard]] uint16_t address_space() const {
    return options_.address_space;
  }
  // `slot` of kvm_dirty_log and its like: address space above id.
  [[nodiscard]] uint32_t kernel_slot() const {
    return (uint32_t{options_.address_space} << 16) | options_.id;
  }
  [[nodiscard]] GpaRange range() const {
    return {options_.gpa, region_.size()};
  }
  [[nodiscard]] const MemoryRegion& region() const { return region_; }
  [[nodiscard]] bool log_dirty() const { return options_.log_dirty; }
  [[nodiscard]] bool read_only() const { return options_.read_only; }
  [[nodiscard]] bool has_guest_memfd() const {
    return options_.private_memory.has_value();
  }
  [[nodiscard]] const std::shared_ptr<const VmFd>& shared_vm_fd() const {
    return vm_;
  }

 private:
  MemorySlot(std::shared_ptr<const VmFd> vm, MemoryRegion region,
             const Options& options);

  absl::Status Change(const Options& options);
  // What the destructor does.
  void End();

  // Null when moved from or deleted.
  std::shared_ptr<const VmFd> vm_;
  MemoryRegion region_;
  Options options_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_MEMORY_SLOT_H_
