// SPDX-License-Identifier: Apache-2.0
// How an Instance runs code: calls, programs, and what they ask for.
#include <cerrno>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/sandbox/exceptions.h"
#include "libvmm/sandbox/instance.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"
#include "libvmm/sandbox/syscalls/process_start.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr uint64_t kStackAlignment = 16;
// A function may use this much below its stack pointer (x86-64 psABI, 3.2.2).
constexpr uint64_t kRedZone = 128;

// So often may the same page fault come again before it counts as one that does
// not go away. A KVM with shadow tables may repeat one.
constexpr int kMostSameFaults = 8;

AccessKind KindOf(uint32_t error_code) {
  if (FaultFetch::Get(error_code) != 0) return AccessKind::kExecute;
  return FaultWrite::Get(error_code) != 0 ? AccessKind::kWrite
                                          : AccessKind::kRead;
}

absl::string_view StateName(SandboxState state) {
  switch (state) {
    case SandboxState::kReady:
      return "ready";
    case SandboxState::kSuspended:
      return "suspended: Resume or Reset it";
    case SandboxState::kNeedsReset:
      return "to be reset";
    case SandboxState::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace

absl::Status Instance::CheckReady(bool initialized) const {
  if (state_ != SandboxState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("the sandbox is ", StateName(state_)));
  }
  if (depth_ != 0) {
    return absl::FailedPreconditionError(
        "the sandbox is running: a host function uses HostCall::Call");
  }
  if (!initialized) {
    return absl::FailedPreconditionError(
        "the program has initializers: call Initialize first");
  }
  return absl::OkStatus();
}

// ---- Starting ------------------------------------------------------------------

absl::StatusOr<RawOutcome> Instance::RunProgram(
    const std::vector<std::string>& arguments,
    const std::vector<std::string>& environment, const CallLimits& limits) {
  LIBVMM_RETURN_IF_ERROR(CheckReady(/*initialized=*/true));
  const Program& program = setup_->program;
  if (!program.entry()) {
    return absl::FailedPreconditionError("the program has no entry point");
  }
  const uint64_t bias = setup_->loaded.bias;
  ProcessStart start{.arguments = arguments,
                     .environment = environment,
                     .executable = {},
                     .stack_top = setup_->program_stack_top,
                     .stack_size = setup_->options.program_stack_size,
                     .entry = *program.entry() + bias};
  if (const auto headers = program.program_headers()) {
    start.program_headers = headers->gva + bias;
    start.program_header_size = headers->entry_size;
    start.program_header_count = headers->count;
  }
  if (const kvm_cpuid_entry2* const version =
          setup_->engine.cpuid().Find({.function = 1})) {
    start.hardware_capabilities = version->edx;
  }
  LIBVMM_ASSIGN_OR_RETURN(const Gva stack_pointer,
                          WriteProcessStart(*context_, start));
  LIBVMM_RETURN_IF_ERROR(cpu_->StartProgram(start.entry, stack_pointer));
  running_program_ = true;
  return RunLimited(limits);
}

absl::StatusOr<RawOutcome> Instance::RunInitializers(const CallLimits& limits) {
  LIBVMM_RETURN_IF_ERROR(CheckReady(/*initialized=*/true));
  const std::span<const Gva> initializers = setup_->program.initializers();
  while (initializers_begun_ < initializers.size()) {
    LIBVMM_ASSIGN_OR_RETURN(
        const RawOutcome outcome,
        CallReady(initializers[initializers_begun_] + setup_->loaded.bias,
                  CallArguments(), false, limits));
    // Resume goes on with this one.
    ++initializers_begun_;
    if (outcome.end != End::kReturned) return outcome;
  }
  initialized_ = true;
  return RawOutcome{};
}

absl::StatusOr<RawOutcome> Instance::Call(Gva function,
                                          const CallArguments& call,
                                          bool returns_double,
                                          const CallLimits& limits) {
  LIBVMM_RETURN_IF_ERROR(CheckReady(initialized_));
  return CallReady(function, call, returns_double, limits);
}

absl::StatusOr<RawOutcome> Instance::CallReady(Gva function,
                                               const CallArguments& call,
                                               bool returns_double,
                                               const CallLimits& limits) {
  running_program_ = false;
  Placed placed;
  LIBVMM_ASSIGN_OR_RETURN(const std::optional<End> end,
                          BeginCall(function, call, returns_double,
                                    setup_->call_stack_top, placed));
  if (end) return Finished(*end);
  LIBVMM_ASSIGN_OR_RETURN(const RawOutcome outcome, RunLimited(limits));
  if (outcome.end != End::kReturned || call.blocks().empty()) return outcome;
  return FinishCall(call, placed);
}

absl::StatusOr<RawOutcome> Instance::CallNested(Gva function,
                                                const CallArguments& call,
                                                bool returns_double) {
  if (depth_ >= HostCall::kMaxDepth) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "calls are nested more than ", HostCall::kMaxDepth, " deep"));
  }
  if (inner_end_ || !host_failure_.ok()) {
    return absl::FailedPreconditionError(
        "a call of this host function has not returned");
  }
  absl::StatusOr<RawOutcome> outcome =
      RunNested(function, call, returns_double);
  if (!outcome.ok()) {
    host_failure_ = outcome.status();
  } else if (outcome->end != End::kReturned) {
    inner_end_ = outcome->end;
  }
  return outcome;
}

