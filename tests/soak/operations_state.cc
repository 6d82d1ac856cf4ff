// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "tests/soak/operations.h"

namespace libvmm::soak {
namespace {

GuestModel::Phase PhaseOf(uint32_t word) {
  return static_cast<GuestModel::Phase>(word % GuestModel::kPhaseCount);
}

absl::StatusOr<Effect> SaveVcpu(Worker& worker, Machine& machine,
                                const Operation& operation) {
  const size_t index = operation.vcpu % machine.vcpu_count();
  std::shared_ptr<const VcpuSnapshot> snapshot;
  {
    MutexLock lock(machine.vcpu_mutex(index));
    GuestVcpu& vcpu = machine.vcpu(index);
    LIBVMM_RETURN_IF_ERROR(
        vcpu.RunTo(worker.thread,
                   {.iterations = 1, .phase = PhaseOf(operation.words[0])}));
    LIBVMM_ASSIGN_OR_RETURN(VcpuSnapshot saved, vcpu.Save());
    snapshot = std::make_shared<const VcpuSnapshot>(std::move(saved));
    // The vCPU goes on, retired or not.
    LIBVMM_RETURN_IF_ERROR(vcpu.RunTo(worker.thread, {}));
  }
  worker.world.vcpu_shelves[operation.shelf].Exchange(std::move(snapshot));
  return Effect::kDone;
}

absl::StatusOr<Effect> RestoreVcpu(Worker& worker, Machine& machine,
                                   const Operation& operation) {
  const std::shared_ptr<const VcpuSnapshot> snapshot =
      worker.world.vcpu_shelves[operation.shelf].Get();
  if (snapshot == nullptr || snapshot->index >= machine.vcpu_count() ||
      snapshot->irq_mode != machine.irq().mode()) {
    return Effect::kIdle;
  }
  MutexLock lock(machine.vcpu_mutex(snapshot->index));
  GuestVcpu& vcpu = machine.vcpu(snapshot->index);
  LIBVMM_RETURN_IF_ERROR(vcpu.RunTo(
      worker.thread, {.iterations = 1, .phase = PhaseOf(operation.words[0])}));
  LIBVMM_RETURN_IF_ERROR(vcpu.Restore(*snapshot));
  LIBVMM_RETURN_IF_ERROR(vcpu.RunTo(worker.thread, {.iterations = 2}));
  return Effect::kDone;
}

// Calls `body` with all vCPUs of the VM at rest.
template <typename Body>
absl::Status WithStoppedVcpus(Machine& machine, size_t index,
                              const Body& body) {
  if (index == machine.vcpu_count()) return body();
  MutexLock lock(machine.vcpu_mutex(index));
  return WithStoppedVcpus(machine, index + 1, body);
}

absl::StatusOr<Effect> SaveVm(Worker& worker, Machine& machine,
                              const Operation& operation) {
  if (machine.irq().mode() != IrqMode::kFull) return Effect::kIdle;
  std::shared_ptr<const VmState> state;
  LIBVMM_RETURN_IF_ERROR(WithStoppedVcpus(machine, 0, [&]() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(VmState saved, machine.irq().Save(machine.vm()));
    state = std::make_shared<const VmState>(std::move(saved));
    return absl::OkStatus();
  }));
  worker.world.vm_shelves[operation.shelf].Exchange(std::move(state));
  return Effect::kDone;
}

absl::StatusOr<Effect> RestoreVm(Worker& worker, Machine& machine,
                                 const Operation& operation) {
  const std::shared_ptr<const VmState> state =
      worker.world.vm_shelves[operation.shelf].Get();
  if (machine.irq().mode() != IrqMode::kFull || state == nullptr) {
    return Effect::kIdle;
  }
  LIBVMM_RETURN_IF_ERROR(WithStoppedVcpus(
      machine, 0, [&] { return machine.irq().Restore(machine.vm(), *state); }));
  return Effect::kDone;
}

}  // namespace

absl::StatusOr<Effect> SaveOrRestore(Worker& worker, Machine& machine,
                                     const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kSaveVcpu:
      return SaveVcpu(worker, machine, operation);
    case OperationKind::kRestoreVcpu:
      return RestoreVcpu(worker, machine, operation);
    case OperationKind::kSaveVm:
      return SaveVm(worker, machine, operation);
    default:
      return RestoreVm(worker, machine, operation);
  }
}

}  // namespace libvmm::soak
