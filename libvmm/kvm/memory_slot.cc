// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_slot.h"

#include <string>
#include <utility>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

#ifdef ABSL_HAVE_LEAK_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif

namespace libvmm {
namespace {

uint32_t KernelSlot(const MemorySlot::Options& options) {
  return (uint32_t{options.address_space} << 16) | options.id;
}

std::string Detail(const MemorySlot::Options& options, uint64_t size) {
  return absl::StrCat("slot ", options.id, ", gpa 0x",
                      absl::Hex(options.gpa.value()), ", size 0x",
                      absl::Hex(size));
}

absl::Status SetRegion(int vm, const MemorySlot::Options& options,
                       const MemoryRegion& region) {
  uint32_t flags = 0;
  if (options.log_dirty) flags |= KVM_MEM_LOG_DIRTY_PAGES;
  if (options.read_only) flags |= KVM_MEM_READONLY;
  const auto hva = reinterpret_cast<uintptr_t>(region.data());
  if (!options.private_memory.has_value()) {
    // Every kernel has this one.
    const kvm_userspace_memory_region argument = {
        .slot = KernelSlot(options),
        .flags = flags,
        .guest_phys_addr = options.gpa.value(),
        .memory_size = region.size(),
        .userspace_addr = hva};
    return CallIoctl(vm, LIBVMM_IOCTL(KVM_SET_USER_MEMORY_REGION), &argument,
                     Detail(options, region.size()))
        .status();
  }
  kvm_userspace_memory_region2 argument = {};
  argument.slot = KernelSlot(options);
  argument.flags = flags | KVM_MEM_GUEST_MEMFD;
  argument.guest_phys_addr = options.gpa.value();
  argument.memory_size = region.size();
  argument.userspace_addr = hva;
  argument.guest_memfd =
      static_cast<uint32_t>(options.private_memory->guest_memfd);
  argument.guest_memfd_offset = options.private_memory->offset;
  return CallIoctl(vm, LIBVMM_IOCTL(KVM_SET_USER_MEMORY_REGION2), &argument,
                   Detail(options, region.size()))
      .status();
}

// Leaks a handle on purpose: the mapping stays until the process ends.
void KeepForEver(MemoryRegion region) {
  [[maybe_unused]] const auto* const kept = new MemoryRegion(std::move(region));
#ifdef ABSL_HAVE_LEAK_SANITIZER
  __lsan_ignore_object(kept);
#endif
}

// Only what the kernel would answer with a bare EINVAL.
absl::Status Check(int vm, const MemoryRegion& region,
                   const MemorySlot::Options& options) {
  if (region.size() == 0) return absl::InvalidArgumentError("empty region");
  if (!options.gpa.IsAligned(PageSize())) {
    return absl::InvalidArgumentError(
        absl::StrCat("gpa 0x", absl::Hex(options.gpa.value()),
                     " is not a multiple of the page size"));
  }
  if (!GpaRange::Create(options.gpa, region.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat(Detail(options, region.size()), " reaches past 2^64"));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const int slot_count,
      RequireCapability(vm, LIBVMM_CAPABILITY(KVM_CAP_NR_MEMSLOTS)));
  if (options.id >= slot_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot id ", options.id, " is not below ", slot_count));
  }
  if (options.read_only) {
    LIBVMM_RETURN_IF_ERROR(
        RequireCapability(vm, LIBVMM_CAPABILITY(KVM_CAP_READONLY_MEM))
            .status());
  }
  if (!options.private_memory.has_value()) return absl::OkStatus();
  if (options.log_dirty || options.read_only) {
    return absl::InvalidArgumentError(
        "a slot with guest_memfd can be neither logged nor read only");
  }
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm, LIBVMM_CAPABILITY(KVM_CAP_GUEST_MEMFD)).status());
  return RequireCapability(vm, LIBVMM_CAPABILITY(KVM_CAP_USER_MEMORY2))
      .status();
}

}  // namespace

absl::StatusOr<MemorySlot> MemorySlot::Create(const Vm& vm, MemoryRegion region,
                                              const Options& options) {
  return Create(vm.shared_fd(), std::move(region), options);
}

absl::StatusOr<MemorySlot> MemorySlot::Create(std::shared_ptr<const VmFd> vm,
                                              MemoryRegion region,
                                              const Options& options) {
  Options effective = options;
  if (region.read_only()) effective.read_only = true;
  if (!effective.private_memory.has_value() && region.size() != 0 &&
      region.kind() == MemoryRegion::Kind::kGuestMemfd) {
    effective.private_memory = {.guest_memfd = region.fd(),
                                .offset = region.file_offset()};
  }
  LIBVMM_RETURN_IF_ERROR(Check(vm->get(), region, effective));
  const uint32_t kernel_slot = KernelSlot(effective);
  if (!vm->ClaimSlot(kernel_slot)) {
    return absl::AlreadyExistsError(
        absl::StrCat("slot id ", effective.id, " of address space ",
                     effective.address_space, " is in use"));
  }
  if (absl::Status status = SetRegion(vm->get(), effective, region);
      !status.ok()) {
    vm->ReleaseSlot(kernel_slot);
    return status;
  }
  return MemorySlot(std::move(vm), std::move(region), effective);
}

MemorySlot::MemorySlot(std::shared_ptr<const VmFd> vm, MemoryRegion region,
                       const Options& options)
    : vm_(std::move(vm)), region_(std::move(region)), options_(options) {}

MemorySlot& MemorySlot::operator=(MemorySlot&& other) noexcept {
  if (this != &other) {
    End();
    vm_ = std::move(other.vm_);
    region_ = std::move(other.region_);
    options_ = other.options_;
  }
  return *this;
}

MemorySlot::~MemorySlot() { End(); }

absl::Status MemorySlot::Change(const Options& options) {
  if (options_.private_memory.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "slot ", options_.id, " has a guest_memfd and cannot be changed"));
  }
  LIBVMM_RETURN_IF_ERROR(SetRegion(vm_->get(), options, region_));
  options_ = options;
  return absl::OkStatus();
}

absl::Status MemorySlot::MoveTo(Gpa gpa) {
  Options moved = options_;
  moved.gpa = gpa;
  return Change(moved);
}

absl::Status MemorySlot::SetDirtyLogging(bool on) {
  Options logged = options_;
  logged.log_dirty = on;
  return Change(logged);
}

absl::Status MemorySlot::Delete() {
  if (vm_ == nullptr) return absl::OkStatus();
  const kvm_userspace_memory_region argument = {.slot = KernelSlot(options_),
                                                .flags = 0,
                                                .guest_phys_addr = 0,
                                                .memory_size = 0,
                                                .userspace_addr = 0};
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_SET_USER_MEMORY_REGION), &argument,
                absl::StrCat("delete slot ", options_.id))
          .status());
  vm_->ReleaseSlot(KernelSlot(options_));
  vm_.reset();
  region_ = MemoryRegion();
  return absl::OkStatus();
}

void MemorySlot::End() {
  if (Delete().ok()) return;
  // The kernel has to allocate to delete a slot, and when it could not, KVM
  // goes on translating to these addresses. Whatever is mapped there next would
  // be the guest's to read and write.
  KeepForEver(std::move(region_));
  vm_.reset();
}

}  // namespace libvmm
