// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/guest_vcpu.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "tests/soak/device_slot.h"
#include "tests/soak/doorbell.h"
#include "tests/soak/faults.h"
#include "tests/soak/irq_lines.h"
#include "tests/soak/machine_memory.h"
#include "tests/soak/mismatch.h"
#include "tests/soak/random.h"
#include "tests/soak/write_log.h"

namespace libvmm::soak {
namespace {

constexpr uint64_t kInterruptsOn = 0x202;  // RFLAGS: IF, and bit 1 always
constexpr uint16_t kStackTop = 0xff0;      // in the vCPU's page
constexpr uint8_t kInjectedVector = 0x40;
// Data of a deferred access.
constexpr uint32_t kAllOnes = ~uint32_t{0};

uint32_t InputValue(uint64_t salt, uint32_t n) {
  return static_cast<uint32_t>(Random::Mix(salt + n));
}

uint32_t WordOf(std::span<const std::byte> data) {
  uint32_t word = 0;
  std::memcpy(&word, data.data(), std::min(data.size(), sizeof word));
  return word;
}

// Registers that the guest never touches.
void SetIdleRegisters(kvm_regs& regs, uint64_t salt) {
  regs.r8 = Random::Mix(salt + 8);
  regs.r9 = Random::Mix(salt + 9);
  regs.r14 = Random::Mix(salt + 14);
  regs.r15 = Random::Mix(salt + 15);
}
bool HasIdleRegisters(const kvm_regs& regs, uint64_t salt) {
  kvm_regs want = regs;
  SetIdleRegisters(want, salt);
  return std::memcmp(&want, &regs, sizeof regs) == 0;
}

bool SameSegment(const kvm_segment& a, const kvm_segment& b) {
  return a.base == b.base && a.selector == b.selector;
}
bool SameSpecialRegisters(const kvm_sregs& a, const kvm_sregs& b) {
  return SameSegment(a.cs, b.cs) && SameSegment(a.ds, b.ds) &&
         SameSegment(a.es, b.es) && SameSegment(a.fs, b.fs) &&
         SameSegment(a.gs, b.gs) && SameSegment(a.ss, b.ss) && a.cr0 == b.cr0 &&
         a.cr2 == b.cr2 && a.cr3 == b.cr3 && a.cr4 == b.cr4 &&
         a.efer == b.efer && a.apic_base == b.apic_base;
}

}  // namespace

// The vCPU's own device: gives its numbers and takes its reports. Only the
// thread that runs the vCPU comes here.
class GuestVcpu::Channel : public IoDevice {
 public:
  explicit Channel(GuestVcpu& vcpu) : vcpu_(vcpu) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    vcpu_.channel_status_.Update(Give(offset, data));
    return IoResult::kDone;
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    vcpu_.channel_status_.Update(Take(offset, data));
    return IoResult::kDone;
  }

 private:
  absl::Status Give(uint64_t offset, std::span<std::byte> data) {
    if (offset != kChannelInput || data.size() != sizeof(uint32_t)) {
      return Mismatch("a read of the channel", offset, kChannelInput);
    }
    LIBVMM_RETURN_IF_ERROR(vcpu_.Enter(Phase::kInput));
    GuestModel& model = vcpu_.model_;
    ++model.n;
    const uint32_t value = InputValue(model.salt, model.n);
    std::memcpy(data.data(), &value, sizeof value);
    model.sum += value;
    return absl::OkStatus();
  }

  absl::Status Take(uint64_t offset, std::span<const std::byte> data) {
    const uint32_t word = WordOf(data);
    const GuestModel& model = vcpu_.model_;
    switch (offset) {
      case kChannelWindow:
        LIBVMM_RETURN_IF_ERROR(vcpu_.Enter(Phase::kWindow));
        return vcpu_.CheckWindow(word);
      case kChannelNumber:
        LIBVMM_RETURN_IF_ERROR(vcpu_.Enter(Phase::kNumber));
        return word == model.n ? absl::OkStatus()
                               : Mismatch("the guest's n", word, model.n);
      case kChannelSum:
        LIBVMM_RETURN_IF_ERROR(vcpu_.Enter(Phase::kSum));
        return word == model.sum ? absl::OkStatus()
                                 : Mismatch("the guest's sum", word, model.sum);
      default:
        return Mismatch("a write to the channel", offset, kChannelSum);
    }
  }

