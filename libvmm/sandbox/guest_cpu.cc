// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/guest_cpu.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/sandbox/exceptions.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::sandbox {

struct GuestCpu::Base {
  // Of ring 3, with the segment bases that the program has.
  kvm_sregs special{};
};

struct GuestCpu::Snapshot {
  kvm_regs general{};
  kvm_sregs special{};
  kvm_sregs base{};
  kvm_vcpu_events events{};
  kvm_debugregs debug{};
  Ring ring = Ring::k3;
};

namespace {

// What ring 3 may have in RFLAGS, besides the bit that is always one.
constexpr uint64_t kUserFlags =
    RflagsCarry::kMask | RflagsParity::kMask | RflagsAdjust::kMask |
    RflagsZero::kMask | RflagsSign::kMask | RflagsTrap::kMask |
    RflagsDirection::kMask | RflagsOverflow::kMask |
    RflagsAlignmentCheck::kMask | RflagsIdentification::kMask;
// No interrupt can come, but programs look at the bit.
constexpr uint64_t kUserFlagsAlways =
    RflagsReserved::kMask | RflagsInterrupt::kMask;

constexpr uint64_t UserFlags(uint64_t rflags) {
  return (rflags & kUserFlags) | kUserFlagsAlways;
}

// Ranges that fit into RuntimeLayout::kWork.
struct WorkRange {
  uint64_t address;
  uint64_t count;
};
constexpr size_t kWorkRanges = RuntimeLayout::kPageSize / sizeof(WorkRange);

// KVM says so of a vCPU that waits for INIT, which this one never does.
absl::Status Parked() {
  return absl::UnavailableError("ioctl(KVM_RUN): EAGAIN: the vCPU is parked");
}

// An OUT with an immediate port has two bytes. Whether RIP is at it or behind
// it at the exit depends on the KVM.
constexpr uint64_t kOutSize = 2;
bool IsAtOut(Gva rip, Gva out) { return rip == out || rip == out + kOutSize; }

}  // namespace

absl::StatusOr<std::unique_ptr<GuestCpu>> GuestCpu::Create(
    Cell& cell, const RuntimeCpu& cpu, SyscallEntry entry, Gpa page_tables) {
  Vcpu& vcpu = cell.vcpu();
  const absl::Status synced = vcpu.SyncOnExit(RegisterSet::kGeneral);
  if (!synced.ok() && !absl::IsUnimplemented(synced)) return synced;
  LIBVMM_ASSIGN_OR_RETURN(const kvm_sregs* const now, vcpu.SpecialRegisters());
  auto base = std::make_unique<Base>();
  base->special = *now;
  SetRuntimeRegisters(cpu, page_tables, base->special);
  LIBVMM_RETURN_IF_ERROR(vcpu.SetSpecialRegisters(base->special));
  kvm_regs general{};
  general.rflags = kUserFlagsAlways;
  LIBVMM_RETURN_IF_ERROR(vcpu.SetRegisters(general));
  std::unique_ptr<GuestCpu> made(new GuestCpu(cell, entry, std::move(base)));
  LIBVMM_ASSIGN_OR_RETURN(made->registers_, vcpu.Registers());
  return made;
}

GuestCpu::GuestCpu(Cell& cell, SyscallEntry entry, std::unique_ptr<Base> base)
    : cell_(cell), vcpu_(cell.vcpu()), entry_(entry), base_(std::move(base)) {}

GuestCpu::~GuestCpu() = default;

Gva GuestCpu::return_address() const {
  return entry_ == SyscallEntry::kRing0 ? RuntimeCode::return_by_syscall()
                                        : RuntimeCode::return_by_port();
}

Gva GuestCpu::return_address_for_double() const {
  return entry_ == SyscallEntry::kRing0
             ? RuntimeCode::return_double_by_syscall()
             : RuntimeCode::return_double_by_port();
}

