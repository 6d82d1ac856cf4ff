// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IOCTL_H_
#define LIBVMM_KVM_IOCTL_H_

#include <concepts>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// A KVM request code and the name under which errors report it.
struct IoctlRequest {
  unsigned long code = 0;
  const char* name = "";
};

// The request of a KVM_ macro from abi.h: LIBVMM_IOCTL(KVM_SET_TSS_ADDR).
#define LIBVMM_IOCTL(name) (::libvmm::IoctlRequest{name, #name})

// One ioctl on a KVM descriptor: what every wrapper here is made of, and the
// way out for a call that libvmm does not wrap. Returns the call's result, zero
// or more. `argument` is what the request takes: a number, or a pointer to its
// struct, whose size and content nobody checks.
//
// Errors: ErrnoStatus of "ioctl(<name>)", or "ioctl(<name>, <detail>)" when
//     `detail` names the arguments that matter. EINTR is returned, not retried.
// Thread-safety: the kernel's. A vCPU request waits while the vCPU runs.
// Cost: one system call; an error allocates.
absl::StatusOr<int> CallIoctl(int fd, IoctlRequest request,
                              std::integral auto argument,
                              absl::string_view detail = {});
absl::StatusOr<int> CallIoctl(int fd, IoctlRequest request,
                              const void* argument,
                              absl::string_view detail = {});

namespace internal {

absl::StatusOr<int> CallIoctlWord(int fd, IoctlRequest request,
                                  uintptr_t argument, absl::string_view detail);

}  // namespace internal

absl::StatusOr<int> CallIoctl(int fd, IoctlRequest request,
                              std::integral auto argument,
                              absl::string_view detail) {
  return internal::CallIoctlWord(fd, request, static_cast<uintptr_t>(argument),
                                 detail);
}

inline absl::StatusOr<int> CallIoctl(int fd, IoctlRequest request,
                                     const void* argument,
                                     absl::string_view detail) {
  return internal::CallIoctlWord(fd, request,
                                 reinterpret_cast<uintptr_t>(argument), detail);
}

}  // namespace libvmm

#endif  // LIBVMM_KVM_IOCTL_H_
