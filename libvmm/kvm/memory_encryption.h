// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MEMORY_ENCRYPTION_H_
#define LIBVMM_KVM_MEMORY_ENCRYPTION_H_

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vm.h"

struct kvm_sev_cmd;

namespace libvmm {

// Guests whose memory the host cannot read: AMD SEV, SEV-ES and SEV-SNP, Intel
// TDX (Linux Documentation/virt/kvm/x86, amd-memory-encryption.rst and
// intel-tdx.rst). What exists depends on processor, firmware and VM type;
// KVM_CAP_VM_TYPES tells the types. Without them every call here is
// kUnimplemented (ENOTTY).

// KVM_MEMORY_ENCRYPT_OP with an SEV command: `command.id` is a KVM_SEV_ number,
// `command.data` the address of its struct, `command.sev_fd` an open /dev/sev.
// An error of the firmware is left in `command.error` and named in the Status.
//
// Thread-safety: thread-safe.
// Cost: one system call, which can take long.
absl::Status SevCommand(const Vm& vm, kvm_sev_cmd& command);

// The same call with a platform's own command, such as a kvm_tdx_cmd, on a VM's
// or a vCPU's descriptor. The struct is not checked.
absl::Status MemoryEncryptOp(int fd, void* command);

// Host memory pinned because encrypted guest data cannot be moved
// (KVM_MEMORY_ENCRYPT_REG_REGION).
//
// Thread-safety: thread-compatible.
// Ownership: move-only; the destructor unpins. The memory stays the caller's,
//     and stays mapped for so long.
// Errors: kUnimplemented (ENOTTY) on a VM that is not of such a type;
//     kResourceExhausted beyond RLIMIT_MEMLOCK.
// Cost: one system call, linear in the pages.
class EncryptedRegion {
 public:
  static absl::StatusOr<EncryptedRegion> Create(const Vm& vm,
                                                std::span<std::byte> bytes);

  EncryptedRegion(EncryptedRegion&&) noexcept = default;
  EncryptedRegion& operator=(EncryptedRegion&& other) noexcept;
  ~EncryptedRegion();

 private:
  EncryptedRegion(std::shared_ptr<const VmFd> vm, std::span<std::byte> bytes);

  void Unregister();

  // Null when moved from.
  std::shared_ptr<const VmFd> vm_;
  std::span<std::byte> bytes_;
};

// KVM_CAP_VM_COPY_ENC_CONTEXT_FROM: `vm` shares the encryption key of `source`,
// as a helper VM beside it does. kUnimplemented names the capability.
absl::Status CopyEncryptionContext(const Vm& vm, const Vm& source);

// KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM: `vm` takes over the key and state of
// `source`, which is of no further use (migration inside one host).
absl::Status MoveEncryptionContext(const Vm& vm, const Vm& source);

}  // namespace libvmm

#endif  // LIBVMM_KVM_MEMORY_ENCRYPTION_H_
