// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_MACHINE_H_
#define TESTS_SOAK_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vm.h"
#include "tests/soak/backing.h"
#include "tests/soak/counts.h"
#include "tests/soak/device_slot.h"
#include "tests/soak/doorbell.h"
#include "tests/soak/faults.h"
#include "tests/soak/guest_vcpu.h"
#include "tests/soak/irq_lines.h"
#include "tests/soak/machine_memory.h"
#include "tests/soak/write_log.h"

namespace libvmm::soak {

// One VM of the soak. Threads share it by shared_ptr; the one that lets go of it
// last destroys its parts in an order drawn when it was made.
//
// Locks are taken in this order: a vCPU's, lowest index first; then any one of
// the parts' own.
//
// Thread-safety: thread-safe, but a vCPU only under its lock.
class Machine {
 public:
  struct Options {
    size_t vcpus = 1;
    IrqMode irq_mode = IrqMode::kNone;
    bool with_pit = false;
    bool manual_dirty_log = false;
    bool sync_registers = false;
    BackingKind base = BackingKind::kAnonymous;
    uint64_t salt = 0;
    uint64_t destruction_order = 0;
    size_t threads = 0;
  };
  static absl::StatusOr<std::shared_ptr<Machine>> Create(
      const Kvm& kvm, Counts& counts, const Options& options);
  ~Machine();

  [[nodiscard]] const Vm& vm() const { return *vm_; }
  [[nodiscard]] size_t vcpu_count() const { return vcpus_.size(); }
  [[nodiscard]] Mutex& vcpu_mutex(size_t index) {
    return *vcpu_mutexes_[index];
  }
  [[nodiscard]] GuestVcpu& vcpu(size_t index) { return *vcpus_[index]; }
  [[nodiscard]] MachineMemory& memory() { return *memory_; }
  [[nodiscard]] IrqLines& irq() { return *irq_; }
  // Null where KVM has no coalesced MMIO.
  [[nodiscard]] WriteLog* log() { return log_.get(); }
  [[nodiscard]] Doorbell& doorbell(size_t index) { return *doorbells_[index]; }
  // 2 * kSlots of them, ports first.
  [[nodiscard]] DeviceSlot& slot(size_t index) {
    return index < kSlots ? *port_slots_[index]
                          : *memory_slots_[index - kSlots];
  }

  [[nodiscard]] const Faults& faults() const { return faults_; }

 private:
  Machine(Counts& counts, uint64_t destruction_order)
      : counts_(counts), destruction_order_(destruction_order) {}

  absl::Status SetUp(const Kvm& kvm, const Options& options);
  absl::Status AddVcpu(const Kvm& kvm, Vcpu vcpu, const Options& options,
                       size_t index);

  Counts& counts_;
  const uint64_t destruction_order_;
  Faults faults_;

  std::optional<Vm> vm_;
  std::unique_ptr<MachineMemory> memory_;
  std::unique_ptr<IrqLines> irq_;
  std::unique_ptr<IoBus> ports_;
  std::unique_ptr<IoBus> mmio_;
  std::vector<std::unique_ptr<DeviceSlot>> port_slots_;
  std::vector<std::unique_ptr<DeviceSlot>> memory_slots_;
  std::vector<std::unique_ptr<Doorbell>> doorbells_;
  std::vector<std::unique_ptr<Mutex>> vcpu_mutexes_;
  std::vector<std::unique_ptr<GuestVcpu>> vcpus_;
  std::unique_ptr<WriteLog> log_;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_MACHINE_H_