  GuestVcpu& vcpu_;
};

absl::StatusOr<std::unique_ptr<GuestVcpu>> GuestVcpu::Create(
    const Kvm& kvm, Vcpu vcpu, const Surroundings& surroundings,
    const Options& options) {
  std::unique_ptr<GuestVcpu> guest(
      new GuestVcpu(std::move(vcpu), surroundings, options));
  LIBVMM_RETURN_IF_ERROR(guest->SetUp(kvm, options));
  return guest;
}

GuestVcpu::GuestVcpu(Vcpu vcpu, const Surroundings& surroundings,
                     const Options& options)
    : vcpu_(std::move(vcpu)),
      index_(options.index),
      surroundings_(surroundings),
      dispatcher_(surroundings.ports, surroundings.mmio),
      channel_(std::make_unique<Channel>(*this)),
      model_{.salt = options.salt} {}

GuestVcpu::~GuestVcpu() = default;

absl::Status GuestVcpu::SetUp(const Kvm& kvm, const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const cpuid, kvm.SupportedCpuid());
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu_, *cpuid));
  LIBVMM_ASSIGN_OR_RETURN(Kicker kicker, vcpu_.kicker());
  kicks_ = std::make_shared<KickTarget>(std::move(kicker));
  LIBVMM_ASSIGN_OR_RETURN(
      channel_registration_,
      surroundings_.ports.Register(
          {.base = ChannelPort(index_), .size = kChannelSize}, *channel_));
  const auto segment = static_cast<uint16_t>(VcpuPage(index_).value() >> 4);
  LIBVMM_RETURN_IF_ERROR(
      EnterRealMode(vcpu_, {.ip = static_cast<uint16_t>(kCode.value()),
                            .ds = segment,
                            .ss = segment,
                            .sp = kStackTop}));
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu_.MutableRegisters());
  regs->rbp = ChannelPort(index_);
  regs->rdi = WindowVcpuWord(index_);
  regs->rflags = kInterruptsOn;
  SetIdleRegisters(*regs, options.salt);
  if (options.sync_registers) {
    const absl::Status status = vcpu_.SyncOnExit(RegisterSet::kGeneral);
    if (!absl::IsUnimplemented(status)) LIBVMM_RETURN_IF_ERROR(status);
  }
  if (surroundings_.irq.mode() == IrqMode::kNone) return absl::OkStatus();
  // As if INIT and SIPI had come already.
  return SetVcpuState(vcpu_, kvm_mp_state{KVM_MP_STATE_RUNNABLE});
}

absl::Status GuestVcpu::Enter(Phase phase) {
  const auto last = static_cast<uint32_t>(model_.last);
  const auto turn = static_cast<Phase>((last + 1) % GuestModel::kPhaseCount);
  if (phase != turn) {
    return Mismatch(
        absl::StrCat("the exit after phase ", last, " at n=", model_.n),
        static_cast<uint64_t>(phase), static_cast<uint64_t>(turn));
  }
  model_.last = phase;
  return absl::OkStatus();
}

absl::Status GuestVcpu::RunTo(VcpuThread& thread, const Stop& stop) {
  const uint32_t target = model_.n + stop.iterations;
  do {
    LIBVMM_ASSIGN_OR_RETURN(const ExitReason reason, RunOnce(thread));
    if (reason == ExitReason::kHalt || reason == ExitReason::kDeadline) {
      return Mismatch(absl::StrCat("RunTo got ", ExitReasonName(reason)));
    }
  } while (model_.n != target || model_.last != stop.phase);
  surroundings_.counts.iterations.fetch_add(stop.iterations);
  return CheckRest();
}