absl::StatusOr<RawOutcome> Instance::RunNested(Gva function,
                                               const CallArguments& call,
                                               bool returns_double) {
  const GuestCpu::SavedSyscall saved = cpu_->SaveSyscall();
  const Gva top(cpu_->registers().rsp - kRedZone);
  Placed placed;
  LIBVMM_ASSIGN_OR_RETURN(
      const std::optional<End> end,
      BeginCall(function, call, returns_double, top, placed));
  if (end) return RawOutcome{.end = *end};
  ++depth_;
  const absl::StatusOr<End> ran = Loop();
  --depth_;
  LIBVMM_RETURN_IF_ERROR(ran.status());
  if (*ran != End::kReturned) return RawOutcome{.end = *ran};
  const RawOutcome outcome = FinishCall(call, placed);
  if (outcome.end == End::kReturned) {
    LIBVMM_RETURN_IF_ERROR(cpu_->RestoreSyscall(saved));
  }
  return outcome;
}

absl::StatusOr<std::optional<End>> Instance::BeginCall(
    Gva function, const CallArguments& call, bool returns_double, Gva top,
    Placed& placed) {
  UserMemory user(*space_);
  GuestCpu::CallRegisters registers{.function = function,
                                    .integers = call.integers()};
  uint64_t at = top.value();
  // A nested call's stack is where the program has it.
  const uint64_t bottom = top.value() - setup_->options.call_stack_size;
  size_t index = 0;
  for (const CallArguments::Block& block : call.blocks()) {
    const uint64_t size = block.size + block.zeros;
    // With the return address below.
    if (depth_ == 0 && size > at - bottom - kStackAlignment) {
      return absl::InvalidArgumentError(
          absl::StrCat("an argument of ", size,
                       " bytes does not fit into call_stack_size, which is ",
                       setup_->options.call_stack_size));
    }
    at = (at - size) & ~(kStackAlignment - 1);
    if (block.copy_in && !user.Write(Gva(at), {block.data, block.size})) {
      return NoUserMemory(user, Gva(at));
    }
    if (block.zeros != 0 &&
        !user.Fill({Gva(at + block.size), block.zeros}, std::byte{0})) {
      return NoUserMemory(user, Gva(at));
    }
    registers.integers[block.integer] = at;
    placed.at[index++] = at;
  }
  // A function is entered with its return address on top of an aligned stack.
  at = (at & ~(kStackAlignment - 1)) - sizeof(uint64_t);
  const uint64_t back = (returns_double ? cpu_->return_address_for_double()
                                        : cpu_->return_address())
                            .value();
  // It mostly still stands there, and a page that is not written stays clean.
  const std::optional<uint64_t> there = ReturnSlot(user, Gva(at));
  if (there != back && !user.Store(Gva(at), back)) {
    return NoUserMemory(user, Gva(at));
  }
  registers.stack_pointer = Gva(at);
  if (!call.doubles().empty()) {
    registers.has_doubles = true;
    if (!cell_->memory().Write(RuntimeLayout::kArguments,
                               std::as_bytes(call.doubles()))) {
      return absl::InternalError("the runtime's argument page is not memory");
    }
  }
  LIBVMM_RETURN_IF_ERROR(cpu_->StartCall(registers));
  return std::nullopt;
}

std::optional<uint64_t> Instance::ReturnSlot(UserMemory& user, Gva at) {
  Slot& slot = return_slot_;
  if (slot.gva == at && slot.changes == space_->changes()) {
    return cell_->memory().Load<uint64_t>(slot.gpa);
  }
  const std::optional<uint64_t> word = user.Load<uint64_t>(at);
  const auto place = space_->TranslateNext(at);
  if (!word || !place) return {};
  slot = {at, place->gpa, space_->changes()};
  return word;
}

RawOutcome Instance::FinishCall(const CallArguments& call,
                                const Placed& placed) {
  const uint64_t rax = cpu_->registers().rax;
  UserMemory user(*space_);
  size_t index = 0;
  for (const CallArguments::Block& block : call.blocks()) {
    const Gva at(placed.at[index++]);
    if (block.copy_out && !user.Read(at, {block.data, block.size})) {
      return Finished(NoUserMemory(user, at));
    }
  }
  return {.end = End::kReturned, .rax = rax};
}

