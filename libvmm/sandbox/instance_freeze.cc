// SPDX-License-Identifier: Apache-2.0
// How an Instance is frozen, and goes back to what it was then.
#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/image_contents.h"
#include "libvmm/sandbox/instance.h"
#include "libvmm/sandbox/private_pages.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr uint64_t kPageSize = AddressSpace::kPageSize;

std::span<const std::byte> PageOf(const MemoryRegion& region, Gpa page) {
  return region.bytes().subspan(page.value(), kPageSize);
}

// From here on nobody can change the file, not even who maps it anew.
absl::Status Seal(int fd) {
  if (::fcntl(fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, "fcntl(F_ADD_SEALS, the sandbox's memory)");
  }
  return absl::OkStatus();
}

// Only pages that are no longer the file's own can differ from it.
absl::Status VerifyMemory(const MemoryRegion& pristine,
                          std::span<const std::byte> bytes) {
  std::optional<Gpa> different;
  const auto compare = [&](uint64_t offset) {
    const Gpa page(offset);
    if (!different &&
        std::memcmp(bytes.data() + offset, PageOf(pristine, page).data(),
                    kPageSize) != 0) {
      different = page;
    }
  };
  // Without /proc all are read.
  if (!ForEachPrivatePage(bytes, compare).ok()) {
    for (uint64_t at = 0; at < bytes.size(); at += kPageSize) compare(at);
  }
  if (!different) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("memory differs from the frozen image at gpa 0x",
                   absl::Hex(different->value())));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ImageContents>> Instance::Freeze() {
  LIBVMM_RETURN_IF_ERROR(CheckReady(initialized_));
  if (image_ != nullptr) {
    return absl::FailedPreconditionError("the sandbox is frozen already");
  }
  const uint64_t size = setup_->options.memory_size;
  Vcpu& vcpu = cell_->vcpu();
  // An entry that fails may have lost registers.
  state_ = SandboxState::kFailed;
  LIBVMM_RETURN_IF_ERROR(cpu_->Settle());
  state_ = SandboxState::kReady;
  LIBVMM_ASSIGN_OR_RETURN(XsaveState xsave, XsaveState::Create(cell_->vm()));
  LIBVMM_RETURN_IF_ERROR(xsave.ReadFrom(vcpu));
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<uint32_t> msrs,
                          RestorableMsrs(setup_->engine.kvm().fd(), vcpu));
  LIBVMM_ASSIGN_OR_RETURN(
      VcpuImage vcpu_image,
      VcpuImage::Save(cell_->vm(), vcpu, {.msrs = msrs, .skip_missing = true}));
  LIBVMM_ASSIGN_OR_RETURN(std::shared_ptr<const GuestCpu::Snapshot> cpu,
                          cpu_->Save());
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd memory, cell_->DuplicateMemoryFd());
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd own, memory.Duplicate());
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion private_memory,
      MemoryRegion::File(std::move(own), {.size = size, .no_reserve = true}));
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd shown, memory.Duplicate());
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion pristine,
      MemoryRegion::File(
          std::move(shown),
          {.size = size, .no_reserve = true, .read_only = true}));
  // From here on an error leaves the sandbox without a state.
  state_ = SandboxState::kFailed;
  LIBVMM_RETURN_IF_ERROR(cell_->ReplaceMemory(std::move(private_memory)));
  LIBVMM_RETURN_IF_ERROR(Seal(memory.get()));
  image_ = std::make_shared<const ImageContents>(
      ImageContents{.setup = setup_,
                    .memory = std::move(memory),
                    .pristine = std::move(pristine),
                    .space = space_->Save(),
                    .files = files_->Save(),
                    .process = process_,
                    .cpu = std::move(cpu),
                    .xsave = std::move(xsave),
                    .vcpu = std::move(vcpu_image),
                    .initialized = initialized_});
  state_ = SandboxState::kReady;
  return image_;
}

absl::Status Instance::Reset(Keep keep) { return Reset(keep, false); }

