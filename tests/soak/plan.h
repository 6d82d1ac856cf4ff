// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_PLAN_H_
#define TESTS_SOAK_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace libvmm::soak {

// What the threads of the soak do to the VMs, which stand in numbered cells.
enum class OperationKind : uint8_t {
  kCreateVm,         // a new VM takes the cell; the old one goes
  kDestroyVm,        // the cell is empty then
  kRun,              // some iterations of the guest
  kRunForExits,      // a deadline by exits
  kSpin,             // a guest that never exits, ended by a deadline by time
  kSpinUntilKicked,  // the same, ended by a kick from another thread
  kHalt,             // HLT: an exit, or sleep in the kernel ended by a deadline
  kKick,             // from outside, whoever runs
  kKickStale,        // through Kickers kept from VMs that may be gone
  kToggleDevice,     // register or unregister
  kCheckDevice,      // the guest must reach the device
  kToggleWindow,     // add or remove memory
  kHostAccess,       // words of guest memory
  kReclaim,          // GuestMemory::Reclaim
  kToggleDirty,      // start or stop tracking
  kCheckDirty,       // the pages that were written, and not others
  kToggleDoorbell,   // ioeventfd
  kToggleCoalesced,  // zone of coalesced MMIO
  kToggleIrq,        // irqfd
  kSignalIrq,        // through its eventfd, whoever runs
  kCheckIrq,         // an interrupt must arrive: irqfd or KVM_INTERRUPT
  kChangeRoutes,     // KVM_SET_GSI_ROUTING
  kSaveVcpu,         // to a shelf
  kRestoreVcpu,      // from the shelf into any vCPU alike
  kSaveVm,           // controllers, timer, clock
  kRestoreVm,
};
inline constexpr size_t kOperationKindCount =
    static_cast<size_t>(OperationKind::kRestoreVm) + 1;

[[nodiscard]] absl::string_view OperationName(OperationKind kind);

// Where and how; each operation takes from it what it needs.
struct Operation {
  OperationKind kind = OperationKind::kRun;
  uint32_t cell = 0;
  uint32_t vcpu = 0;   // reduced to those that the VM has
  uint32_t shelf = 0;  // of saved states
  std::array<uint32_t, 4> words = {};

  friend bool operator==(const Operation&, const Operation&) = default;
};

struct PlanOptions {
  uint64_t seed = 1;
  uint32_t cells = 6;
  uint32_t shelves = 4;
};

// The operation that `thread` does as its `step`th: a function of its arguments
// alone. So a thread does the same again whatever the others did meanwhile, and
// the plan can be printed after the event.
[[nodiscard]] Operation PlanOperation(const PlanOptions& options,
                                      uint32_t thread, uint64_t step);

[[nodiscard]] std::string Describe(const Operation& operation);

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_PLAN_H_