absl::StatusOr<ExitReason> GuestVcpu::RunOnce(VcpuThread& thread) {
  const uint64_t completed = kicks_->completed();
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, thread.Run(vcpu_));
  LIBVMM_RETURN_IF_ERROR(kicks_->CheckReported(completed, exit.reason()));
  Counts& counts = surroundings_.counts;
  switch (exit.reason()) {
    case ExitReason::kPio:
      counts.pio_exits.fetch_add(1);
      LIBVMM_RETURN_IF_ERROR(Serve(exit));
      break;
    case ExitReason::kMmio:
      counts.mmio_exits.fetch_add(1);
      LIBVMM_RETURN_IF_ERROR(Serve(exit));
      break;
    case ExitReason::kHalt:
      counts.halts.fetch_add(1);
      break;
    case ExitReason::kDeadline:
      counts.deadlines.fetch_add(1);
      break;
    case ExitReason::kKicked:
      counts.kicks_reported.fetch_add(1);
      break;
    case ExitReason::kInterrupted:
    case ExitReason::kRetry:
      counts.interruptions.fetch_add(1);
      break;
    default:
      return Mismatch(absl::StrCat("Run returned ",
                                   ExitReasonName(exit.reason()), " (",
                                   static_cast<uint32_t>(exit.reason()), ")"));
  }
  return exit.reason();
}

absl::Status GuestVcpu::Serve(const Exit& exit) {
  // What was stored before this exit first.
  LIBVMM_RETURN_IF_ERROR(TakeLog());
  LIBVMM_RETURN_IF_ERROR(exit.reason() == ExitReason::kPio ? ServePort(exit)
                                                           : ServeMemory(exit));
  LIBVMM_RETURN_IF_ERROR(channel_status_);
  return surroundings_.faults.status();
}

absl::Status GuestVcpu::ServePort(const Exit& exit) {
  const PioExit pio = exit.pio();
  if (pio.size != sizeof(uint32_t) || pio.count != 1) {
    return Mismatch("the width of a PIO exit", pio.size * pio.count, 4);
  }
  if (pio.port == SlotPort(slot()) && !pio.is_write) {
    LIBVMM_RETURN_IF_ERROR(Enter(Phase::kSlotPort));
    return ServeSlot(exit, *surroundings_.port_slots[slot()], pio.data);
  }
  if (pio.port == DoorbellPort(index_) && pio.is_write) {
    if (WordOf(pio.data) != model_.n) {
      return Mismatch("the doorbell's data", WordOf(pio.data), model_.n);
    }
    ++doorbell_exits_;
    return ServeUnclaimed(exit);
  }
  if (pio.port < ChannelPort(index_) ||
      pio.port - ChannelPort(index_) >= static_cast<int>(kChannelSize)) {
    return Mismatch("the port of an exit", pio.port, ChannelPort(index_));
  }
  const DispatchResult result = dispatcher_.Dispatch(exit);
  if (result != DispatchResult::kHandled) {
    return Mismatch(absl::StrCat("at port ", pio.port,
                                 " the channel was not found: result"),
                    static_cast<uint64_t>(result),
                    static_cast<uint64_t>(DispatchResult::kHandled));
  }
  return absl::OkStatus();
}

absl::Status GuestVcpu::ServeMemory(const Exit& exit) {
  const MmioExit mmio = exit.mmio();
  if (mmio.data.size() != sizeof(uint32_t)) {
    return Mismatch("the width of an MMIO exit", mmio.data.size(), 4);
  }
  if (mmio.gpa == SlotAddress(slot()) && !mmio.is_write) {
    LIBVMM_RETURN_IF_ERROR(Enter(Phase::kSlotMemory));
    LIBVMM_RETURN_IF_ERROR(
        ServeSlot(exit, *surroundings_.memory_slots[slot()], mmio.data));
    // The window is next.
    model_.window_mark = surroundings_.memory.WindowMark(model_.n % kWindows);
    model_.window_store_exit = false;
    model_.window_load_exit.reset();
    return absl::OkStatus();
  }
  if (mmio.gpa == Window(model_.n % kWindows) + WindowVcpuWord(index_)) {
    return ServeWindow(exit, mmio.data);
  }
  if (mmio.gpa == LogAddress(index_) && mmio.is_write) {
    LIBVMM_RETURN_IF_ERROR(CountLogWrite(WordOf(mmio.data)));
    return ServeUnclaimed(exit);
  }
  return Mismatch("the address of an MMIO exit", mmio.gpa.value(),
                  SlotAddress(slot()).value());
}

