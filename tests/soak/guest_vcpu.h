// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_GUEST_VCPU_H_
#define TESTS_SOAK_GUEST_VCPU_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/kvm/xsave.h"
#include "tests/soak/change_mark.h"
#include "tests/soak/counts.h"
#include "tests/soak/guest_program.h"
#include "tests/soak/kick_target.h"

namespace libvmm::soak {

class DeviceSlot;
class Doorbell;
class Faults;
class IrqLines;
class MachineMemory;
class WriteLog;
enum class IrqMode : uint8_t;

// The host's account of where a vCPU is in the guest's loop.
struct GuestModel {
  // The exits of an iteration that always happen, in their order.
  enum class Phase : uint8_t {
    kInput,
    kSlotPort,
    kSlotMemory,
    kWindow,
    kNumber,
    kSum,
  };
  static constexpr uint32_t kPhaseCount = 6;

  // Chooses the values that the channel gives.
  uint64_t salt = 0;
  uint32_t n = 0;
  uint32_t sum = 0;
  Phase last = Phase::kSum;
  // Interrupts queued by KVM_INTERRUPT.
  uint32_t injected = 0;
  // Of this iteration's store to the window and its load.
  std::optional<ChangeMark::Reading> window_mark = std::nullopt;
  bool window_store_exit = false;
  std::optional<uint32_t> window_load_exit = std::nullopt;
};

// A stopped vCPU, with its page of memory and its account.
struct VcpuSnapshot {
  IrqMode irq_mode{};
  size_t index = 0;
  GuestModel model;
  std::array<std::byte, kGuestPageSize> page = {};
  kvm_mp_state mp_state = {};
  kvm_vcpu_events events = {};
  kvm_regs regs = {};
  kvm_sregs sregs = {};
  kvm_debugregs debugregs = {};
  std::optional<kvm_xcrs> xcrs = std::nullopt;
  std::optional<kvm_lapic_state> lapic = std::nullopt;
  XsaveState xsave;
};

// One vCPU of the soak that runs the guest program, with all that it touches.
// Each exit is dispatched and then held against the account.
//
// Thread-safety: vCPU-thread, but kicks() is for any thread.
class GuestVcpu {
 public:
  // What the VM has for the guest; outlives this object's last run.
  struct Surroundings {
    const Vm& vm;
    IoBus& ports;
    IoBus& mmio;
    MachineMemory& memory;
    IrqLines& irq;
    WriteLog* log = nullptr;  // null where KVM has none
    Doorbell& doorbell;
    std::span<const std::unique_ptr<DeviceSlot>> port_slots;
    std::span<const std::unique_ptr<DeviceSlot>> memory_slots;
    Faults& faults;
    Counts& counts;
  };
  struct Options {
    size_t index = 0;
    uint64_t salt = 0;
    bool sync_registers = false;
  };
  static absl::StatusOr<std::unique_ptr<GuestVcpu>> Create(
      const Kvm& kvm, Vcpu vcpu, const Surroundings& surroundings,
      const Options& options);
  ~GuestVcpu();

  [[nodiscard]] size_t index() const { return index_; }
  [[nodiscard]] const std::shared_ptr<KickTarget>& kicks() const {
    return kicks_;
  }

  // Runs `iterations` on, up to the exit `phase`, and compares everything: the
  // place where the account is exact.
  struct Stop {
    uint32_t iterations = 1;
    GuestModel::Phase phase = GuestModel::Phase::kInput;
  };
  absl::Status RunTo(VcpuThread& thread, const Stop& stop);

  // Run once; the exit is served. With kDeadline and kHalt the guest stands
  // anywhere.
  absl::StatusOr<ExitReason> RunOnce(VcpuThread& thread);

  // Makes the guest spin at the end of its iterations, or not.
  absl::Status SetSpin(bool on);
  // Makes it halt there.
  absl::Status SetHalt(bool on);
  // Gets it out of a HLT that no interrupt has ended.
  absl::Status EndHalt();

  // Queues an interrupt and runs until it has arrived. False when the guest
  // cannot take one now.
  absl::StatusOr<bool> CheckInjection(VcpuThread& thread);
  // Runs an iteration; true when an interrupt has come since `before`.
  absl::StatusOr<bool> RunAndSeeInterrupt(VcpuThread& thread, uint32_t before);
  [[nodiscard]] uint32_t interrupts() const;

  // Behind RunTo. The state is at rest: nothing is pending in it.
  absl::StatusOr<VcpuSnapshot> Save();
  absl::Status Restore(const VcpuSnapshot& snapshot);

  // With no one left to kick: reports what is still owed.
  absl::Status Finish(VcpuThread& thread);

 private:
  class Channel;
  using Phase = GuestModel::Phase;

  GuestVcpu(Vcpu vcpu, const Surroundings& surroundings,
            const Options& options);

  absl::Status SetUp(const Kvm& kvm, const Options& options);

  absl::Status Serve(const Exit& exit);
  absl::Status ServePort(const Exit& exit);
  absl::Status ServeMemory(const Exit& exit);
  absl::Status ServeSlot(const Exit& exit, const DeviceSlot& slot,
                         std::span<std::byte> data);
  absl::Status ServeWindow(const Exit& exit, std::span<std::byte> data);
  absl::Status ServeUnclaimed(const Exit& exit);
  absl::Status CountLogWrite(uint32_t word);
  absl::Status TakeLog();
  absl::Status Retire();

  // The exit `phase` has come: is it its turn?
  absl::Status Enter(Phase phase);
  absl::Status CheckWindow(uint32_t loaded) const;
  absl::Status CheckRest();
  [[nodiscard]] size_t slot() const { return model_.n % kSlots; }

  Vcpu vcpu_;
  const size_t index_;
  Surroundings surroundings_;
  std::shared_ptr<KickTarget> kicks_;
  ExitDispatcher dispatcher_;
  std::unique_ptr<Channel> channel_;
  IoRegistration channel_registration_;

  GuestModel model_;
  absl::Status channel_status_;
  // Rings of the doorbell that came as exits, and as events when last looked
  // at; all rings less iterations done.
  uint64_t doorbell_exits_ = 0;
  uint64_t doorbell_events_ = 0;
  int64_t doorbell_base_ = 0;
  uint32_t last_logged_ = 0;
  // Interrupts that the guest may have had: its count at some moment, the
  // signals until then, and what may have been under way.
  uint32_t interrupt_base_ = 0;
  uint64_t signal_base_ = 0;
  uint64_t interrupt_slack_ = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_GUEST_VCPU_H_
