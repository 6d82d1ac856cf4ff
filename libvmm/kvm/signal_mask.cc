// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/signal_mask.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// The kernel's own sigset_t, shorter than the C library's; any other length is
// EINVAL.
constexpr size_t kKernelSigsetSize = 8;
static_assert(sizeof(sigset_t) >= kKernelSigsetSize);

// kvm_signal_mask with its array.
struct Request {
  uint32_t len;
  unsigned char sigset[kKernelSigsetSize];
};
static_assert(offsetof(Request, sigset) == sizeof(kvm_signal_mask));

}  // namespace

absl::Status SetRunSignalMask(const Vcpu& vcpu, const sigset_t& blocked) {
  Request request = {.len = kKernelSigsetSize, .sigset = {}};
  std::memcpy(request.sigset, &blocked, kKernelSigsetSize);
  return CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_SIGNAL_MASK), &request)
      .status();
}

absl::Status ClearRunSignalMask(const Vcpu& vcpu) {
  return CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_SIGNAL_MASK), nullptr)
      .status();
}

}  // namespace libvmm
