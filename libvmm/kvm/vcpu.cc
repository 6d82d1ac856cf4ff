// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/hot.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/kick_state.h"

namespace libvmm {
namespace {

static_assert(static_cast<uint64_t>(RegisterSet::kGeneral) ==
              KVM_SYNC_X86_REGS);
static_assert(static_cast<uint64_t>(RegisterSet::kSpecial) ==
              KVM_SYNC_X86_SREGS);
static_assert(static_cast<uint64_t>(RegisterSet::kEvents) ==
              KVM_SYNC_X86_EVENTS);

// The kernel leaves exit_reason alone when KVM_RUN fails: this value marks one
// that it has not written.
constexpr uint32_t kNoExitReason = 0xffffffff;

// Where the run page keeps a register set, and the ioctls that move it when the
// page does not.
template <typename T>
struct SetOf;
template <>
struct SetOf<kvm_regs> {
  static constexpr uint64_t kBit = KVM_SYNC_X86_REGS;
  static constexpr IoctlRequest kGet = LIBVMM_IOCTL(KVM_GET_REGS);
  static constexpr IoctlRequest kSet = LIBVMM_IOCTL(KVM_SET_REGS);
  static kvm_regs& In(kvm_run& run) { return run.s.regs.regs; }
};
template <>
struct SetOf<kvm_sregs> {
  static constexpr uint64_t kBit = KVM_SYNC_X86_SREGS;
  static constexpr IoctlRequest kGet = LIBVMM_IOCTL(KVM_GET_SREGS);
  static constexpr IoctlRequest kSet = LIBVMM_IOCTL(KVM_SET_SREGS);
  static kvm_sregs& In(kvm_run& run) { return run.s.regs.sregs; }
};
template <>
struct SetOf<kvm_vcpu_events> {
  static constexpr uint64_t kBit = KVM_SYNC_X86_EVENTS;
  static constexpr IoctlRequest kGet = LIBVMM_IOCTL(KVM_GET_VCPU_EVENTS);
  static constexpr IoctlRequest kSet = LIBVMM_IOCTL(KVM_SET_VCPU_EVENTS);
  static kvm_vcpu_events& In(kvm_run& run) { return run.s.regs.events; }
};

}  // namespace

absl::StatusOr<Vcpu> Vcpu::Create(const Vm& vm, uint32_t id) {
  LIBVMM_ASSIGN_OR_RETURN(const int fd,
                          CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_VCPU), id,
                                    absl::StrCat("id ", id)));
  vm.shared_fd()->NoteVcpu();
  Vcpu vcpu(UniqueFd(fd), id, vm.shared_fd()->vcpu_mmap_size());
  vcpu.supported_ = static_cast<uint64_t>(vm.CheckExtension(KVM_CAP_SYNC_REGS));
  return vcpu;
}

Vcpu::Vcpu(Vcpu&& other) noexcept { *this = std::move(other); }

Vcpu& Vcpu::operator=(Vcpu&& other) noexcept {
  if (this == &other) return *this;
  ReleaseRunPage();
  fd_ = std::move(other.fd_);
  id_ = other.id_;
  mmap_size_ = other.mmap_size_;
  run_ = std::exchange(other.run_, nullptr);
  kick_ = std::move(other.kick_);
  supported_ = other.supported_;
  eager_ = other.eager_;
  cached_ = std::exchange(other.cached_, 0);
  dirty_ = std::exchange(other.dirty_, 0);
  return *this;
}

Vcpu::~Vcpu() { ReleaseRunPage(); }

void Vcpu::ReleaseRunPage() {
  if (kick_ == nullptr) return;
  // A Kicker that lives on must neither fault nor keep the kernel's VM alive.
  // If the page cannot be replaced, it stays: the VM then ends with the Kicker.
  if (kick_.use_count() > 1) {
    kick_->run_page.ReplaceWithAnonymous().IgnoreError();
  }
  kick_ = nullptr;
  run_ = nullptr;
}

absl::Status Vcpu::MapRunPage() {
  if (run_ != nullptr) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(Mapping page, Mapping::Create({.size = mmap_size_,
                                                         .flags = MAP_SHARED,
                                                         .fd = fd_.get()}));
  kick_ = std::make_shared<internal::KickState>(std::move(page));
  run_ = reinterpret_cast<kvm_run*>(kick_->run_page.data());
  return absl::OkStatus();
}

