// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/status_macros.h"
#include "tests/soak/operations.h"

namespace libvmm::soak {
namespace {

absl::Status ToggleWindow(Machine& machine, const Operation& operation) {
  const uint32_t bits = operation.words[1];
  return machine.memory().ToggleWindow(
      machine.vm(),
      {.index = operation.words[0] % kWindows,
       .backing = static_cast<BackingKind>(bits % kBackingKindCount),
       .size = (1 + operation.words[2] % 16) * kGuestPageSize,
       .read_only = (bits >> 16) % 4 == 0});
}

absl::Status CheckDirty(Worker& worker, Machine& machine,
                        const Operation& operation) {
  const size_t index = operation.vcpu % machine.vcpu_count();
  MutexLock lock(machine.vcpu_mutex(index));
  return machine.memory().CheckDirty(VcpuPage(index), worker.index, [&] {
    return machine.vcpu(index).RunTo(
        worker.thread, {.iterations = 2 + operation.words[0] % 4});
  });
}

}  // namespace

absl::StatusOr<Effect> ChangeMemory(Worker& worker, Machine& machine,
                                    const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kToggleWindow:
      LIBVMM_RETURN_IF_ERROR(ToggleWindow(machine, operation));
      break;
    case OperationKind::kHostAccess:
      for (uint32_t i = 0; i < 64; ++i) {
        LIBVMM_RETURN_IF_ERROR(machine.memory().CheckHostAccess(
            {.thread = worker.index,
             .window = (operation.words[0] + i) % kWindows,
             .value = uint64_t{operation.words[1]} * 64 + i}));
      }
      break;
    case OperationKind::kReclaim:
      machine.memory().Reclaim();
      break;
    case OperationKind::kToggleDirty:
      LIBVMM_RETURN_IF_ERROR(machine.memory().ToggleDirtyTracking());
      break;
    default:
      LIBVMM_RETURN_IF_ERROR(CheckDirty(worker, machine, operation));
      break;
  }
  return Effect::kDone;
}

}  // namespace libvmm::soak
