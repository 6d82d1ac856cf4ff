// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libvmm/base/field.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/e820.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/features.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/platform/boot_msrs.h"
#include "libvmm/platform/local_apic_setup.h"
#include "libvmm/platform/pc_boot.h"
#include "libvmm/platform/pc_tables.h"
#include "libvmm/platform/pc_virtio.h"

namespace libvmm {

namespace {

// The highest id that a local APIC has without x2APIC.
constexpr uint32_t kMaxXapicId = 254;

// CPUID leaf 0x80000008, EAX bits 7:0; 36 where a processor has no such leaf
// (Intel SDM volume 3, chapter 4.1.4).
unsigned PhysicalAddressBits(const Cpuid& cpuid) {
  using AddressBits = Field<uint32_t, 7, 0>;
  constexpr unsigned kWithoutLeaf = 36;
  constexpr unsigned kFewest = 32;
  const kvm_cpuid_entry2* leaf = cpuid.Find({.function = 0x80000008});
  if (leaf == nullptr) return kWithoutLeaf;
  return std::clamp<unsigned>(AddressBits::Get(leaf->eax), kFewest,
                              PcLayout::kMaxAddressBits);
}

absl::StatusOr<MemoryRegion> MakeRam(const PcMemory& config, uint64_t size,
                                     MemoryRegion::HugePages huge_pages) {
  if (config.shared) {
    return MemoryRegion::Memfd(
        {.size = size, .huge_pages = huge_pages, .prefault = config.prefault});
  }
  return MemoryRegion::Anonymous({.size = size,
                                  .huge_pages = huge_pages,
                                  .prefault = config.prefault,
                                  .no_reserve = true});
}

absl::StatusOr<MemoryRegion> MakeRam(const PcMemory& config, uint64_t size) {
  using HugePages = MemoryRegion::HugePages;
  absl::StatusOr<MemoryRegion> ram = MakeRam(
      config, size, config.huge_pages ? HugePages::kAlways : HugePages::kNever);
  if (!absl::IsUnimplemented(ram.status())) return ram;
  // A kernel without transparent huge pages has small ones alone.
  return MakeRam(config, size, HugePages::kDefault);
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
  LIBVMM_ASSIGN_OR_RETURN(const HostCpuid host, HostCpuid::Query(kvm));
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid cpuid, CpuidOf(host, 0));
  layout_ = PcLayout::ForRam(config_.memory.size_mib << 20,
                             PhysicalAddressBits(cpuid));
  LIBVMM_RETURN_IF_ERROR(CheckLimits(kvm, cpuid));
  LIBVMM_RETURN_IF_ERROR(CreateInterrupts());
  LIBVMM_RETURN_IF_ERROR(AddMemory());
  LIBVMM_RETURN_IF_ERROR(CreateBoard());
  LIBVMM_RETURN_IF_ERROR(CreateVirtio());
  LIBVMM_RETURN_IF_ERROR(CreateVcpus(host));
  return Boot(cpuid);
}

absl::Status Pc::CheckLimits(const Kvm& kvm, const Cpuid& cpuid) const {
  const auto most =
      static_cast<uint32_t>(kvm.features().value(Feature::kVcpuCountMax));
  const uint32_t count = config_.topology.vcpu_count();
  if (most != 0 && count > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("topology: the number of vCPUs is ", count,
                     ", expected 1 to ", most, " (KVM_CAP_MAX_VCPUS)"));
  }
  const auto id_limit =
      static_cast<uint32_t>(kvm.features().value(Feature::kVcpuIdLimit));
  const uint32_t id = config_.topology.max_apic_id();
  if (id_limit != 0 && id >= id_limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("topology: the highest APIC id is ", id,
                     ", expected below ", id_limit, " (KVM_CAP_MAX_VCPU_ID)"));
  }
  const unsigned address_bits = PhysicalAddressBits(cpuid);
  if (layout_.ram_end() > Gpa(uint64_t{1} << address_bits)) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory.size_mib is ", config_.memory.size_mib,
                     ", more than the processor's ", address_bits,
                     " bits of physical address reach"));
  }
  return absl::OkStatus();
}

bool Pc::wide_apic_ids() const {
  return config_.irqchip != PcIrqChip::kNone &&
         config_.topology.max_apic_id() > kMaxXapicId;
}

absl::Status Pc::CreateInterrupts() {
  LIBVMM_RETURN_IF_ERROR(SetTssAddress(vm_, PcLayout::kTss));
  LIBVMM_RETURN_IF_ERROR(SetIdentityMapAddress(vm_, PcLayout::kIdentityMap));
  if (wide_apic_ids()) {
    LIBVMM_RETURN_IF_ERROR(SetX2ApicApi(
        vm_,
        KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK));
  }
  PcInterruptParts parts{.clock = clock_,
                         .ports = ports_,
                         .mmio = mmio_,
                         .deadlines = *deadlines_,
                         .extended_destination_ids = wide_apic_ids(),
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

absl::Status Pc::CreateVirtio() {
  const auto pci_line = [this](uint8_t device) {
    return board_->PciLine(device);
  };
  const PcVirtioWires wires{.vm = vm_,
                            .mmio = mmio_,
                            .pci = board_->pci(),
                            .memory = memory_.guest_memory(),
                            .interrupts = *interrupts_,
                            .deadlines = *deadlines_,
                            .clock = clock_,
                            .pci_line = pci_line};
  LIBVMM_ASSIGN_OR_RETURN(
      virtio_, PcVirtio::Create(wires, config_.virtio,
                                PcVirtioPlacesOf(config_), host_.virtio));
  virtio_->AddEventSources(event_sources_);
  return absl::OkStatus();
}

absl::StatusOr<Cpuid> Pc::CpuidOf(const HostCpuid& host, uint32_t index) const {
  return BuildCpuid(
      host, config_.cpu, config_.topology, index,
      {.local_apic = config_.irqchip != PcIrqChip::kNone,
       .extended_destination_ids =
           wide_apic_ids() && config_.irqchip == PcIrqChip::kSplit});
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

absl::Status Pc::Boot(const Cpuid& cpuid) {
  Vcpu& vcpu = vcpus_.front()->vcpu();
  Gpa rsdp;
  if (!std::holds_alternative<PcFirmwareBoot>(config_.boot)) {
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