// With SYSCALL's registers ring 0 is left by SYSRET, and no special register
// has to be written.
absl::Status GuestCpu::EnterRing3(Gva rip, kvm_regs& registers) {
  if (entry_ == SyscallEntry::kRing0 && ring_ == Ring::k0) {
    registers.rcx = rip.value();
    registers.r11 = registers.rflags;
    registers.rip = RuntimeCode::kernel_sysret().value();
    registers.rflags = RflagsReserved::kMask;
    return absl::OkStatus();
  }
  registers.rip = rip.value();
  return ring_ == Ring::k3 ? absl::OkStatus() : SetRing3();
}

absl::Status GuestCpu::SetRing3() {
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetSpecialRegisters(base_->special));
  ring_ = Ring::k3;
  return absl::OkStatus();
}

absl::Status GuestCpu::StartCall(const CallRegisters& call) {
  kvm_regs registers{};
  registers.rdi = call.integers[0];
  registers.rsi = call.integers[1];
  registers.rdx = call.integers[2];
  registers.r10 = call.integers[3];
  registers.r8 = call.integers[4];
  registers.r9 = call.integers[5];
  registers.rax = call.function.value();
  registers.rsp = call.stack_pointer.value();
  registers.rflags = kUserFlagsAlways;
  Gva stub = RuntimeCode::call();
  if (call.has_doubles) {
    stub = RuntimeCode::call_with_doubles();
    registers.rbx = RuntimeLayout::kUserArguments.value();
  }
  LIBVMM_RETURN_IF_ERROR(EnterRing3(stub, registers));
  return vcpu_.SetRegisters(registers);
}

absl::Status GuestCpu::StartProgram(Gva entry, Gva stack_pointer) {
  kvm_regs registers{};
  registers.rax = entry.value();
  registers.rsp = stack_pointer.value();
  registers.rflags = kUserFlagsAlways;
  LIBVMM_RETURN_IF_ERROR(EnterRing3(RuntimeCode::call(), registers));
  return vcpu_.SetRegisters(registers);
}

absl::StatusOr<CpuEvent> GuestCpu::Run(VcpuThread* thread,
                                       AddressSpace& space) {
  if (!space.stale().empty()) LIBVMM_RETURN_IF_ERROR(Refresh(space));
  if (std::exchange(kicked_, false)) return CpuEvent::kKicked;
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(
        const Exit exit, thread != nullptr ? thread->Run(vcpu_) : vcpu_.Run());
    switch (exit.reason()) {
      case ExitReason::kPio:
        return Decode(exit);
      case ExitReason::kInterrupted:
        continue;
      case ExitReason::kRetry:
        return Parked();
      case ExitReason::kDeadline:
        ring_ = Ring::kUnknown;
        may_have_stepped_ = true;
        return CpuEvent::kDeadline;
      case ExitReason::kKicked:
        ring_ = Ring::kUnknown;
        may_have_stepped_ = true;
        return CpuEvent::kKicked;
      default:
        return Decode(exit);
    }
  }
}

absl::StatusOr<CpuEvent> GuestCpu::Decode(const Exit& exit) {
  const ExitReason reason = exit.reason();
  if (reason == ExitReason::kPio) {
    const PioExit pio = exit.pio();
    if (pio.is_write && pio.port == RuntimeLayout::kSyscallPort) {
      return DecodeSyscall();
    }
    if (pio.is_write && pio.port == RuntimeLayout::kTrapPort) {
      return DecodeTrap();
    }
  }
  LIBVMM_ASSIGN_OR_RETURN(registers_, vcpu_.Registers());
  ring_ = Ring::kUnknown;
  may_have_stepped_ = true;
  broken_ = reason;
  unsettled_ = true;
  return CpuEvent::kBroken;
}