absl::Status Instance::Complete(uint64_t result) {
  if (state_ != SandboxState::kSuspended ||
      waiting_ != Waiting::kHostFunction) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no host function is deferred; the sandbox is ", StateName(state_)));
  }
  LIBVMM_RETURN_IF_ERROR(cpu_->EndSyscall(result));
  waiting_ = Waiting::kNothing;
  return absl::OkStatus();
}

absl::StatusOr<RawOutcome> Instance::Resume(const CallLimits& limits) {
  if (state_ != SandboxState::kSuspended) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no call is suspended; the sandbox is ", StateName(state_)));
  }
  if (waiting_ == Waiting::kHostFunction) {
    return absl::FailedPreconditionError(
        "a deferred host function waits for Complete");
  }
  return RunLimited(limits);
}

// ---- Running -------------------------------------------------------------------

absl::StatusOr<RawOutcome> Instance::RunLimited(const CallLimits& limits) {
  const CallLimits& bound = limits.any() ? limits : setup_->options.limits;
  std::optional<Deadline> deadline;
  if (bound.any()) {
    // As long as nothing has run, the sandbox stays what it was.
    if (thread_ == nullptr) {
      return absl::FailedPreconditionError(
          "limits need a VcpuThread: call UseThread first");
    }
    LIBVMM_ASSIGN_OR_RETURN(deadline,
                            thread_->StartDeadline({.after = bound.after,
                                                    .cpu_time = bound.cpu_time,
                                                    .exits = bound.exits}));
  }
  state_ = SandboxState::kReady;
  same_faults_ = 0;
  std::optional<End> end;
  if (std::exchange(waiting_, Waiting::kNothing) == Waiting::kSyscall) {
    ++depth_;
    absl::StatusOr<std::optional<End>> served = ServeSyscall();
    --depth_;
    if (!served.ok()) {
      state_ = SandboxState::kFailed;
      return served.status();
    }
    end = *served;
  }
  if (!end) {
    ++depth_;
    absl::StatusOr<End> ran = Loop();
    --depth_;
    if (!ran.ok()) {
      state_ = SandboxState::kFailed;
      return ran.status();
    }
    end = *ran;
  }
  if (!failure_.ok()) {
    state_ = SandboxState::kNeedsReset;
    return std::exchange(failure_, absl::OkStatus());
  }
  return Finished(*end);
}

RawOutcome Instance::Finished(End end) {
  RawOutcome outcome{.end = end};
  const bool nested = std::exchange(inner_end_, std::nullopt).has_value();
  switch (end) {
    case End::kReturned:
      outcome.rax = cpu_->registers().rax;
      state_ = SandboxState::kReady;
      break;
    case End::kExited:
      // What was promised to an embedder's call is not there; the program's own
      // run ends this way.
      if (running_program_) {
        outcome = {.end = End::kReturned,
                   .rax = static_cast<uint64_t>(exit_code_)};
        state_ = SandboxState::kReady;
      } else {
        state_ = SandboxState::kNeedsReset;
      }
      break;
    case End::kDeadline:
    case End::kPending:
      state_ = nested ? SandboxState::kNeedsReset : SandboxState::kSuspended;
      break;
    case End::kKilled:
    case End::kFaulted:
    case End::kOutOfMemory:
      state_ = SandboxState::kNeedsReset;
      break;
  }
  return outcome;
}

absl::StatusOr<End> Instance::Loop() {
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const CpuEvent event, cpu_->Run(thread_, *space_));
    std::optional<End> end;
    switch (event) {
      case CpuEvent::kReturned:
        return End::kReturned;
      case CpuEvent::kDeadline:
        return End::kDeadline;
      case CpuEvent::kKicked:
        if (kill_requested_->exchange(false)) return End::kKilled;
        continue;
      case CpuEvent::kSyscall: {
        LIBVMM_ASSIGN_OR_RETURN(end, ServeSyscall());
        break;
      }
      case CpuEvent::kTrap: {
        LIBVMM_ASSIGN_OR_RETURN(end, ServeTrap());
        break;
      }
      case CpuEvent::kBroken:
        return EndWithFault({.kind = Fault::Kind::kMachine,
                             .rip = Gva(cpu_->registers().rip),
                             .rsp = Gva(cpu_->registers().rsp),
                             .exit = cpu_->broken()});
    }
    if (end) return *end;
  }
}

End Instance::EndWithFault(Fault fault) {
  fault_ = fault;
  return End::kFaulted;
}

