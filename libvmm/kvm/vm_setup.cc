// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_setup.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t k4GiB = uint64_t{1} << 32;
// Where the processor and KVM_CREATE_IRQCHIP put them.
constexpr GpaRange kLocalApic = {Gpa(0xfee00000), kPage};
constexpr GpaRange kIoApic = {Gpa(0xfec00000), kPage};

// Shadow-page backends take any address, even over RAM or the APIC; VMX then
// fails at run time. Refused alike everywhere.
absl::Status CheckPlace(const char* what, Gpa gpa, uint64_t size) {
  const GpaRange range = {gpa, size};
  if (gpa.IsAligned(kPage) && RangeFits(k4GiB, gpa.value(), size) &&
      !range.Overlaps(kLocalApic) && !range.Overlaps(kIoApic)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " at 0x", absl::Hex(gpa.value()),
                   " is not page aligned, not below 4 GiB, or covers an APIC"));
}

}  // namespace

absl::Status SetTssAddress(const Vm& vm, Gpa gpa) {
  LIBVMM_RETURN_IF_ERROR(CheckPlace("the task state segment", gpa, kTssSize));
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_SET_TSS_ADDR))
          .status());
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_TSS_ADDR), gpa.value(),
                   absl::StrCat("0x", absl::Hex(gpa.value())))
      .status();
}

absl::Status SetIdentityMapAddress(const Vm& vm, Gpa gpa) {
  LIBVMM_RETURN_IF_ERROR(CheckPlace("the identity map", gpa, kIdentityMapSize));
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(),
                        LIBVMM_CAPABILITY(KVM_CAP_SET_IDENTITY_MAP_ADDR))
          .status());
  const __u64 address = gpa.value();
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_IDENTITY_MAP_ADDR), &address,
                   absl::StrCat("0x", absl::Hex(gpa.value())))
      .status();
}

absl::Status SetBootVcpuId(const Vm& vm, uint32_t vcpu_id) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_SET_BOOT_CPU_ID))
          .status());
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_BOOT_CPU_ID), vcpu_id,
                   absl::StrCat("vCPU ", vcpu_id))
      .status();
}

absl::Status SetMmuPageLimit(const Vm& vm, uint32_t page_count) {
  constexpr Capability kControl =
      LIBVMM_CAPABILITY(KVM_CAP_MMU_SHADOW_CACHE_CONTROL);
  LIBVMM_RETURN_IF_ERROR(RequireCapability(vm.fd(), kControl).status());
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_NR_MMU_PAGES), page_count,
                   absl::StrCat(page_count, " pages"))
      .status();
}

absl::StatusOr<uint32_t> GetMmuPageLimit(const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int count,
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_GET_NR_MMU_PAGES), 0));
  return static_cast<uint32_t>(count);
}

absl::Status SetVmTscKhz(const Vm& vm, uint32_t khz) {
  // The kernel reads zero as "the host's frequency"; a caller who means that
  // has no need to call.
  if (khz == 0) return absl::InvalidArgumentError("TSC frequency of 0 kHz");
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_VM_TSC_CONTROL))
          .status());
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_TSC_KHZ), khz,
                   absl::StrCat(khz, " kHz"))
      .status();
}

absl::StatusOr<uint32_t> GetVmTscKhz(const Vm& vm) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_VM_TSC_CONTROL))
          .status());
  LIBVMM_ASSIGN_OR_RETURN(const int khz,
                          CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_GET_TSC_KHZ), 0));
  return static_cast<uint32_t>(khz);
}

}  // namespace libvmm
