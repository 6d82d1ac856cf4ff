// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_encryption.h"

#include <sys/ioctl.h>

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

kvm_enc_region Argument(std::span<std::byte> bytes) {
  return {.addr = reinterpret_cast<uintptr_t>(bytes.data()),
          .size = bytes.size()};
}

absl::Status TakeContext(const Vm& vm, const Vm& source,
                         Capability capability) {
  LIBVMM_RETURN_IF_ERROR(RequireCapability(vm.fd(), capability).status());
  return EnableCapability(vm.fd(), capability,
                          {static_cast<uint64_t>(source.fd())});
}

}  // namespace

absl::Status SevCommand(const Vm& vm, kvm_sev_cmd& command) {
  command.error = 0;
  const absl::Status status =
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_MEMORY_ENCRYPT_OP), &command,
                absl::StrCat("SEV command ", command.id))
          .status();
  if (status.ok() || command.error == 0) return status;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; firmware error ", command.error));
}

absl::Status MemoryEncryptOp(int fd, void* command) {
  return CallIoctl(fd, LIBVMM_IOCTL(KVM_MEMORY_ENCRYPT_OP), command).status();
}

absl::StatusOr<EncryptedRegion> EncryptedRegion::Create(
    const Vm& vm, std::span<std::byte> bytes) {
  const kvm_enc_region region = Argument(bytes);
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_MEMORY_ENCRYPT_REG_REGION), &region,
                absl::StrCat(bytes.size(), " bytes"))
          .status());
  return EncryptedRegion(vm.shared_fd(), bytes);
}

EncryptedRegion::EncryptedRegion(std::shared_ptr<const VmFd> vm,
                                 std::span<std::byte> bytes)
    : vm_(std::move(vm)), bytes_(bytes) {}

EncryptedRegion& EncryptedRegion::operator=(EncryptedRegion&& other) noexcept {
  if (this != &other) {
    Unregister();
    vm_ = std::move(other.vm_);
    bytes_ = other.bytes_;
  }
  return *this;
}

EncryptedRegion::~EncryptedRegion() { Unregister(); }

void EncryptedRegion::Unregister() {
  if (vm_ == nullptr) return;
  constexpr IoctlRequest kUnregister =
      LIBVMM_IOCTL(KVM_MEMORY_ENCRYPT_UNREG_REGION);
  const kvm_enc_region region = Argument(bytes_);
  // Cannot fail for a region that was registered.
  ::ioctl(vm_->get(), kUnregister.code, &region);
  vm_.reset();
}

absl::Status CopyEncryptionContext(const Vm& vm, const Vm& source) {
  return TakeContext(vm, source,
                     LIBVMM_CAPABILITY(KVM_CAP_VM_COPY_ENC_CONTEXT_FROM));
}

absl::Status MoveEncryptionContext(const Vm& vm, const Vm& source) {
  return TakeContext(vm, source,
                     LIBVMM_CAPABILITY(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM));
}

}  // namespace libvmm
