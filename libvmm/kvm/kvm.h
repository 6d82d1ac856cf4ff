// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_KVM_H_
#define LIBVMM_KVM_KVM_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/features.h"

namespace libvmm {

// The KVM system object: an open /dev/kvm (Linux
// Documentation/virt/kvm/api.rst, "system ioctls"). Everything starts here;
// nothing needs it afterwards, so it may be closed once the VMs are made.
//
//   LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
//   LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
//
// Thread-safety: thread-safe after Open.
// Ownership: move-only; owns its descriptor and the cached CPUID.
// Errors: Open says in a sentence what the user can do about a missing or
//     closed device.
// Cost: Open is about 130 short system calls (version, run-page size and one
//     look at every capability), tens of microseconds in all.
class Kvm {
 public:
  // Opens `path` for reading and writing.
  //   kNotFound          no such device: the module is not loaded
  //   kPermissionDenied  the user may not open it
  //   kInvalidArgument   the path is not a KVM device
  //   kUnimplemented     a KVM with another ABI than 12
  static absl::StatusOr<Kvm> Open(absl::string_view path = "/dev/kvm");

  // The same with a descriptor that was opened elsewhere, for example before
  // privileges were dropped.
  static absl::StatusOr<Kvm> Adopt(UniqueFd fd);

  [[nodiscard]] int fd() const { return fd_.get(); }

  // KVM_CHECK_EXTENSION: the value of a KVM_CAP_ number; 0 means absent. Many
  // values are counts, sizes or masks. What differs per VM is asked of the Vm.
  // Cost: one system call.
  [[nodiscard]] int CheckExtension(unsigned capability) const;

  // What this KVM can do, as probed at Open.
  [[nodiscard]] const Features& features() const { return features_; }

  // KVM_GET_VCPU_MMAP_SIZE: bytes of a vCPU's shared pages, kvm_run first.
  [[nodiscard]] size_t vcpu_mmap_size() const { return vcpu_mmap_size_; }

  // KVM_GET_SUPPORTED_CPUID: the leaves that host and KVM can give a guest.
  // Asked of the kernel at the first call and kept, since the call can cost as
  // much as starting a VM. The list lives as long as this object.
  absl::StatusOr<const Cpuid*> SupportedCpuid() const;

 private:
  struct CpuidCache;

  Kvm(UniqueFd fd, size_t vcpu_mmap_size, const Features& features);

  UniqueFd fd_;
  size_t vcpu_mmap_size_;
  Features features_;
  // On the heap so that the list stays where it is when a Kvm moves.
  struct CpuidCacheDeleter {
    void operator()(CpuidCache* cache) const;
  };
  std::unique_ptr<CpuidCache, CpuidCacheDeleter> cpuid_cache_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_KVM_H_
