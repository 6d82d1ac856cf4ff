// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/operations.h"

#include <memory>
#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm::soak {
namespace {

// Kicks the vCPU, whoever runs it; it may be gone before the kick is used.
absl::StatusOr<Effect> Kick(Worker& worker, Machine& machine,
                            const Operation& operation) {
  std::shared_ptr<KickTarget> target =
      machine.vcpu(operation.vcpu % machine.vcpu_count()).kicks();
  for (uint32_t i = 0; i <= operation.words[0] % 3; ++i) {
    target->Kick();
    worker.world.counts.kicks.fetch_add(1);
  }
  worker.old_targets[worker.next_old_target++ % worker.old_targets.size()] =
      std::move(target);
  return Effect::kDone;
}

absl::StatusOr<Effect> KickStale(Worker& worker) {
  Effect effect = Effect::kIdle;
  for (const std::shared_ptr<KickTarget>& target : worker.old_targets) {
    if (target == nullptr) continue;
    target->Kick();
    worker.world.counts.kicks.fetch_add(1);
    effect = Effect::kDone;
  }
  return effect;
}

}  // namespace

absl::StatusOr<Effect> Perform(Worker& worker, const Operation& operation) {
  using Kind = OperationKind;
  SharedPlace<Machine>& cell = worker.world.cells[operation.cell];
  switch (operation.kind) {
    case Kind::kCreateVm:
      return CreateVm(worker, operation);
    case Kind::kDestroyVm:
      return cell.Exchange(nullptr) != nullptr ? Effect::kDone : Effect::kIdle;
    case Kind::kKickStale:
      return KickStale(worker);
    default:
      break;
  }
  const std::shared_ptr<Machine> machine = cell.Get();
  if (machine == nullptr) return Effect::kIdle;
  LIBVMM_RETURN_IF_ERROR(machine->faults().status());
  switch (operation.kind) {
    case Kind::kRun:
    case Kind::kRunForExits:
    case Kind::kSpin:
    case Kind::kSpinUntilKicked:
    case Kind::kHalt:
      return RunGuest(worker, *machine, operation);
    case Kind::kKick:
      return Kick(worker, *machine, operation);
    case Kind::kToggleWindow:
    case Kind::kHostAccess:
    case Kind::kReclaim:
    case Kind::kToggleDirty:
    case Kind::kCheckDirty:
      return ChangeMemory(worker, *machine, operation);
    case Kind::kToggleDevice:
    case Kind::kCheckDevice:
    case Kind::kToggleDoorbell:
    case Kind::kToggleCoalesced:
    case Kind::kToggleIrq:
    case Kind::kSignalIrq:
    case Kind::kCheckIrq:
    case Kind::kChangeRoutes:
      return ChangeEvents(worker, *machine, operation);
    case Kind::kSaveVcpu:
    case Kind::kRestoreVcpu:
    case Kind::kSaveVm:
    case Kind::kRestoreVm:
      return SaveOrRestore(worker, *machine, operation);
    case Kind::kCreateVm:
    case Kind::kDestroyVm:
    case Kind::kKickStale:
      break;
  }
  return Effect::kIdle;
}

absl::Status EmptyCell(Worker& worker, size_t cell) {
  const std::shared_ptr<Machine> machine =
      worker.world.cells[cell].Exchange(nullptr);
  if (machine == nullptr) return absl::OkStatus();
  for (size_t index = 0; index < machine->vcpu_count(); ++index) {
    MutexLock lock(machine->vcpu_mutex(index));
    GuestVcpu& vcpu = machine->vcpu(index);
    LIBVMM_RETURN_IF_ERROR(vcpu.Finish(worker.thread));
    LIBVMM_RETURN_IF_ERROR(vcpu.RunTo(worker.thread, {.iterations = 2}));
  }
  return machine->faults().status();
}

}  // namespace libvmm::soak
