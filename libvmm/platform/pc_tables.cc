// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_tables.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/linux/reset_stub.h"
#include "libvmm/boot/mp_table/mp_table.h"
#include "libvmm/boot/smbios/smbios.h"
#include "libvmm/devices/panic/pvpanic.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/platform/pc_places.h"

namespace libvmm {

namespace {

// Ids that an xAPIC, and so an MP table, can have.
constexpr uint32_t kMaxXapicId = 254;

// As many sockets as the tables describe. SMBIOS is an inventory: nothing
// depends on the rest.
constexpr uint32_t kMaxSmbiosSockets = 256;

uint32_t CpuSignature(const Cpuid& cpuid) {
  const kvm_cpuid_entry2* leaf = cpuid.Find({.function = 1});
  return leaf == nullptr ? 0 : leaf->eax;
}

uint32_t CpuFeatures(const Cpuid& cpuid) {
  const kvm_cpuid_entry2* leaf = cpuid.Find({.function = 1});
  return leaf == nullptr ? 0 : leaf->edx;
}

absl::Status WriteSmbios(const PcConfig& config, const PcLayout& layout,
                         const Cpuid& cpuid, GuestMemory& memory) {
  SmbiosConfig smbios;
  smbios.processors.sockets =
      std::min(config.topology.sockets, kMaxSmbiosSockets);
  smbios.processors.cores = config.topology.cores_per_socket;
  smbios.processors.threads = config.topology.threads_per_socket();
  smbios.processors.signature = CpuSignature(cpuid);
  smbios.processors.features = CpuFeatures(cpuid);
  smbios.memory.ranges.push_back(layout.low_ram);
  if (layout.high_ram.size != 0) {
    smbios.memory.ranges.push_back(layout.high_ram);
  }
  LIBVMM_ASSIGN_OR_RETURN(const SmbiosTables tables,
                          BuildSmbiosTables(smbios, PcLayout::kSmbiosTables));
  return tables.memory.Write(memory);
}

absl::Status WriteMpTable(const PcConfig& config, const Cpuid& cpuid,
                          GuestMemory& memory) {
  if (config.irqchip == PcIrqChip::kNone ||
      config.topology.max_apic_id() >= kMaxXapicId) {
    return absl::OkStatus();
  }
  MpConfig mp;
  mp.cpu_signature = CpuSignature(cpuid);
  mp.cpu_features = CpuFeatures(cpuid);
  mp.apic_ids.clear();
  for (uint32_t i = 0; i < config.topology.vcpu_count(); ++i) {
    mp.apic_ids.push_back(static_cast<uint8_t>(config.topology.ApicId(i)));
  }
  mp.io_apic.id = static_cast<uint8_t>(config.topology.max_apic_id() + 1);
  LIBVMM_ASSIGN_OR_RETURN(const PlacedBytes table,
                          BuildMpTable(mp, PcLayout::kMpTable));
  return table.Write(memory);
}

}  // namespace

absl::StatusOr<E820Map> PcMemoryMap(const PcConfig& config,
                                    const PcLayout& layout) {
  E820Map map;
  LIBVMM_RETURN_IF_ERROR(
      map.Add({Gpa(0), PcLayout::kBasicRamEnd.value()}, E820Type::kRam));
  LIBVMM_RETURN_IF_ERROR(map.Add(
      {PcLayout::kBasicRamEnd, PcLayout::kExtendedRam - PcLayout::kBasicRamEnd},
      E820Type::kReserved));
  const uint64_t extended =
      layout.low_ram.size - PcLayout::kExtendedRam.value();
  if (extended != 0) {
    LIBVMM_RETURN_IF_ERROR(
        map.Add({PcLayout::kExtendedRam, extended}, E820Type::kRam));
  }
  if (config.devices.pci) {
    LIBVMM_RETURN_IF_ERROR(map.Add(PcLayout::kEcam, E820Type::kReserved));
  }
  if (layout.high_ram.size != 0) {
    LIBVMM_RETURN_IF_ERROR(map.Add(layout.high_ram, E820Type::kRam));
  }
  return map;
}

AcpiConfig PcAcpiConfig(const PcConfig& config, const PcLayout& layout) {
  AcpiConfig acpi;
  acpi.hardware = AcpiFixedHardware{
      .pm1a_event = kPcPmPort,
      .pm1a_control = kPcPmPort + 4,
      .pm_timer = kPcPmPort + 8,
  };
  acpi.soft_off_slp_typ = kPcSoftOffSleepType;
  acpi.interrupts.processors.clear();
  for (uint32_t i = 0; i < config.topology.vcpu_count(); ++i) {
    acpi.interrupts.processors.push_back(
        {.apic_id = config.topology.ApicId(i)});
  }
  if (config.irqchip == PcIrqChip::kNone) {
    // No IOAPIC to say anything about.
    acpi.interrupts.io_apics.clear();
    acpi.interrupts.overrides.clear();
    acpi.interrupts.nmi_lint = std::nullopt;
  }
  for (uint32_t i = 0; i < config.devices.serial_ports; ++i) {
    acpi.serial_ports.push_back(
        {.port = kPcSerialPlaces[i].port, .irq = kPcSerialPlaces[i].irq});
  }
  acpi.rtc = config.devices.rtc;
  if (config.devices.keyboard) acpi.i8042 = AcpiI8042{.mouse = false};
  if (config.devices.pvpanic) acpi.pvpanic_port = Pvpanic::kPort;
  for (const PcVirtioPlace& place : PcVirtioPlacesOf(config)) {
    if (const auto* mmio = std::get_if<PcVirtioMmioPlace>(&place.where)) {
      acpi.virtio_mmio.push_back(
          {.registers = mmio->registers, .gsi = mmio->gsi});
    }
  }
  if (config.devices.pci) {
    AcpiConfig::PciSegment segment;
    segment.bridge.buses = {.first = 0, .last = 0};
    segment.bridge.io = {{.first = static_cast<uint16_t>(kPcPciPorts.base),
                          .last = static_cast<uint16_t>(kPcPciPorts.base +
                                                        kPcPciPorts.size - 1)}};
    segment.bridge.memory = {{.range = PcLayout::kPciWindow},
                             {.range = PcLayout::kPciWindowHigh}};
    if (layout.pci_window_64.size != 0) {
      segment.bridge.memory.push_back(
          {.range = layout.pci_window_64, .prefetchable = true});
    }
    segment.bridge.routes = SwizzledPciRoutes(
        config.irqchip == PcIrqChip::kNone ? kPcPciIrqs : kPcPciGsis);
    segment.ecam = PcLayout::kEcam.start;
    acpi.pci.push_back(std::move(segment));
  }
  return acpi;
}

absl::StatusOr<AcpiTables> BuildPcAcpiTables(const PcConfig& config,
                                             const PcLayout& layout) {
  const AcpiConfig acpi = PcAcpiConfig(config, layout);
  absl::StatusOr<AcpiTables> tables =
      BuildAcpiTables(acpi, PcLayout::kAcpiTables);
  if (!absl::IsResourceExhausted(tables.status())) return tables;
  return BuildAcpiTables(acpi, PcLayout::kLargeAcpiTables);
}

absl::StatusOr<Gpa> WritePcTables(const PcConfig& config,
                                  const PcLayout& layout, const Cpuid& cpuid,
                                  GuestMemory& memory) {
  LIBVMM_ASSIGN_OR_RETURN(const AcpiTables acpi,
                          BuildPcAcpiTables(config, layout));
  LIBVMM_RETURN_IF_ERROR(acpi.memory.Write(memory));
  LIBVMM_RETURN_IF_ERROR(WriteSmbios(config, layout, cpuid, memory));
  LIBVMM_RETURN_IF_ERROR(WriteMpTable(config, cpuid, memory));
  LIBVMM_RETURN_IF_ERROR(WriteResetStub(memory));
  return acpi.rsdp();
}

}  // namespace libvmm
