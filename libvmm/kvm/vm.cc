// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// A signal can end KVM_CREATE_VM with EINTR. A program whose signals come
// faster than the kernel can make a VM gets the error in the end.
constexpr int kCreateAttempts = 100;

}  // namespace

bool VmFd::ClaimSlot(uint32_t kernel_slot) const {
  MutexLock lock(mutex_);
  const auto place = std::ranges::lower_bound(slots_, kernel_slot);
  if (place != slots_.end() && *place == kernel_slot) return false;
  slots_.insert(place, kernel_slot);
  return true;
}

void VmFd::ReleaseSlot(uint32_t kernel_slot) const {
  MutexLock lock(mutex_);
  std::erase(slots_, kernel_slot);
}

bool VmFd::IsSlotClaimed(uint32_t kernel_slot) const {
  MutexLock lock(mutex_);
  return std::ranges::binary_search(slots_, kernel_slot);
}

absl::StatusOr<Vm> Vm::Create(const Kvm& kvm, const VmOptions& options) {
  UniqueFd fd;
  for (int attempt = 0; attempt < kCreateAttempts && !fd.valid(); ++attempt) {
    fd = UniqueFd(::ioctl(kvm.fd(), KVM_CREATE_VM, options.type));
    if (!fd.valid() && errno != EINTR) break;
  }
  if (!fd.valid()) {
    return ErrnoStatus(
        errno, absl::StrCat("ioctl(KVM_CREATE_VM, type ", options.type, ")"));
  }
  return Vm(std::make_shared<const VmFd>(std::move(fd), kvm.vcpu_mmap_size()));
}

int Vm::CheckExtension(unsigned capability) const {
  const int value = ::ioctl(fd(), KVM_CHECK_EXTENSION, capability);
  return value < 0 ? 0 : value;
}

absl::Status Vm::EnableCap(const kvm_enable_cap& cap) const {
  return CallIoctl(
             fd(), LIBVMM_IOCTL(KVM_ENABLE_CAP), &cap,
             absl::StrCat("capability ", cap.cap, ", args[0] ", cap.args[0]))
      .status();
}

}  // namespace libvmm
