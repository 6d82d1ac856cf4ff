// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/dirty_ring.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <atomic>
#include <bit>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {
namespace {

// Keeps this thread's signals waiting for a scope.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

size_t DirtyRing::Harvest(absl::FunctionRef<void(const DirtyPage&)> page) {
  const size_t entry_count = entries_.size() / sizeof(kvm_dirty_gfn);
  auto* const entries = reinterpret_cast<kvm_dirty_gfn*>(entries_.data());
  size_t count = 0;
  for (; count < entry_count; ++count) {
    kvm_dirty_gfn& entry = entries[next_ & (entry_count - 1)];
    std::atomic_ref<uint32_t> flags(entry.flags);
    // Pairs with the kernel's release of an entry that it has filled.
    if (flags.load(std::memory_order_acquire) != KVM_DIRTY_GFN_F_DIRTY) break;
    const DirtyPage dirty = {
        .slot = static_cast<uint16_t>(entry.slot),
        .address_space = static_cast<uint16_t>(entry.slot >> 16),
        .page = entry.offset};
    // Pairs with the kernel's acquire in KVM_RESET_DIRTY_RINGS: our reads of
    // the entry are done.
    flags.store(KVM_DIRTY_GFN_F_RESET, std::memory_order_release);
    ++next_;
    page(dirty);
  }
  return count;
}

absl::StatusOr<DirtyRings> DirtyRings::Enable(const Vm& vm,
                                              uint32_t entry_count) {
  constexpr Capability kAcquireRelease =
      LIBVMM_CAPABILITY(KVM_CAP_DIRTY_LOG_RING_ACQ_REL);
  constexpr Capability kPlain = LIBVMM_CAPABILITY(KVM_CAP_DIRTY_LOG_RING);
  Capability capability = kAcquireRelease;
  int max_bytes = vm.CheckExtension(kAcquireRelease.number);
  if (max_bytes == 0) {
    // Before 6.1 there was only this one; on x86 it means the same.
    capability = kPlain;
    LIBVMM_ASSIGN_OR_RETURN(max_bytes, RequireCapability(vm.fd(), kPlain));
  }
  const uint64_t max_count = max_bytes / sizeof(kvm_dirty_gfn);
  if (!std::has_single_bit(entry_count) || entry_count > max_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("entry_count ", entry_count,
                     " is not a power of two of at most ", max_count));
  }
  const uint64_t bytes = uint64_t{entry_count} * sizeof(kvm_dirty_gfn);
  LIBVMM_RETURN_IF_ERROR(EnableCapability(vm.fd(), capability, {bytes}));
  return DirtyRings(vm.shared_fd(), entry_count);
}

absl::StatusOr<DirtyRing> DirtyRings::Open(const Vcpu& vcpu) const {
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping entries,
      Mapping::Create({.size = size_t{entry_count_} * sizeof(kvm_dirty_gfn),
                       .flags = MAP_SHARED,
                       .fd = vcpu.fd(),
                       .offset = static_cast<off_t>(KVM_DIRTY_LOG_PAGE_OFFSET *
                                                    PageSize())}));
  return DirtyRing(std::move(entries));
}

absl::StatusOr<uint64_t> DirtyRings::Reset() const {
  // From Linux 6.16 on the kernel ends early when a signal is pending, and
  // returns the number so far, which is zero when it had not begun: not to be
  // told from being done. Blocked signals do not count as pending.
  constexpr IoctlRequest kReset = LIBVMM_IOCTL(KVM_RESET_DIRTY_RINGS);
  const SignalsBlocked signals_blocked;
  uint64_t total = 0;
  // What can end a round early even so (a stop of the process, task work of the
  // kernel) is over when the next round begins. Each round but the last frees
  // entries that were harvested, and nobody harvests in here.
  while (true) {
    const int count = ::ioctl(vm_->get(), kReset.code, 0);
    if (count == 0) return total;
    if (count > 0) {
      total += static_cast<uint64_t>(count);
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("ioctl(", kReset.name, ")"));
    }
  }
}

}  // namespace libvmm