absl::Status GuestVcpu::ServeSlot(const Exit& exit, const DeviceSlot& slot,
                                  std::span<std::byte> data) {
  const ChangeMark::Reading before = slot.mark();
  DispatchResult result = dispatcher_.Dispatch(exit);
  if (result == DispatchResult::kDeferred) {
    const uint32_t tag = slot.tag();
    LIBVMM_ASSIGN_OR_RETURN(
        result, dispatcher_.Complete(std::as_bytes(std::span(&tag, 1))));
  }
  const uint32_t value = WordOf(data);
  const bool found = result != DispatchResult::kUnclaimed;
  model_.sum += value;
  if (!found && value != kAllOnes) {
    return Mismatch("what an empty bus reads as", value, kAllOnes);
  }
  const uint32_t tag = slot.tag();  // The device may change behind the check.
  if (!before.IsSteady(slot.mark())) {
    surroundings_.counts.overlapped.fetch_add(1);
    return absl::OkStatus();
  }
  surroundings_.counts.compared.fetch_add(1);
  if (found != (before.state() == DeviceSlot::kPresent)) {
    return Mismatch("a device found", found, before.state());
  }
  if (found && value != tag) {
    return Mismatch("what a device gave", value, tag);
  }
  return absl::OkStatus();
}

absl::Status GuestVcpu::ServeWindow(const Exit& exit,
                                    std::span<std::byte> data) {
  const bool is_write = exit.mmio().is_write;
  if (is_write && WordOf(data) != model_.n) {
    return Mismatch("a store to a hole", WordOf(data), model_.n);
  }
  LIBVMM_RETURN_IF_ERROR(ServeUnclaimed(exit));
  if (is_write) {
    model_.window_store_exit = true;
  } else {
    model_.window_load_exit = WordOf(data);
  }
  return absl::OkStatus();
}

absl::Status GuestVcpu::ServeUnclaimed(const Exit& exit) {
  return dispatcher_.Dispatch(exit) == DispatchResult::kUnclaimed
             ? absl::OkStatus()
             : Mismatch("a device answered where there is none");
}

absl::Status GuestVcpu::CheckWindow(uint32_t loaded) const {
  if (model_.window_load_exit.has_value() &&
      (loaded != *model_.window_load_exit || loaded != kAllOnes)) {
    return Mismatch("a load from a hole", loaded, kAllOnes);
  }
  // No reading: the iteration began in another VM.
  if (!model_.window_mark.has_value() ||
      !model_.window_mark->IsSteady(
          surroundings_.memory.WindowMark(model_.n % kWindows))) {
    surroundings_.counts.overlapped.fetch_add(1);
    return absl::OkStatus();
  }
  surroundings_.counts.compared.fetch_add(1);
  const unsigned state = model_.window_mark->state();
  if (model_.window_store_exit != (state != MachineMemory::kRam)) {
    return Mismatch("a store to a window exits", model_.window_store_exit,
                    state);
  }
  if (model_.window_load_exit.has_value() != (state == MachineMemory::kHole)) {
    return Mismatch("a load from a window exits",
                    model_.window_load_exit.has_value(), state);
  }
  if (state == MachineMemory::kRam && loaded != model_.n) {
    return Mismatch("a word stored and loaded", loaded, model_.n);
  }
  if (state == MachineMemory::kReadOnly && loaded != MachineMemory::kFillWord) {
    return Mismatch("a word of read-only memory", loaded,
                    MachineMemory::kFillWord);
  }
  return absl::OkStatus();
}

absl::Status GuestVcpu::CountLogWrite(uint32_t word) {
  if (word != last_logged_ + 1) {
    return Mismatch("the next word of the log", word, last_logged_ + 1);
  }
  last_logged_ = word;
  return absl::OkStatus();
}

absl::Status GuestVcpu::TakeLog() {
  if (surroundings_.log == nullptr) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<uint32_t> words,
                          surroundings_.log->Take(index_));
  surroundings_.counts.coalesced_writes.fetch_add(words.size());
  for (const uint32_t word : words) {
    LIBVMM_RETURN_IF_ERROR(CountLogWrite(word));
  }
  return absl::OkStatus();
}

