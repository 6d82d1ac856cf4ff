// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/guest_memfd.h"

#include <fcntl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<GuestMemFd> GuestMemFd::Create(const Vm& vm,
                                              const Options& options) {
  if (options.size == 0 || options.size % PageSize() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("size ", options.size, " is not a number of pages"));
  }
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_GUEST_MEMFD))
          .status());
  kvm_create_guest_memfd argument = {};
  argument.size = options.size;
  if (options.mappable) argument.flags |= GUEST_MEMFD_FLAG_MMAP;
  if (options.initially_shared) argument.flags |= GUEST_MEMFD_FLAG_INIT_SHARED;
  const auto offered =
      static_cast<uint64_t>(vm.CheckExtension(KVM_CAP_GUEST_MEMFD_FLAGS));
  if ((argument.flags & ~offered) != 0) {
    return absl::UnimplementedError(absl::StrCat(
        "this KVM lacks guest_memfd flags 0x",
        absl::Hex(argument.flags & ~offered), " in KVM_CAP_GUEST_MEMFD_FLAGS"));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const int number,
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_GUEST_MEMFD), &argument,
                absl::StrCat("size ", options.size)));
  UniqueFd fd(number);
  // The only descriptor of KVM's that is made without it. A program started by
  // another thread before this line inherits the file all the same.
  if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "fcntl(F_SETFD, FD_CLOEXEC)");
  }
  return GuestMemFd(std::move(fd), options.size);
}

}  // namespace libvmm
