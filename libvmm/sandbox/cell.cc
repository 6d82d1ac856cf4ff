// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/cell.h"

#include <fcntl.h>

#include <bit>
#include <cerrno>
#include <span>
#include <utility>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"

namespace libvmm::sandbox {
namespace {

constexpr Gpa kMemoryStart{0};

absl::Status SetUpVcpu(const Cell::Model& model, Vcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, model.cpuid));
  Msrs msrs;
  for (const Msr& msr : RuntimeMsrs(model.entry)) msrs.Set(msr);
  LIBVMM_RETURN_IF_ERROR(msrs.WriteTo(vcpu).status());
  if (!model.cpu.xsave) return absl::OkStatus();
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].xcr = 0;
  xcrs.xcrs[0].value = model.cpu.xcr0;
  return SetVcpuState(vcpu, xcrs);
}

}  // namespace

absl::StatusOr<Cell> Cell::Create(const Model& model, MemoryRegion memory) {
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(model.kvm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory vm_memory, VmMemory::Create(vm));
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_RETURN_IF_ERROR(SetUpVcpu(model, vcpu));
  Cell cell(std::move(vm), std::move(vm_memory), std::move(memory),
            std::move(vcpu));
  LIBVMM_RETURN_IF_ERROR(cell.StartTracking());
  return cell;
}

Cell::Cell(Vm vm, VmMemory memory, MemoryRegion region, Vcpu vcpu)
    : vm_(std::move(vm)),
      memory_(std::move(memory)),
      region_(std::move(region)),
      vcpu_(std::move(vcpu)) {}

absl::Status Cell::StartTracking() {
  // Tracking first: the slot is then made with its log on, in one call.
  LIBVMM_RETURN_IF_ERROR(
      memory_.StartDirtyTracking(VmMemory::DirtySource::kLog));
  LIBVMM_RETURN_IF_ERROR(memory_.Add(kMemoryStart, region_));
  dirty_ = memory_.guest_memory().Regions().front().dirty;
  words_.assign(dirty_->word_count(), 0);
  return absl::OkStatus();
}

absl::Status Cell::ReplaceMemory(MemoryRegion memory) {
  LIBVMM_RETURN_IF_ERROR(memory_.Remove(kMemoryStart));
  region_ = std::move(memory);
  LIBVMM_RETURN_IF_ERROR(memory_.Add(kMemoryStart, region_));
  memory_.guest_memory().Reclaim();
  dirty_ = memory_.guest_memory().Regions().front().dirty;
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Cell::DuplicateMemoryFd() const {
  if (region_.fd() < 0) {
    return absl::FailedPreconditionError("the memory has no descriptor");
  }
  const int fd = ::fcntl(region_.fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "fcntl(F_DUPFD_CLOEXEC)");
  return UniqueFd(fd);
}

absl::Status Cell::CollectDirty(absl::FunctionRef<void(Gpa page)> visit) {
  // The kernel writes all the words.
  LIBVMM_RETURN_IF_ERROR(GetDirtyLog(memory_.slots().front(), words_));
  dirty_->Collect(words_, DirtyBitmap::Markers::kAreStopped);
  for (size_t i = 0; i < words_.size(); ++i) {
    for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
      const uint64_t page =
          i * 64 + static_cast<uint64_t>(std::countr_zero(word));
      visit(kMemoryStart + page * dirty_->page_size());
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm::sandbox