absl::StatusOr<CpuEvent> GuestCpu::DecodeSyscall() {
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const registers, vcpu_.MutableRegisters());
  registers_ = registers;
  if (RflagsTrap::Get(registers->rflags | registers->r11) != 0) {
    may_have_stepped_ = true;
  }
  const Gva rip(registers->rip);
  Gva back(registers->rcx);
  bool returned = false;
  bool genuine = true;
  if (entry_ == SyscallEntry::kRing0) {
    ring_ = Ring::k0;
    returned = back == RuntimeCode::returned_by_syscall();
  } else {
    ring_ = Ring::k3;
    returned = IsAtOut(rip, RuntimeCode::return_by_port());
    genuine = returned || IsAtOut(rip, RuntimeCode::user_syscall());
    if (returned) back = RuntimeCode::returned_by_port();
  }
  // Ring 3 wrote the port itself, or made up an address to come back to.
  if (!genuine ||
      back >= RuntimeLayout::kUserPages + RuntimeLayout::kPageSize) {
    trap_ = {.vector = kGeneralProtection,
             .rip = genuine ? back : rip,
             .rsp = Gva(registers->rsp),
             .rflags = UserFlags(registers->rflags)};
    // Not to be resumed as a trap: there is no frame.
    unsettled_ = !genuine;
    return CpuEvent::kTrap;
  }
  registers->rip = back.value();
  registers->rflags = UserFlags(registers->r11);
  return returned ? CpuEvent::kReturned : CpuEvent::kSyscall;
}

absl::StatusOr<CpuEvent> GuestCpu::DecodeTrap() {
  LIBVMM_ASSIGN_OR_RETURN(registers_, vcpu_.Registers());
  ring_ = Ring::k0;
  TrapFrame frame{};
  if (!cell_.memory().Read(kTrapFrame,
                           std::as_writable_bytes(std::span(&frame, 1))) ||
      SelectorRpl::Get(static_cast<uint16_t>(frame.cs)) == 0) {
    ring_ = Ring::kUnknown;
    may_have_stepped_ = true;
    broken_ = ExitReason::kException;
    return CpuEvent::kBroken;
  }
  trap_ = {.vector = static_cast<uint8_t>(frame.vector),
           .error_code = static_cast<uint32_t>(frame.error_code),
           .address = Gva(frame.cr2),
           .rip = Gva(frame.rip),
           .rsp = Gva(frame.rsp),
           .rflags = frame.rflags};
  if (trap_.vector != kPageFault || RflagsTrap::Get(frame.rflags) != 0) {
    may_have_stepped_ = true;
  }
  return CpuEvent::kTrap;
}

absl::Status GuestCpu::EndSyscall(uint64_t result) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const registers, vcpu_.MutableRegisters());
  registers->rax = result;
  return EnterRing3(Gva(registers->rip), *registers);
}

absl::Status GuestCpu::ResumeTrap() {
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const registers, vcpu_.MutableRegisters());
  registers->rip = RuntimeCode::trap_resume().value();
  ring_ = Ring::k0;
  return absl::OkStatus();
}

absl::Status GuestCpu::SetSegmentBases(const SegmentBases& bases) {
  base_->special.fs.base = bases.fs;
  base_->special.gs.base = bases.gs;
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const special,
                          vcpu_.MutableSpecialRegisters());
  special->fs.base = bases.fs;
  special->gs.base = bases.gs;
  return absl::OkStatus();
}

// ---- Page tables ---------------------------------------------------------------

absl::Status GuestCpu::Refresh(AddressSpace& space) {
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const before, vcpu_.Registers());
  const kvm_regs general = *before;
  const bool leaves_ring3 = ring_ != Ring::k0;
  kvm_sregs special{};
  if (leaves_ring3) {
    LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const now,
                            vcpu_.MutableSpecialRegisters());
    special = *now;
    SetRing(sandbox::Ring::k0, *now);
  }
  std::array<StaleRange, kWorkRanges> stale;
  std::array<WorkRange, kWorkRanges> work;
  while (const size_t count = space.TakeStale(stale)) {
    for (size_t i = 0; i < count; ++i) {
      work[i] = {RuntimeLayout::InDirectMap(stale[i].entry).value(),
                 stale[i].count};
    }
    if (!cell_.memory().Write(RuntimeLayout::kWork,
                              std::as_bytes(std::span(work).first(count)))) {
      return absl::InternalError("the runtime's work page is not memory");
    }
    LIBVMM_RETURN_IF_ERROR(RunRefresh(count));
  }
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetRegisters(general));
  return leaves_ring3 ? vcpu_.SetSpecialRegisters(special) : absl::OkStatus();
}