absl::Status GuestVcpu::CheckRest() {
  LIBVMM_RETURN_IF_ERROR(TakeLog());
  const uint32_t done = model_.n - 1;
  if (last_logged_ != done) {
    return Mismatch("the words of the log", last_logged_, done);
  }
  const uint64_t events = surroundings_.doorbell.Events();
  surroundings_.counts.doorbell_events.fetch_add(events - doorbell_events_);
  doorbell_events_ = events;
  const uint64_t rings = static_cast<uint64_t>(doorbell_base_ + done);
  if (doorbell_exits_ + events != rings) {
    return Mismatch("the doorbell's rings", doorbell_exits_ + events, rings);
  }
  const Gpa page = VcpuPage(index_);
  const uint32_t counter = surroundings_.memory.LoadWord(page + kCounterWord);
  if (counter != done) {
    return Mismatch("the counter in memory", counter, done);
  }
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const regs, vcpu_.Registers());
  // At the input's exit n is counted up already.
  if (static_cast<uint32_t>(regs->rcx) != model_.n) {
    return Mismatch("ecx", static_cast<uint32_t>(regs->rcx), model_.n);
  }
  if (regs->rbp != ChannelPort(index_) ||
      !HasIdleRegisters(*regs, model_.salt)) {
    return Mismatch("a register that the guest does not touch");
  }
  const IrqLines& irq = surroundings_.irq;
  if (irq.mode() == IrqMode::kFull && index_ == 0) {
    const uint64_t most =
        interrupt_base_ + interrupt_slack_ + (irq.signals() - signal_base_);
    return interrupts() <= most ? absl::OkStatus()
                                : Mismatch("interrupts", interrupts(), most);
  }
  return interrupts() == model_.injected
             ? absl::OkStatus()
             : Mismatch("interrupts", interrupts(), model_.injected);
}

absl::Status GuestVcpu::SetSpin(bool on) {
  return surroundings_.memory.StoreByte(VcpuPage(index_) + kSpinByte, on)
             ? absl::OkStatus()
             : Mismatch("base memory cannot be written");
}

absl::Status GuestVcpu::SetHalt(bool on) {
  return surroundings_.memory.StoreByte(VcpuPage(index_) + kHaltByte, on)
             ? absl::OkStatus()
             : Mismatch("base memory cannot be written");
}

absl::Status GuestVcpu::EndHalt() {
  if (surroundings_.irq.mode() == IrqMode::kNone) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(kvm_mp_state state,
                          GetVcpuState<kvm_mp_state>(vcpu_));
  if (state.mp_state == KVM_MP_STATE_RUNNABLE) return absl::OkStatus();
  if (state.mp_state != KVM_MP_STATE_HALTED) {
    return Mismatch("the mp_state of a halted vCPU", state.mp_state,
                    KVM_MP_STATE_HALTED);
  }
  state.mp_state = KVM_MP_STATE_RUNNABLE;
  return SetVcpuState(vcpu_, state);
}

uint32_t GuestVcpu::interrupts() const {
  return surroundings_.memory.LoadWord(VcpuPage(index_) + kInterruptWord);
}

absl::StatusOr<bool> GuestVcpu::CheckInjection(VcpuThread& thread) {
  LIBVMM_RETURN_IF_ERROR(RunTo(thread, {}));
  LIBVMM_ASSIGN_OR_RETURN(const kvm_run* const page, vcpu_.run_page());
  if (page->ready_for_interrupt_injection == 0) return false;
  LIBVMM_RETURN_IF_ERROR(QueueInterrupt(vcpu_, kInjectedVector).status());
  ++model_.injected;
  LIBVMM_RETURN_IF_ERROR(RunTo(thread, {}));
  surroundings_.counts.guest_interrupts.fetch_add(1);
  return true;
}

absl::StatusOr<bool> GuestVcpu::RunAndSeeInterrupt(VcpuThread& thread,
                                                   uint32_t before) {
  LIBVMM_RETURN_IF_ERROR(RunTo(thread, {}));
  if (interrupts() == before) return false;
  surroundings_.counts.guest_interrupts.fetch_add(interrupts() - before);
  return true;
}

absl::Status GuestVcpu::Retire() {
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu_.Retire());
    switch (exit.reason()) {
      case ExitReason::kInterrupted:
        return absl::OkStatus();
      case ExitReason::kPio:
      case ExitReason::kMmio:
        LIBVMM_RETURN_IF_ERROR(Serve(exit));
        break;
      default:
        return Mismatch(
            absl::StrCat("Retire got ", ExitReasonName(exit.reason())));
    }
  }
}

