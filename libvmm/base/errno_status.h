// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_ERRNO_STATUS_H_
#define LIBVMM_BASE_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// A Status for a failed system call: "<what>: <errno name>: <errno text>".
// `what` names the call and its key arguments, as in "ioctl(KVM_SET_REGS)".
// `error` is the errno, not zero.
//
// The code says what the caller can do next. It is absl::ErrnoToStatusCode but
// for the answers that mean something else when they come from KVM:
//   ENOTTY, ENOSYS, EOPNOTSUPP -> kUnimplemented (this kernel lacks the call)
//   ENOMEM, EMFILE, ENFILE     -> kResourceExhausted
//   EBADF                      -> kFailedPrecondition
//   EIO                        -> kInternal (KVM: the VM is dead, or another
//                                 process made it)
// Callers that probe capabilities say themselves which one is missing.
//
// Thread-safety: thread-safe.
// Cost: allocates; never on a path that a guest can drive.
[[nodiscard]] absl::Status ErrnoStatus(int error, absl::string_view what);

// True when `status` is what ErrnoStatus makes of `error`. The code alone does
// not tell EINVAL from EFAULT and E2BIG, which are kInvalidArgument as well.
[[nodiscard]] bool IsErrno(const absl::Status& status, int error);

}  // namespace libvmm

#endif  // LIBVMM_BASE_ERRNO_STATUS_H_