absl::Status GuestCpu::RunRefresh(uint64_t ranges) {
  kvm_regs registers{};
  registers.rip = RuntimeCode::kernel_refresh().value();
  registers.rdi = RuntimeLayout::InKernel(RuntimeLayout::kWork).value();
  registers.rsi = ranges;
  registers.rflags = RflagsReserved::kMask;
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetRegisters(registers));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu_.Run());
    switch (exit.reason()) {
      case ExitReason::kKicked:
        kicked_ = true;
        continue;
      case ExitReason::kInterrupted:
        continue;
      case ExitReason::kRetry:
        return Parked();
      default:
        break;
    }
    if (exit.reason() == ExitReason::kPio &&
        exit.pio().port == RuntimeLayout::kDonePort) {
      return absl::OkStatus();
    }
    return absl::InternalError(
        absl::StrCat("ring 0 could not refresh page tables: exit ",
                     ExitReasonName(exit.reason())));
  }
}

// ---- Nested calls and snapshots --------------------------------------------------

absl::StatusOr<std::shared_ptr<const GuestCpu::Snapshot>> GuestCpu::Save() {
  auto snapshot = std::make_shared<Snapshot>();
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const general, vcpu_.Registers());
  snapshot->general = *general;
  LIBVMM_ASSIGN_OR_RETURN(const kvm_sregs* const special,
                          vcpu_.SpecialRegisters());
  snapshot->special = *special;
  LIBVMM_ASSIGN_OR_RETURN(const kvm_vcpu_events* const events, vcpu_.Events());
  snapshot->events = *events;
  LIBVMM_ASSIGN_OR_RETURN(snapshot->debug, GetVcpuState<kvm_debugregs>(vcpu_));
  snapshot->base = base_->special;
  snapshot->ring = ring_;
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

absl::Status GuestCpu::Restore(const Snapshot& snapshot) {
  base_->special = snapshot.base;
  ring_ = snapshot.ring;
  kicked_ = false;
  if (may_have_stepped_) {
    LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.debug));
    may_have_stepped_ = false;
  }
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetSpecialRegisters(snapshot.special));
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetRegisters(snapshot.general));
  return vcpu_.SetEvents(snapshot.events);
}

GuestCpu::SavedSyscall GuestCpu::SaveSyscall() const {
  SavedSyscall saved;
  static_assert(sizeof saved.general == sizeof *registers_);
  std::memcpy(saved.general.data(), registers_, sizeof *registers_);
  return saved;
}

absl::Status GuestCpu::RestoreSyscall(const SavedSyscall& saved) {
  kvm_regs general;
  std::memcpy(&general, saved.general.data(), sizeof general);
  LIBVMM_RETURN_IF_ERROR(vcpu_.SetRegisters(general));
  LIBVMM_ASSIGN_OR_RETURN(registers_, vcpu_.Registers());
  return absl::OkStatus();
}

absl::Status GuestCpu::Settle() {
  // A guest can make no access of more parts than this.
  constexpr int kMostParts = 64;
  for (int i = 0; i < kMostParts; ++i) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu_.Retire());
    if (exit.reason() == ExitReason::kInterrupted) {
      unsettled_ = false;
      return absl::OkStatus();
    }
  }
  return absl::InternalError("an exit of the guest does not end");
}

}  // namespace libvmm::sandbox
