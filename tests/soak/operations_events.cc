// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/status_macros.h"
#include "tests/soak/operations.h"

namespace libvmm::soak {
namespace {

Effect DoneIf(bool done) { return done ? Effect::kDone : Effect::kIdle; }

DeviceSlot& SlotOf(Machine& machine, const Operation& operation) {
  return machine.slot(operation.words[0] % (2 * kSlots));
}

absl::StatusOr<Effect> ToggleDevice(Machine& machine,
                                    const Operation& operation) {
  const uint32_t bits = operation.words[1];
  LIBVMM_ASSIGN_OR_RETURN(
      const bool done,
      SlotOf(machine, operation)
          .Toggle({.behaviour = static_cast<DeviceSlot::Behaviour>(
                       bits % DeviceSlot::kBehaviourCount),
                   // Not what an empty bus reads as.
                   .tag = operation.words[2] & 0x7fffffff,
                   .keep_removed = (bits & 0x10000) != 0}));
  return DoneIf(done);
}

absl::StatusOr<Effect> CheckDevice(Worker& worker, Machine& machine,
                                   const Operation& operation) {
  const size_t index = operation.vcpu % machine.vcpu_count();
  MutexLock lock(machine.vcpu_mutex(index));
  LIBVMM_ASSIGN_OR_RETURN(const bool done,
                          SlotOf(machine, operation).CheckCalledDuring([&] {
                            // One access to each slot, and back to where it began.
                            return machine.vcpu(index).RunTo(
                                worker.thread, {.iterations = kSlots + 1});
                          }));
  return DoneIf(done);
}

absl::StatusOr<Effect> CheckIrq(Worker& worker, Machine& machine) {
  const IrqMode mode = machine.irq().mode();
  if (mode == IrqMode::kSplit) return Effect::kIdle;
  // The one that the PIC leads to.
  MutexLock lock(machine.vcpu_mutex(0));
  GuestVcpu& vcpu = machine.vcpu(0);
  if (mode == IrqMode::kNone) {
    LIBVMM_ASSIGN_OR_RETURN(const bool done,
                            vcpu.CheckInjection(worker.thread));
    return DoneIf(done);
  }
  const uint32_t before = vcpu.interrupts();
  LIBVMM_RETURN_IF_ERROR(machine.irq().CheckDelivery(machine.vm(), [&] {
    return vcpu.RunAndSeeInterrupt(worker.thread, before);
  }));
  return Effect::kDone;
}

}  // namespace

absl::StatusOr<Effect> ChangeEvents(Worker& worker, Machine& machine,
                                    const Operation& operation) {
  const size_t index = operation.vcpu % machine.vcpu_count();
  switch (operation.kind) {
    case OperationKind::kToggleDevice:
      return ToggleDevice(machine, operation);
    case OperationKind::kCheckDevice:
      return CheckDevice(worker, machine, operation);
    case OperationKind::kToggleDoorbell:
      LIBVMM_RETURN_IF_ERROR(machine.doorbell(index).Toggle(machine.vm()));
      break;
    case OperationKind::kToggleCoalesced:
      if (machine.log() == nullptr) return Effect::kIdle;
      LIBVMM_RETURN_IF_ERROR(machine.log()->Toggle(index));
      break;
    case OperationKind::kToggleIrq:
      LIBVMM_RETURN_IF_ERROR(machine.irq().Toggle(machine.vm()));
      break;
    case OperationKind::kSignalIrq:
      machine.irq().Signal();
      break;
    case OperationKind::kCheckIrq:
      return CheckIrq(worker, machine);
    default:
      LIBVMM_RETURN_IF_ERROR(
          machine.irq().ChangeRoutes(operation.words[0] % 16));
      break;
  }
  return Effect::kDone;
}

}  // namespace libvmm::soak