// The host could not use memory that the call needs: there is none, or the
// program took it away.
End Instance::NoUserMemory(const UserMemory& user, Gva address) {
  if (user.ran_out()) return End::kOutOfMemory;
  return EndWithFault({.kind = Fault::Kind::kException,
                       .vector = kPageFault,
                       .error_code = FaultWrite::kMask,
                       .address = address});
}

absl::StatusOr<std::optional<End>> Instance::ServeTrap() {
  const Trap& trap = cpu_->trap();
  if (trap.vector == kPageFault && FaultReserved::Get(trap.error_code) == 0) {
    const bool same = trap.address == last_fault_;
    last_fault_ = trap.address;
    same_faults_ = same ? same_faults_ + 1 : 0;
    switch (space_->Populate(trap.address, KindOf(trap.error_code))) {
      case PopulateResult::kDone:
        if (same_faults_ >= kMostSameFaults) break;
        LIBVMM_RETURN_IF_ERROR(cpu_->ResumeTrap());
        return std::nullopt;
      case PopulateResult::kOutOfMemory:
        return End::kOutOfMemory;
      case PopulateResult::kNotMapped:
      case PopulateResult::kDenied:
        break;
    }
  }
  return EndWithFault({.kind = Fault::Kind::kException,
                       .vector = trap.vector,
                       .error_code = trap.error_code,
                       .address = trap.address,
                       .rip = trap.rip,
                       .rsp = trap.rsp});
}

absl::StatusOr<std::optional<End>> Instance::ServeSyscall() {
  const kvm_regs& registers = cpu_->registers();
  const uint64_t number = registers.rax;
  // Pages may go, and be missed again.
  same_faults_ = 0;
  if (number >= kHostCallBase && number <= kHostCallUnresolved) {
    return ServeHostFunction(number - kHostCallBase);
  }
  const Gva rip(registers.rip);
  const Gva rsp(registers.rsp);
  const SyscallOutcome outcome = setup_->options.syscalls.Serve(
      *context_, number,
      SyscallArguments{{registers.rdi, registers.rsi, registers.rdx,
                        registers.r10, registers.r8, registers.r9}});
  const auto fault = [&](Fault::Kind kind, uint64_t what) {
    return EndWithFault({.kind = kind, .rip = rip, .rsp = rsp, .number = what});
  };
  if (const auto* const returned = std::get_if<SyscallReturned>(&outcome)) {
    if (context_->TakeSegmentBasesChanged()) {
      LIBVMM_RETURN_IF_ERROR(cpu_->SetSegmentBases(
          {.fs = process_.fs_base.value(), .gs = process_.gs_base.value()}));
    }
    LIBVMM_RETURN_IF_ERROR(
        cpu_->EndSyscall(static_cast<uint64_t>(returned->value)));
    return std::nullopt;
  }
  if (const auto* const exited = std::get_if<ProgramExited>(&outcome)) {
    exit_code_ = exited->code;
    return End::kExited;
  }
  if (const auto* const signalled = std::get_if<ProgramSignalled>(&outcome)) {
    return fault(Fault::Kind::kSignal,
                 static_cast<uint64_t>(signalled->signal));
  }
  if (const auto* const forbidden = std::get_if<ForbiddenSyscall>(&outcome)) {
    return fault(Fault::Kind::kForbiddenSyscall, forbidden->number);
  }
  if (std::holds_alternative<ProgramOutOfMemory>(outcome)) {
    return End::kOutOfMemory;
  }
  if (std::holds_alternative<ProgramDeadlocked>(outcome)) {
    return fault(Fault::Kind::kDeadlock, number);
  }
  waiting_ = Waiting::kSyscall;
  return End::kPending;
}

absl::StatusOr<std::optional<End>> Instance::ServeHostFunction(uint64_t index) {
  const HostFunctions& functions = setup_->options.host_functions;
  const kvm_regs& registers = cpu_->registers();
  if (index >= functions.size()) {
    return EndWithFault({.kind = Fault::Kind::kHostFunction,
                         .rip = Gva(registers.rip),
                         .rsp = Gva(registers.rsp),
                         .number = index});
  }
  const HostFunctions::Arguments arguments = {registers.rdi, registers.rsi,
                                              registers.rdx, registers.r10,
                                              registers.r8,  registers.r9};
  HostCall call(*this, user_data_);
  const uint64_t result = functions.at(index).thunk(call, arguments);
  // The vCPU is not where the host function was called.
  if (!host_failure_.ok()) return host_failure_;
  if (!call.failure_.ok()) {
    failure_ = std::move(call.failure_);
    return End::kFaulted;
  }
  if (inner_end_) return *inner_end_;
  if (call.deferred_) {
    waiting_ = Waiting::kHostFunction;
    return End::kPending;
  }
  LIBVMM_RETURN_IF_ERROR(cpu_->EndSyscall(result));
  return std::nullopt;
}

}  // namespace libvmm::sandbox::internal
