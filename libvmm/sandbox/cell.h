// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_CELL_H_
#define LIBVMM_SANDBOX_CELL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/runtime/runtime_image.h"
#include "libvmm/sandbox/runtime/syscall_entry.h"

namespace libvmm::sandbox {

// The VM of a sandbox: one memory slot at gpa 0, one vCPU, and a record of which
// pages were written. It knows nothing of programs.
//
// Thread-safety: vCPU-thread.
// Ownership: move-only; owns VM, vCPU and memory.
// Errors: the kernel's, naming the call.
// Cost: Create is CREATE_VM, a slot, CREATE_VCPU and the vCPU's set-up; see
//     docs/performance.md.
class Cell {
 public:
  struct Model {
    const Kvm& kvm;
    const Cpuid& cpuid;
    const RuntimeCpu& cpu;
    SyscallEntry entry;
  };

  // A vCPU with CPUID, MSRs and XCR0 as the runtime needs them; general and
  // special registers are as after a processor's reset.
  static absl::StatusOr<Cell> Create(const Model& model, MemoryRegion memory);

  Cell(Cell&&) noexcept = default;
  Cell& operator=(Cell&&) noexcept = default;
  ~Cell() = default;

  [[nodiscard]] const Vm& vm() const { return vm_; }
  [[nodiscard]] Vcpu& vcpu() { return vcpu_; }
  // Keeps its address for as long as the VM lives.
  [[nodiscard]] GuestMemory& memory() { return memory_.guest_memory(); }
  // The slot's bytes; valid until ReplaceMemory.
  [[nodiscard]] std::span<std::byte> bytes() const { return region_.bytes(); }

  // Puts other memory of the same size in the place of the present one. KVM
  // forgets all that it derived from the old one. Nothing is dirty afterwards.
  absl::Status ReplaceMemory(MemoryRegion memory);

  // The memfd behind the memory; kFailedPrecondition for memory of another kind.
  absl::StatusOr<UniqueFd> DuplicateMemoryFd() const;

  // What was written through memory() is not dirty any more.
  void ForgetHostWrites() { dirty_->Clear(DirtyBitmap::Markers::kAreStopped); }

  // Calls `visit` for each page written since the last call, by the vCPU or
  // through memory(), lowest first. One ioctl (KVM_GET_DIRTY_LOG), whose cost
  // follows the pages that the vCPU wrote and, slowly, the size of memory. (A
  // dirty ring would follow the pages alone, but a KVM that emulates ring 0 was
  // seen to overrun it within one exit, and then pages are lost.)
  absl::Status CollectDirty(absl::FunctionRef<void(Gpa page)> visit);

 private:
  Cell(Vm vm, VmMemory memory, MemoryRegion region, Vcpu vcpu);

  absl::Status StartTracking();

  Vm vm_;
  VmMemory memory_;
  MemoryRegion region_;
  Vcpu vcpu_;
  std::shared_ptr<DirtyBitmap> dirty_;  // of memory_'s one region
  std::vector<uint64_t> words_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_CELL_H_