absl::StatusOr<VcpuSnapshot> GuestVcpu::Save() {
  LIBVMM_RETURN_IF_ERROR(Retire());
  LIBVMM_ASSIGN_OR_RETURN(XsaveState xsave,
                          XsaveState::Create(surroundings_.vm));
  VcpuSnapshot snapshot = {.irq_mode = surroundings_.irq.mode(),
                           .index = index_,
                           .model = model_,
                           .xsave = std::move(xsave)};
  LIBVMM_ASSIGN_OR_RETURN(snapshot.mp_state, GetVcpuState<kvm_mp_state>(vcpu_));
  LIBVMM_ASSIGN_OR_RETURN(snapshot.events,
                          GetVcpuState<kvm_vcpu_events>(vcpu_));
  LIBVMM_ASSIGN_OR_RETURN(snapshot.regs, GetVcpuState<kvm_regs>(vcpu_));
  LIBVMM_ASSIGN_OR_RETURN(snapshot.sregs, GetVcpuState<kvm_sregs>(vcpu_));
  LIBVMM_ASSIGN_OR_RETURN(snapshot.debugregs,
                          GetVcpuState<kvm_debugregs>(vcpu_));
  if (absl::StatusOr<kvm_xcrs> xcrs = GetVcpuState<kvm_xcrs>(vcpu_);
      xcrs.ok()) {
    snapshot.xcrs = *xcrs;
  }
  if (snapshot.irq_mode != IrqMode::kNone) {
    LIBVMM_ASSIGN_OR_RETURN(snapshot.lapic,
                            GetVcpuState<kvm_lapic_state>(vcpu_));
  }
  LIBVMM_RETURN_IF_ERROR(snapshot.xsave.ReadFrom(vcpu_));
  LIBVMM_RETURN_IF_ERROR(
      surroundings_.memory.ReadPage(VcpuPage(index_), snapshot.page));
  return snapshot;
}

absl::Status GuestVcpu::Restore(const VcpuSnapshot& snapshot) {
  // What this vCPU has under way must not end in the new registers.
  LIBVMM_RETURN_IF_ERROR(Retire());
  LIBVMM_RETURN_IF_ERROR(
      surroundings_.memory.WritePage(VcpuPage(index_), snapshot.page));
  LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.sregs));
  if (snapshot.xcrs.has_value()) {
    LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, *snapshot.xcrs));
  }
  LIBVMM_RETURN_IF_ERROR(snapshot.xsave.WriteTo(vcpu_));
  LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.regs));
  LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.debugregs));
  if (snapshot.lapic.has_value()) {
    LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, *snapshot.lapic));
  }
  LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.events));
  LIBVMM_RETURN_IF_ERROR(SetVcpuState(vcpu_, snapshot.mp_state));

  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs regs, GetVcpuState<kvm_regs>(vcpu_));
  if (std::memcmp(&regs, &snapshot.regs, sizeof regs) != 0) {
    return Mismatch("registers after a restore");
  }
  LIBVMM_ASSIGN_OR_RETURN(const kvm_sregs sregs,
                          GetVcpuState<kvm_sregs>(vcpu_));
  if (!SameSpecialRegisters(sregs, snapshot.sregs)) {
    return Mismatch("special registers after a restore");
  }
  LIBVMM_ASSIGN_OR_RETURN(XsaveState xsave,
                          XsaveState::Create(surroundings_.vm));
  LIBVMM_RETURN_IF_ERROR(xsave.ReadFrom(vcpu_));
  // The legacy part's last words are the program's, the rest is the guest's.
  if (std::memcmp(xsave.bytes().data(), snapshot.xsave.bytes().data(), 464) !=
      0) {
    return Mismatch("x87 and SSE state after a restore");
  }

  model_ = snapshot.model;
  model_.window_mark.reset();
  const uint32_t done = model_.n - 1;
  last_logged_ = done;
  doorbell_base_ =
      static_cast<int64_t>(doorbell_exits_ + surroundings_.doorbell.Events()) -
      done;
  interrupt_base_ = interrupts();
  // Under way at that moment, at most one each: in the vCPU's saved events, in
  // this VM's PIC, between eventfd and PIC, and in an eventfd not bound yet.
  interrupt_slack_ = 4;
  signal_base_ = surroundings_.irq.signals();
  return absl::OkStatus();
}

absl::Status GuestVcpu::Finish(VcpuThread& thread) {
  if (!kicks_->IsOwed()) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(const ExitReason reason, RunOnce(thread));
  return reason == ExitReason::kKicked
             ? absl::OkStatus()
             : Mismatch("the last Run did not report the kick owed");
}

}  // namespace libvmm::soak
