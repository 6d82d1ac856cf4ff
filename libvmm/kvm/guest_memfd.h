// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_GUEST_MEMFD_H_
#define LIBVMM_KVM_GUEST_MEMFD_H_

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// A guest_memfd: memory that belongs to one VM (KVM_CREATE_GUEST_MEMFD). Ranges
// of it go behind memory slots; each range goes behind one slot only. Unless it
// is made mappable the host cannot touch it, which is its use for confidential
// guests.
//
// Thread-safety: immutable.
// Ownership: move-only; owns the descriptor, which is close-on-exec. The memory
//     lives until this and every slot made from it are gone.
// Errors: see Create.
// Cost: some system calls; pages are allocated on first use.
class GuestMemFd {
 public:
  struct Options {
    // Bytes, a multiple of the page size, not zero.
    uint64_t size = 0;
    // The host may map the file too (GUEST_MEMFD_FLAG_MMAP);
    // MemoryRegion::GuestMemfd does.
    bool mappable = false;
    // Pages start shared with the host (GUEST_MEMFD_FLAG_INIT_SHARED): a
    // mapping of pages that are not raises SIGBUS.
    bool initially_shared = false;
  };

  // kInvalidArgument for a size that cannot be; kUnimplemented names
  // KVM_CAP_GUEST_MEMFD, or the flag that this VM's KVM_CAP_GUEST_MEMFD_FLAGS
  // lacks.
  static absl::StatusOr<GuestMemFd> Create(const Vm& vm,
                                           const Options& options);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint64_t size() const { return size_; }

  // A second descriptor of the same memory, to be owned by a region.
  absl::StatusOr<UniqueFd> Duplicate() const { return fd_.Duplicate(); }

 private:
  GuestMemFd(UniqueFd fd, uint64_t size) : fd_(std::move(fd)), size_(size) {}

  UniqueFd fd_;
  uint64_t size_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_GUEST_MEMFD_H_
