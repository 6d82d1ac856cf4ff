// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/dirty_log.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

constexpr uint64_t kPagesPerWord = 64;

uint64_t PageCount(const MemorySlot& slot) {
  return slot.range().size / PageSize();
}

size_t WordCount(uint64_t page_count) {
  return static_cast<size_t>((page_count + kPagesPerWord - 1) / kPagesPerWord);
}

absl::Status CheckLogging(const MemorySlot& slot) {
  if (slot.log_dirty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("slot ", slot.id(), " does not log dirty pages"));
}

absl::Status CheckBuffer(size_t words, size_t needed) {
  if (words >= needed) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "dirty bitmap of ", words, " words, ", needed, " are needed"));
}

}  // namespace

size_t DirtyLogWordCount(const MemorySlot& slot) {
  return WordCount(PageCount(slot));
}

absl::Status GetDirtyLog(const MemorySlot& slot, std::span<uint64_t> bitmap) {
  LIBVMM_RETURN_IF_ERROR(CheckLogging(slot));
  LIBVMM_RETURN_IF_ERROR(CheckBuffer(bitmap.size(), DirtyLogWordCount(slot)));
  kvm_dirty_log argument = {};
  argument.slot = slot.kernel_slot();
  argument.dirty_bitmap = bitmap.data();
  return CallIoctl(slot.shared_vm_fd()->get(), LIBVMM_IOCTL(KVM_GET_DIRTY_LOG),
                   &argument, absl::StrCat("slot ", slot.id()))
      .status();
}

absl::Status ClearDirtyLog(const MemorySlot& slot, PageRange pages,
                           std::span<const uint64_t> bitmap) {
  LIBVMM_RETURN_IF_ERROR(CheckLogging(slot));
  const int vm = slot.shared_vm_fd()->get();
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm,
                        LIBVMM_CAPABILITY(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2))
          .status());
  const uint64_t page_count = PageCount(slot);
  const bool fits = RangeFits(page_count, pages.first, pages.count);
  if (!fits || pages.count == 0 || pages.count > UINT32_MAX ||
      pages.first % kPagesPerWord != 0 ||
      (pages.count % kPagesPerWord != 0 &&
       pages.first + pages.count != page_count)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pages ", pages.first, " +", pages.count, " of slot ", slot.id(),
        ", which has ", page_count, ", are not whole words of the log"));
  }
  LIBVMM_RETURN_IF_ERROR(CheckBuffer(bitmap.size(), WordCount(pages.count)));
  kvm_clear_dirty_log argument = {};
  argument.slot = slot.kernel_slot();
  argument.first_page = pages.first;
  argument.num_pages = static_cast<uint32_t>(pages.count);
  // The kernel only reads it.
  argument.dirty_bitmap = const_cast<uint64_t*>(bitmap.data());
  return CallIoctl(vm, LIBVMM_IOCTL(KVM_CLEAR_DIRTY_LOG), &argument,
                   absl::StrCat("slot ", slot.id(), ", pages ", pages.first,
                                " +", pages.count))
      .status();
}

absl::Status EnableManualDirtyLog(const Vm& vm, bool initially_set) {
  constexpr Capability kManual =
      LIBVMM_CAPABILITY(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
  LIBVMM_ASSIGN_OR_RETURN(const int offered,
                          RequireCapability(vm.fd(), kManual));
  uint64_t flags = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
  if (initially_set) {
    if ((offered & KVM_DIRTY_LOG_INITIALLY_SET) == 0) {
      return absl::UnimplementedError(
          "this KVM lacks KVM_DIRTY_LOG_INITIALLY_SET in "
          "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
    }
    flags |= KVM_DIRTY_LOG_INITIALLY_SET;
  }
  return EnableCapability(vm.fd(), kManual, {flags});
}

}  // namespace libvmm
