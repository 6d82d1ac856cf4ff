// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc.h"

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/e820.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/platform/boot_msrs.h"
#include "libvmm/platform/local_apic_setup.h"
#include "libvmm/platform/pc_boot.h"
#include "libvmm/platform/pc_tables.h"

namespace libvmm {

namespace {

absl::StatusOr<MemoryRegion> MakeRam(const PcMemory& config, uint64_t size) {
  if (config.shared) {
    return MemoryRegion::Memfd({.size = size, .prefault = config.prefault});
  }
  MemoryRegion::AnonymousOptions options{
      .size = size,
      .huge_pages = config.huge_pages ? MemoryRegion::HugePages::kAlways
                                      : MemoryRegion::HugePages::kNever,
      .prefault = config.prefault,
      .no_reserve = true};
  absl::StatusOr<MemoryRegion> ram = MemoryRegion::Anonymous(options);
  if (absl::IsUnimplemented(ram.status())) {
    // A kernel without transparent huge pages has small ones alone.
    options.huge_pages = MemoryRegion::HugePages::kDefault;
    ram = MemoryRegion::Anonymous(options);
  }
  return ram;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pc>> Pc::Create(const Kvm& kvm,
                                               const PcConfig& config,
                                               PcHost host) {
  LIBVMM_RETURN_IF_ERROR(ValidatePcConfig(config));
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
  std::unique_ptr<Pc> pc(
      new Pc(config, std::move(host), std::move(vm), std::move(memory)));
  LIBVMM_RETURN_IF_ERROR(pc->SetUp(kvm));
  return pc;
}

Pc::Pc(PcConfig config, PcHost host, Vm vm, VmMemory memory)
    : config_(std::move(config)),
      host_(std::move(host)),
      layout_(PcLayout::ForRam(config_.memory.size_mib << 20)),
      clock_(host_.clock != nullptr ? *host_.clock : system_clock_),
      vm_(std::move(vm)),
      memory_(std::move(memory)),
      stop_([this] { Wake(); }) {}

Pc::~Pc() = default;

void Pc::ClearStop() {
  // In this order: the watch must not stop the machine again for what it saw
  // before.
  if (halt_watch_ != nullptr) halt_watch_->Reset();
  stop_.Clear();
  // The watch has a deadline again.
  deadlines_->Wake();
}

void Pc::Wake() {
  for (const std::unique_ptr<PcVcpu>& vcpu : vcpus_) vcpu->WakeForInterrupt();
  deadlines_->Wake();
}

absl::Status Pc::SetUp(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(deadlines_, DeadlineSource::Create(clock_));
  event_sources_.push_back(deadlines_.get());
  LIBVMM_RETURN_IF_ERROR(CreateInterrupts());
  LIBVMM_RETURN_IF_ERROR(AddMemory());
  LIBVMM_RETURN_IF_ERROR(CreateBoard());
  LIBVMM_ASSIGN_OR_RETURN(const HostCpuid host, HostCpuid::Query(kvm));
  LIBVMM_RETURN_IF_ERROR(CreateVcpus(host));
  return Boot(host);
}

absl::Status Pc::CreateInterrupts() {
  LIBVMM_RETURN_IF_ERROR(SetTssAddress(vm_, PcLayout::kTss));
  LIBVMM_RETURN_IF_ERROR(SetIdentityMapAddress(vm_, PcLayout::kIdentityMap));
  PcInterruptParts parts{.clock = clock_,
                         .ports = ports_,
                         .mmio = mmio_,
                         .deadlines = *deadlines_,
                         .wake_vcpu = [this] {
                           if (!vcpus_.empty())
                             vcpus_.front()->WakeForInterrupt();
                         }};
  switch (config_.irqchip) {
    case PcIrqChip::kInKernel: {
      LIBVMM_ASSIGN_OR_RETURN(interrupts_, CreateKernelInterrupts(vm_));
      break;
    }
    case PcIrqChip::kSplit: {
      LIBVMM_ASSIGN_OR_RETURN(interrupts_,
                              CreateSplitInterrupts(vm_, std::move(parts)));
      break;
    }
    case PcIrqChip::kNone: {
      LIBVMM_ASSIGN_OR_RETURN(interrupts_,
                              CreatePicInterrupts(std::move(parts)));
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status Pc::AddMemory() {
  if (host_.progress) host_.progress("memory");
  LIBVMM_RETURN_IF_ERROR(memory_.Reserve(PcLayout::kLocalApic));
  LIBVMM_RETURN_IF_ERROR(memory_.Reserve({PcLayout::kTss, kTssSize}));
  LIBVMM_RETURN_IF_ERROR(
      memory_.Reserve({PcLayout::kIdentityMap, kIdentityMapSize}));
  for (const GpaRange& range : {layout_.low_ram, layout_.high_ram}) {
    if (range.size == 0) continue;
    LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                            MakeRam(config_.memory, range.size));
    LIBVMM_RETURN_IF_ERROR(memory_.Add(range.start, std::move(ram)));
  }
  return absl::OkStatus();
}

absl::Status Pc::CreateBoard() {
  LIBVMM_ASSIGN_OR_RETURN(board_,
                          PcBoard::Create({.config = config_,
                                           .layout = layout_,
                                           .host = host_,
                                           .clock = clock_,
                                           .ports = ports_,
                                           .mmio = mmio_,
                                           .memory = memory_.guest_memory(),
                                           .interrupts = *interrupts_,
                                           .deadlines = *deadlines_,
                                           .stop = stop_}));
  if (config_.halt_check > absl::ZeroDuration() &&
      config_.irqchip != PcIrqChip::kNone) {
    halt_watch_ = std::make_unique<HaltWatch>(
        clock_, HaltWatch::Options{
                    .cpu_count = config_.topology.vcpu_count(),
                    .interval = config_.halt_check,
                    .ask = [this](uint32_t cpu) { vcpus_[cpu]->CheckHalt(); },
                    .halted =
                        [this] {
                          stop_.Set({.reason = PcStopReason::kHalted,
                                     .source = "HLT with interrupts off"});
                        },
                });
    deadlines_->Add(*halt_watch_);
  }
  return absl::OkStatus();
}

absl::StatusOr<Cpuid> Pc::CpuidOf(const HostCpuid& host, uint32_t index) const {
  return BuildCpuid(host, config_.cpu, config_.topology, index,
                    {.local_apic = config_.irqchip != PcIrqChip::kNone});
}

absl::Status Pc::CreateVcpus(const HostCpuid& host) {
  if (host_.progress) host_.progress("vCPUs");
  for (uint32_t i = 0; i < config_.topology.vcpu_count(); ++i) {
    LIBVMM_ASSIGN_OR_RETURN(const Cpuid cpuid, CpuidOf(host, i));
    LIBVMM_RETURN_IF_ERROR(CreateVcpu(cpuid, i));
  }
  return absl::OkStatus();
}

absl::Status Pc::CreateVcpu(const Cpuid& cpuid, uint32_t index) {
  const bool local_apic = config_.irqchip != PcIrqChip::kNone;
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu,
                          Vcpu::Create(vm_, config_.topology.ApicId(index)));
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, cpuid));
  LIBVMM_RETURN_IF_ERROR(WriteBootMsrs(vcpu, config_.cpu, cpuid));
  if (local_apic) LIBVMM_RETURN_IF_ERROR(WireLocalInterrupts(vcpu));

  PcVcpu::Options options{.halt_exits = !local_apic};
  if (index == 0 && interrupts_->needs_entry_hook()) {
    options.before_entry = [this](Vcpu& first) {
      return interrupts_->BeforeEntry(first);
    };
    options.interrupt_pending = [this] { return interrupts_->pending(); };
  }
  options.end_of_interrupt = [this](uint8_t vector) {
    interrupts_->EndOfInterrupt(vector);
  };
  if (halt_watch_ != nullptr) {
    options.report_halt = [this, index](bool halted) {
      halt_watch_->Report(index, halted);
    };
  }
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<PcVcpu> pc_vcpu,
                          PcVcpu::Create(std::move(vcpu), ports_, mmio_, stop_,
                                         std::move(options)));
  vcpus_.push_back(std::move(pc_vcpu));
  return absl::OkStatus();
}

absl::Status Pc::Boot(const HostCpuid& host) {
  Vcpu& vcpu = vcpus_.front()->vcpu();
  Gpa rsdp;
  if (!std::holds_alternative<PcFirmwareBoot>(config_.boot)) {
    LIBVMM_ASSIGN_OR_RETURN(const Cpuid cpuid, CpuidOf(host, 0));
    LIBVMM_ASSIGN_OR_RETURN(
        rsdp, WritePcTables(config_, layout_, cpuid, memory_.guest_memory()));
  }
  LIBVMM_ASSIGN_OR_RETURN(const E820Map map, PcMemoryMap(config_, layout_));
  return LoadPcBoot(config_.boot, {.host = host_,
                                   .memory_map = map,
                                   .rsdp = rsdp,
                                   .memory = memory_,
                                   .vcpu = vcpu});
}

}  // namespace libvmm
