// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_XSAVE_H_
#define LIBVMM_KVM_XSAVE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

struct kvm_xsave;

namespace libvmm {

// The x87 and vector state of a vCPU as an XSAVE image (Intel SDM volume 1,
// chapter 13, standard format): a 512-byte legacy part, a 64-byte header, and
// the extended parts that XCR0 names. The kernel moves as many bytes as
// the vCPU needs, which with AMX is more than struct kvm_xsave has. The image
// is as large as KVM_CAP_XSAVE2 says for the VM; the memory behind it takes all
// that the processor has, so that no call runs past it even when the process
// was permitted more features after the image was made.
//
// Thread-safety: thread-compatible; the vCPU as Vcpu.
// Ownership: move-only; owns the image, aligned to 64 bytes. It belongs to the
//     VM it was made for, or to another with the same size.
// Errors: kFailedPrecondition for a vCPU whose state is larger than the image,
//     as far as the kernel reports it; else ErrnoStatus of the ioctl.
// Cost: one vCPU ioctl per transfer and no heap but for an error; registers that
//     the Vcpu has cached or holds back stay so. 4 KiB of heap
//     for an image, 11 KiB with AMX.
class XsaveState {
 public:
  // An image of zeros. Processes that want AMX ask for it by arch_prctl(2)
  // before the first vCPU of any VM exists. kUnimplemented names KVM_CAP_XSAVE.
  static absl::StatusOr<XsaveState> Create(const Vm& vm);

  // Another image with the same bytes.
  [[nodiscard]] XsaveState Copy() const;

  // KVM_GET_XSAVE2, or KVM_GET_XSAVE where there is no larger state.
  absl::Status ReadFrom(Vcpu& vcpu);

  // KVM_SET_XSAVE. Belongs after CPUID and XCR0, which decide what is valid.
  // kInvalidArgument when the image has features that the vCPU has not.
  absl::Status WriteTo(Vcpu& vcpu) const;

  // The image, to be stored, compared or filled in.
  [[nodiscard]] std::span<std::byte> bytes();
  [[nodiscard]] std::span<const std::byte> bytes() const;

 private:
  XsaveState(internal::FlexBlock<kvm_xsave> image, size_t room, size_t size,
             bool has_xsave2);

  internal::FlexBlock<kvm_xsave> image_;
  // Of the memory, and of the image in it.
  size_t room_;
  size_t size_;
  bool has_xsave2_;
};

// The XSAVE features (bits of XCR0) that this process may give to guests:
// KVM_X86_XCOMP_GUEST_SUPP, an attribute of a /dev/kvm descriptor. What is
// missing from it against the host's needs arch_prctl(2). kUnimplemented names
// KVM_CAP_SYS_ATTRIBUTES.
absl::StatusOr<uint64_t> PermittedXsaveFeatures(int kvm_fd);

}  // namespace libvmm

#endif  // LIBVMM_KVM_XSAVE_H_