absl::StatusOr<kvm_run*> Vcpu::run_page() {
  LIBVMM_RETURN_IF_ERROR(MapRunPage());
  return run_;
}

absl::StatusOr<Kicker> Vcpu::kicker() {
  LIBVMM_RETURN_IF_ERROR(MapRunPage());
  return Kicker(kick_);
}

absl::Status Vcpu::PrepareEntry() {
  if (ABSL_PREDICT_FALSE(run_ == nullptr)) {
    LIBVMM_RETURN_IF_ERROR(MapRunPage());
  }
  if ((dirty_ & ~supported_) != 0) {
    const absl::Status flushed = FlushRegisters();
    // Refused values would be refused again by every entry to come.
    if (IsErrno(flushed, EINVAL)) DropRegisters();
    LIBVMM_RETURN_IF_ERROR(flushed);
  }
  CarryTaskPriority();
  run_->kvm_dirty_regs = std::exchange(dirty_, 0);
  return absl::OkStatus();
}

// Without an in-kernel local APIC, KVM sets CR8 from the run page at each
// entry, after the special registers.
void Vcpu::CarryTaskPriority() {
  if ((dirty_ & KVM_SYNC_X86_SREGS) != 0) run_->cr8 = run_->s.regs.sregs.cr8;
}

// An entry that ended before KVM took over the changed registers leaves their
// bits in the page. They must not be armed for whatever state comes next. Sets
// that come with every exit are overwritten by now; the others can be kept.
void Vcpu::ReclaimUnusedRegisters(bool keep) {
  const uint64_t unused = std::exchange(run_->kvm_dirty_regs, 0) & ~eager_;
  if (!keep) return;
  dirty_ |= unused;
  cached_ |= unused;
}

LIBVMM_HOT int Vcpu::Enter() {
#ifndef NDEBUG
  LIBVMM_CHECK(!std::exchange(running_, true));  // two threads in one vCPU
#endif
  run_->exit_reason = kNoExitReason;
  const int result = ::ioctl(fd_.get(), KVM_RUN, 0);
  const int error = result < 0 ? errno : 0;
  cached_ = eager_;
#ifndef NDEBUG
  running_ = false;
#endif
  return error;
}

absl::Status Vcpu::EntryError(int error) {
  // EINVAL may be the values' own fault: they are not tried again.
  ReclaimUnusedRegisters(/*keep=*/error != EINVAL);
  return ErrnoStatus(error, absl::StrCat("ioctl(KVM_RUN, vCPU ", id_, ")"));
}

LIBVMM_HOT absl::StatusOr<Exit> Vcpu::Run() {
  if (ABSL_PREDICT_FALSE(run_ == nullptr || dirty_ != 0)) {
    LIBVMM_RETURN_IF_ERROR(PrepareEntry());
  }
  const int error = Enter();
  if (ABSL_PREDICT_TRUE(error == 0)) {
    return Exit(run_, static_cast<ExitReason>(run_->exit_reason));
  }
  switch (error) {
    case EINTR: {
      // In this order: a kick that comes between the two sets immediate_exit
      // after its request, and so costs one more return instead of being lost.
      kick_->immediate_exit().store(0);
      const bool kicked = kick_->requested.exchange(false);
      ReclaimUnusedRegisters(/*keep=*/true);
      return Exit(run_,
                  kicked ? ExitReason::kKicked : ExitReason::kInterrupted);
    }
    case EAGAIN:
      // INIT or SIPI has set the registers meanwhile.
      ReclaimUnusedRegisters(/*keep=*/false);
      return Exit(run_, ExitReason::kRetry);
    case EFAULT:
    case EHWPOISON:
      if (run_->exit_reason == KVM_EXIT_MEMORY_FAULT) {
        return Exit(run_, ExitReason::kMemoryFault, error);
      }
      break;
    default:
      break;
  }
  return EntryError(error);
}

