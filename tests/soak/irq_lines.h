// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_IRQ_LINES_H_
#define TESTS_SOAK_IRQ_LINES_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irq_fd.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/pit.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_clock.h"

namespace libvmm::soak {

enum class IrqMode : uint8_t { kNone, kFull, kSplit };
inline constexpr uint32_t kIrqModeCount = 3;

// What a VM has beside its vCPUs and memory.
struct VmState {
  std::array<kvm_irqchip, 3> chips = {};
  std::optional<kvm_pit_state2> pit;
  VmClockReading clock;
};

// The interrupt side of one VM: the in-kernel controllers, an irqfd that comes
// and goes, and the routing table. With the full set the irqfd leads through
// the PIC to vCPU 0, which takes the interrupt without an end-of-interrupt;
// with the split one to a local APIC that is off; without controllers there is
// none.
//
// Thread-safety: thread-safe.
class IrqLines {
 public:
  // Before the VM's vCPUs.
  static absl::StatusOr<std::unique_ptr<IrqLines>> Create(const Vm& vm,
                                                          IrqMode mode,
                                                          bool with_pit);

  [[nodiscard]] IrqMode mode() const { return mode_; }

  // Binds the eventfd to its GSI, or unbinds it.
  absl::Status Toggle(const Vm& vm);

  void Signal();
  // Calls of Signal and CheckDelivery that have begun.
  [[nodiscard]] uint64_t signals() const { return signals_.load(); }

  // With the full set: signals with the irqfd bound, then calls `arrived`,
  // which runs vCPU 0 a little, until it returns true.
  absl::Status CheckDelivery(const Vm& vm,
                             absl::FunctionRef<absl::StatusOr<bool>()> arrived);

  // Commits the table with a number of further MSI routes.
  absl::Status ChangeRoutes(uint32_t count);

  // With the full set and the vCPUs stopped.
  absl::StatusOr<VmState> Save(const Vm& vm) const;
  absl::Status Restore(const Vm& vm, const VmState& state);

 private:
  IrqLines(IrqMode mode, EventFd event)
      : mode_(mode), event_(std::move(event)) {}

  absl::Status SetUp(const Vm& vm, bool with_pit);
  absl::Status Bind(const Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const IrqMode mode_;
  const EventFd event_;
  std::optional<IrqChip> chip_;
  std::optional<Pit> pit_;
  std::atomic<uint64_t> signals_ = 0;

  Mutex mutex_;
  std::optional<IrqRouting> routing_ ABSL_GUARDED_BY(mutex_);
  std::optional<IrqFd> bound_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_IRQ_LINES_H_