absl::Status Instance::Reset(Keep keep, bool strict) {
  if (image_ == nullptr) {
    return absl::FailedPreconditionError("the sandbox is not frozen");
  }
  if (depth_ != 0) {
    return absl::FailedPreconditionError("the sandbox is running");
  }
  if (state_ == SandboxState::kFailed) {
    return absl::FailedPreconditionError("the sandbox is failed");
  }
  state_ = SandboxState::kFailed;
  // After an exit that ring 3 should not be able to cause, ring 0 is not trusted
  // either: a shutdown, for one, resets the vCPU on some KVMs.
  const bool everything = strict || cpu_->unsettled();
  if (everything) LIBVMM_RETURN_IF_ERROR(cpu_->Settle());
  LIBVMM_RETURN_IF_ERROR(RestoreMemory(keep));
  space_->Restore(image_->space);
  files_->Restore(image_->files);
  process_ = image_->process;
  if (everything) {
    LIBVMM_RETURN_IF_ERROR(image_->vcpu.Restore(cell_->vcpu()));
  }
  LIBVMM_RETURN_IF_ERROR(RestoreRest());
  state_ = SandboxState::kReady;
  if (!setup_->options.verify_resets) return absl::OkStatus();
  const absl::Status verified = Verify();
  if (!verified.ok()) state_ = SandboxState::kFailed;
  return verified;
}

absl::Status Instance::RestoreMemory(Keep keep) {
  const MemoryRegion& pristine = image_->pristine;
  const AddressSpace::Snapshot& before = image_->space;
  const std::span<std::byte> bytes = cell_->bytes();
  bool sound = true;
  bool tables = false;
  LIBVMM_RETURN_IF_ERROR(cell_->CollectDirty([&](Gpa page) {
    const std::span<const std::byte> content = PageOf(pristine, page);
    if (space_->IsTable(page) || before.IsTable(page)) {
      // Some processors mark tables dirty by walking them.
      if (std::memcmp(bytes.data() + page.value(), content.data(), kPageSize) ==
          0) {
        return;
      }
      tables = true;
      sound = space_->RestoreTable(page, content) && sound;
    } else if (keep == Keep::kPages) {
      std::memcpy(bytes.data() + page.value(), content.data(), kPageSize);
    }
  }));
  // What was private to this sandbox goes; the file's pages show again.
  if (keep == Keep::kNothing &&
      ::madvise(bytes.data(), bytes.size(), MADV_DONTNEED) != 0) {
    return ErrnoStatus(errno, "madvise(MADV_DONTNEED, the sandbox's memory)");
  }
  // Tables are written through memory(), which makes them dirty again.
  if (tables) cell_->ForgetHostWrites();
  if (!sound) return absl::InternalError("a page table is not in memory");
  return absl::OkStatus();
}

// All but memory, areas and files.
absl::Status Instance::RestoreRest() {
  LIBVMM_RETURN_IF_ERROR(image_->xsave.WriteTo(cell_->vcpu()));
  LIBVMM_RETURN_IF_ERROR(cpu_->Restore(*image_->cpu));
  (void)context_->TakeSegmentBasesChanged();
  // Who could kill the code that ran before does not reach what comes now.
  if (kill_requested_.use_count() > 1) {
    kill_requested_ = std::make_shared<std::atomic<bool>>(false);
  }
  kill_requested_->store(false);
  initialized_ = image_->initialized;
  waiting_ = Waiting::kNothing;
  running_program_ = false;
  inner_end_.reset();
  failure_ = absl::OkStatus();
  exit_code_ = 0;
  fault_ = {};
  last_fault_ = {};
  same_faults_ = 0;
  return absl::OkStatus();
}

absl::Status Instance::ResetStrictly() {
  return Reset(Keep::kPages, /*strict=*/true);
}

absl::Status Instance::Verify() {
  LIBVMM_RETURN_IF_ERROR(CheckReady(/*initialized=*/true));
  if (image_ == nullptr) {
    return absl::FailedPreconditionError("the sandbox is not frozen");
  }
  LIBVMM_RETURN_IF_ERROR(VerifyMemory(image_->pristine, cell_->bytes()));
  if (!(process_ == image_->process)) {
    return absl::DataLossError("the process state differs from the image");
  }
  LIBVMM_RETURN_IF_ERROR(cell_->vcpu().FlushRegisters());
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<VcpuDifference> differences,
                          image_->vcpu.Compare(cell_->vcpu()));
  if (!differences.empty()) {
    return absl::DataLossError(absl::StrCat(
        "the vCPU differs from the frozen image: ", differences.front().what));
  }
  return absl::OkStatus();
}

}  // namespace libvmm::sandbox::internal