absl::StatusOr<Exit> Vcpu::Retire() {
  LIBVMM_RETURN_IF_ERROR(PrepareEntry());
  kick_->immediate_exit().store(1);
  const int error = Enter();
  // Not a kick's flag to lose: see Run for the order.
  kick_->immediate_exit().store(0);
  if (kick_->requested.load()) kick_->immediate_exit().store(1);
  switch (error) {
    case 0:
      return Exit(run_, static_cast<ExitReason>(run_->exit_reason));
    case EINTR:
    case EAGAIN:
      ReclaimUnusedRegisters(/*keep=*/error == EINTR);
      return Exit(run_, ExitReason::kInterrupted);
    default:
      return EntryError(error);
  }
}

absl::Status Vcpu::SyncOnExit(RegisterSet sets) {
  const auto wanted = static_cast<uint64_t>(sets);
  if ((wanted & ~supported_) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("KVM_CAP_SYNC_REGS offers register sets 0x",
                     absl::Hex(supported_), ", not 0x", absl::Hex(wanted)));
  }
  LIBVMM_RETURN_IF_ERROR(MapRunPage());
  run_->kvm_valid_regs = wanted;
  eager_ = wanted;
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<T*> Vcpu::Fetch(uint64_t make_dirty) {
  using Set = SetOf<T>;
  if (ABSL_PREDICT_FALSE(run_ == nullptr)) {
    LIBVMM_RETURN_IF_ERROR(MapRunPage());
  }
  T& registers = Set::In(*run_);
  if ((cached_ & Set::kBit) == 0) {
    LIBVMM_RETURN_IF_ERROR(
        CallIoctl(fd_.get(), Set::kGet, &registers).status());
    cached_ |= Set::kBit;
  }
  dirty_ |= make_dirty & Set::kBit;
  return &registers;
}

absl::StatusOr<const kvm_regs*> Vcpu::Registers() { return Fetch<kvm_regs>(0); }
absl::StatusOr<const kvm_sregs*> Vcpu::SpecialRegisters() {
  return Fetch<kvm_sregs>(0);
}
absl::StatusOr<const kvm_vcpu_events*> Vcpu::Events() {
  return Fetch<kvm_vcpu_events>(0);
}
absl::StatusOr<kvm_regs*> Vcpu::MutableRegisters() {
  return Fetch<kvm_regs>(~uint64_t{0});
}
absl::StatusOr<kvm_sregs*> Vcpu::MutableSpecialRegisters() {
  return Fetch<kvm_sregs>(~uint64_t{0});
}
absl::StatusOr<kvm_vcpu_events*> Vcpu::MutableEvents() {
  return Fetch<kvm_vcpu_events>(~uint64_t{0});
}

template <typename T>
absl::Status Vcpu::Replace(const T& registers) {
  using Set = SetOf<T>;
  if (ABSL_PREDICT_FALSE(run_ == nullptr)) {
    LIBVMM_RETURN_IF_ERROR(MapRunPage());
  }
  Set::In(*run_) = registers;
  cached_ |= Set::kBit;
  dirty_ |= Set::kBit;
  return absl::OkStatus();
}

absl::Status Vcpu::SetRegisters(const kvm_regs& registers) {
  return Replace(registers);
}
absl::Status Vcpu::SetSpecialRegisters(const kvm_sregs& registers) {
  return Replace(registers);
}
absl::Status Vcpu::SetEvents(const kvm_vcpu_events& events) {
  return Replace(events);
}

absl::Status Vcpu::FlushRegisters() {
  const auto flush = [this]<typename T>(SetOf<T> set) -> absl::Status {
    if ((dirty_ & set.kBit) == 0) return absl::OkStatus();
    LIBVMM_RETURN_IF_ERROR(
        CallIoctl(fd_.get(), set.kSet, &set.In(*run_)).status());
    dirty_ &= ~set.kBit;
    return absl::OkStatus();
  };
  if (run_ != nullptr) CarryTaskPriority();
  // Events last: KVM_SET_REGS drops a pending exception.
  LIBVMM_RETURN_IF_ERROR(flush(SetOf<kvm_sregs>()));
  LIBVMM_RETURN_IF_ERROR(flush(SetOf<kvm_regs>()));
  return flush(SetOf<kvm_vcpu_events>());
}

}  // namespace libvmm
