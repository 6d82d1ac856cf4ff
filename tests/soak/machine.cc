// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/machine.h"

#include <functional>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/dirty_log.h"
#include "tests/soak/random.h"

namespace libvmm::soak {

absl::StatusOr<std::shared_ptr<Machine>> Machine::Create(
    const Kvm& kvm, Counts& counts, const Options& options) {
  std::shared_ptr<Machine> machine(
      new Machine(counts, options.destruction_order));
  LIBVMM_RETURN_IF_ERROR(machine->SetUp(kvm, options));
  counts.vms.fetch_add(1);
  return machine;
}

absl::Status Machine::SetUp(const Kvm& kvm, const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(vm_, Vm::Create(kvm));
  const bool manual =
      options.manual_dirty_log && kvm.features().has(Feature::kManualDirtyLog);
  if (manual) {
    LIBVMM_RETURN_IF_ERROR(EnableManualDirtyLog(*vm_, /*initially_set=*/false));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      memory_,
      MachineMemory::Create(
          *vm_, {.base = options.base,
                 .dirty_source = manual ? VmMemory::DirtySource::kManualLog
                                        : VmMemory::DirtySource::kLog,
                 .threads = options.threads}));
  LIBVMM_ASSIGN_OR_RETURN(
      irq_, IrqLines::Create(*vm_, options.irq_mode, options.with_pit));
  ports_ = std::make_unique<IoBus>(AddressSpace::kPio);
  mmio_ = std::make_unique<IoBus>(AddressSpace::kMmio);
  for (size_t slot = 0; slot < kSlots; ++slot) {
    port_slots_.push_back(std::make_unique<DeviceSlot>(
        *ports_, *memory_, faults_,
        DeviceSlot::Options{.range = {.base = SlotPort(slot), .size = 4},
                            .word = kDeviceWords + slot * 8}));
    memory_slots_.push_back(std::make_unique<DeviceSlot>(
        *mmio_, *memory_, faults_,
        DeviceSlot::Options{
            .range = {.base = SlotAddress(slot).value(), .size = 4},
            .word = kDeviceWords + (kSlots + slot) * 8}));
  }
  for (size_t index = 0; index < options.vcpus; ++index) {
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu,
                            Vcpu::Create(*vm_, static_cast<uint32_t>(index)));
    if (index == 0 && kvm.features().has(Feature::kCoalescedMmio)) {
      LIBVMM_ASSIGN_OR_RETURN(log_, WriteLog::Create(*vm_, vcpu));
    }
    LIBVMM_RETURN_IF_ERROR(AddVcpu(kvm, std::move(vcpu), options, index));
  }
  return absl::OkStatus();
}

absl::Status Machine::AddVcpu(const Kvm& kvm, Vcpu vcpu, const Options& options,
                              size_t index) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Doorbell> doorbell,
                          Doorbell::Create(DoorbellPort(index)));
  doorbells_.push_back(std::move(doorbell));
  LIBVMM_ASSIGN_OR_RETURN(
      std::unique_ptr<GuestVcpu> guest,
      GuestVcpu::Create(kvm, std::move(vcpu),
                        {.vm = *vm_,
                         .ports = *ports_,
                         .mmio = *mmio_,
                         .memory = *memory_,
                         .irq = *irq_,
                         .log = log_.get(),
                         .doorbell = *doorbells_.back(),
                         .port_slots = port_slots_,
                         .memory_slots = memory_slots_,
                         .faults = faults_,
                         .counts = counts_},
                        {.index = index,
                         .salt = options.salt + index,
                         .sync_registers = options.sync_registers}));
  vcpus_.push_back(std::move(guest));
  vcpu_mutexes_.push_back(std::make_unique<Mutex>());
  return absl::OkStatus();
}

Machine::~Machine() {
  std::vector<std::function<void()>> parts = {
      [this] { vm_.reset(); },           [this] { memory_.reset(); },
      [this] { irq_.reset(); },          [this] { ports_.reset(); },
      [this] { mmio_.reset(); },         [this] { port_slots_.clear(); },
      [this] { memory_slots_.clear(); }, [this] { doorbells_.clear(); },
      [this] { vcpus_.clear(); },        [this] { log_.reset(); },
  };
  Random random(destruction_order_);
  for (size_t left = parts.size(); left > 0; --left) {
    const uint32_t pick = random.Below(static_cast<uint32_t>(left));
    parts[pick]();
    std::swap(parts[pick], parts[left - 1]);
  }
}

}  // namespace libvmm::soak
