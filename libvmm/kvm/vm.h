// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VM_H_
#define LIBVMM_KVM_VM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/kvm.h"

struct kvm_enable_cap;

namespace libvmm {

// A VM's descriptor, shared by the Vm and by the objects that must still reach
// the VM when they end (a memory slot deletes itself, an irqfd deassigns
// itself). The number stays open, and so nobody else's, until the last of them
// is gone: they may die in any order. It also knows which memory slots the VM
// has: the kernel takes a second KVM_SET_USER_MEMORY_REGION of a slot as a
// change of it, so somebody has to keep two owners apart.
//
// Thread-safety: thread-safe.
// Cost: no heap until the first slot, then 4 bytes for each.
class VmFd {
 public:
  VmFd(UniqueFd fd, size_t vcpu_mmap_size)
      : fd_(std::move(fd)), vcpu_mmap_size_(vcpu_mmap_size) {}

  [[nodiscard]] int get() const { return fd_.get(); }
  // Kvm::vcpu_mmap_size of the system object that made the VM.
  [[nodiscard]] size_t vcpu_mmap_size() const { return vcpu_mmap_size_; }

  // Whether a Vcpu was ever made. Some kernels take settings that must precede
  // the first vCPU later too, and ignore them.
  void NoteVcpu() const { has_vcpu_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool has_vcpu() const {
    return has_vcpu_.load(std::memory_order_relaxed);
  }

  // Makes a slot the caller's, by its number in the kernel (address space above
  // id); false when it is somebody's already. Const as the VM's state is the
  // kernel's, not this object's.
  [[nodiscard]] bool ClaimSlot(uint32_t kernel_slot) const;
  // Ends a claim. A slot that the kernel still has is never released.
  void ReleaseSlot(uint32_t kernel_slot) const;
  [[nodiscard]] bool IsSlotClaimed(uint32_t kernel_slot) const;

 private:
  UniqueFd fd_;
  size_t vcpu_mmap_size_;
  mutable std::atomic<bool> has_vcpu_ = false;
  mutable Mutex mutex_;
  // In ascending order.
  mutable std::vector<uint32_t> slots_ ABSL_GUARDED_BY(mutex_);
};

struct VmOptions {
  // Machine type as KVM_CREATE_VM takes it: 0, or on x86 one of the types in
  // KVM_CAP_VM_TYPES (software-protected, SEV, TDX).
  unsigned long type = 0;
};

// A virtual machine (KVM_CREATE_VM): an address space, vCPUs and, if asked for,
// an in-kernel interrupt controller. This class is the descriptor and no more;
// memory slots, irqfds, routing, clock and the rest are objects of their own
// that take a Vm (see the headers beside this one).
//
// Thread-safety: thread-safe; the kernel serialises what it must.
// Ownership: move-only. The kernel frees the VM when the Vm, every Vcpu and
//     every object made from it are gone.
// Errors: see Create. After fork() the child cannot use it (EIO, kInternal).
// Cost: creation and destruction take some hundreds of microseconds in the
//     kernel.
class Vm {
 public:
  // kInvalidArgument when the kernel does not offer `options.type`;
  // kResourceExhausted without memory or descriptors. A signal that interrupts
  // the kernel's set-up is retried.
  static absl::StatusOr<Vm> Create(const Kvm& kvm,
                                   const VmOptions& options = {});

  Vm(Vm&&) noexcept = default;
  Vm& operator=(Vm&&) noexcept = default;
  ~Vm() = default;

  [[nodiscard]] int fd() const { return fd_->get(); }
  [[nodiscard]] const std::shared_ptr<const VmFd>& shared_fd() const {
    return fd_;
  }

  // KVM_CHECK_EXTENSION on the VM: the value of a KVM_CAP_ number for this VM;
  // 0 means absent. It can differ from the system's answer (X2APIC_API, XSAVE2,
  // guest memory).
  // Cost: one system call.
  [[nodiscard]] int CheckExtension(unsigned capability) const;

  // KVM_ENABLE_CAP: switches an opt-in capability on for the whole VM.
  // `cap.flags` must be zero. Most must precede the first vCPU.
  // kInvalidArgument is the kernel's answer both to a capability it cannot
  // enable and to bad arguments.
  absl::Status EnableCap(const kvm_enable_cap& cap) const;

 private:
  explicit Vm(std::shared_ptr<const VmFd> fd) : fd_(std::move(fd)) {}

  std::shared_ptr<const VmFd> fd_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_VM_H_
