// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/internal/machine_proto.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/platform/internal/virtio_proto.h"
#include "libvmm/platform/machine.pb.h"

namespace libvmm::internal {
namespace {

// Structured bindings throughout: a member that is added to a struct does not
// compile here until it is dealt with.

// Enumerators. A switch has no default, so that a new one is not forgotten.

machine::Machine::IrqChip ToProto(PcIrqChip irqchip) {
  switch (irqchip) {
    case PcIrqChip::kInKernel:
      break;
    case PcIrqChip::kSplit:
      return machine::Machine::SPLIT;
    case PcIrqChip::kNone:
      return machine::Machine::NONE;
  }
  return machine::Machine::IN_KERNEL;
}

PcIrqChip FromProto(machine::Machine::IrqChip irqchip) {
  switch (irqchip) {
    case machine::Machine::IN_KERNEL:
      break;
    case machine::Machine::SPLIT:
      return PcIrqChip::kSplit;
    case machine::Machine::NONE:
      return PcIrqChip::kNone;
  }
  return PcIrqChip::kInKernel;
}

machine::LevelCpu::Level ToProto(CpuLevel level) {
  switch (level) {
    case CpuLevel::kV1:
      break;
    case CpuLevel::kV2:
      return machine::LevelCpu::X86_64_V2;
    case CpuLevel::kV3:
      return machine::LevelCpu::X86_64_V3;
    case CpuLevel::kV4:
      return machine::LevelCpu::X86_64_V4;
  }
  return machine::LevelCpu::X86_64_V1;
}

CpuLevel FromProto(machine::LevelCpu::Level level) {
  switch (level) {
    case machine::LevelCpu::X86_64_V1:
      break;
    case machine::LevelCpu::X86_64_V2:
      return CpuLevel::kV2;
    case machine::LevelCpu::X86_64_V3:
      return CpuLevel::kV3;
    case machine::LevelCpu::X86_64_V4:
      return CpuLevel::kV4;
  }
  return CpuLevel::kV1;
}

machine::LevelCpu::Protections ToProto(Protections protections) {
  switch (protections) {
    case Protections::kKeep:
      break;
    case Protections::kDrop:
      return machine::LevelCpu::DROP;
  }
  return machine::LevelCpu::KEEP;
}

Protections FromProto(machine::LevelCpu::Protections protections) {
  switch (protections) {
    case machine::LevelCpu::KEEP:
      break;
    case machine::LevelCpu::DROP:
      return Protections::kDrop;
  }
  return Protections::kKeep;
}

machine::LinuxBoot::Protocol ToProto(PcLinuxBoot::Protocol protocol) {
  switch (protocol) {
    case PcLinuxBoot::Protocol::kAuto:
      break;
    case PcLinuxBoot::Protocol::kBzImage:
      return machine::LinuxBoot::BZ_IMAGE;
    case PcLinuxBoot::Protocol::kPvh:
      return machine::LinuxBoot::PVH;
    case PcLinuxBoot::Protocol::kUnpackedPvh:
      return machine::LinuxBoot::UNPACKED_PVH;
  }
  return machine::LinuxBoot::AUTO;
}

PcLinuxBoot::Protocol FromProto(machine::LinuxBoot::Protocol protocol) {
  switch (protocol) {
    case machine::LinuxBoot::AUTO:
      break;
    case machine::LinuxBoot::BZ_IMAGE:
      return PcLinuxBoot::Protocol::kBzImage;
    case machine::LinuxBoot::PVH:
      return PcLinuxBoot::Protocol::kPvh;
    case machine::LinuxBoot::UNPACKED_PVH:
      return PcLinuxBoot::Protocol::kUnpackedPvh;
  }
  return PcLinuxBoot::Protocol::kAuto;
}

// CPU.

void ToProto(const CpuTopology& from, machine::Topology& to) {
  const auto& [sockets, cores_per_socket, threads_per_core] = from;
  to.set_sockets(sockets);
  to.set_cores_per_socket(cores_per_socket);
  to.set_threads_per_core(threads_per_core);
}

void FromProto(const machine::Topology& from, CpuTopology& to) {
  auto& [sockets, cores_per_socket, threads_per_core] = to;
  if (from.has_sockets()) sockets = from.sockets();
  if (from.has_cores_per_socket()) cores_per_socket = from.cores_per_socket();
  if (from.has_threads_per_core()) threads_per_core = from.threads_per_core();
}

void ToProto(const HostCpu&, machine::Cpu& to) { to.mutable_host(); }

void ToProto(const LevelCpu& from, machine::Cpu& to) {
  const auto& [level, protections] = from;
  to.mutable_level()->set_level(ToProto(level));
  to.mutable_level()->set_protections(ToProto(protections));
}

LevelCpu FromProto(const machine::LevelCpu& from) {
  LevelCpu to;
  auto& [level, protections] = to;
  if (from.has_level()) level = FromProto(from.level());
  if (from.has_protections()) protections = FromProto(from.protections());
  return to;
}

void ToProto(const CustomCpu& from, machine::Cpu& to) {
  const auto& [cpuid, msrs, allow_unsupported] = from;
  machine::CustomCpu& custom = *to.mutable_custom();
  for (const kvm_cpuid_entry2& entry : cpuid.entries()) {
    machine::CpuidEntry& added = *custom.add_cpuid();
    added.set_function(entry.function);
    if ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0) {
      added.set_index(entry.index);
    }
    added.set_eax(entry.eax);
    added.set_ebx(entry.ebx);
    added.set_ecx(entry.ecx);
    added.set_edx(entry.edx);
  }
  for (const libvmm::Msr& msr : msrs.entries()) {
    machine::Msr& added = *custom.add_msrs();
    added.set_index(msr.index);
    added.set_value(msr.value);
  }
  custom.set_allow_unsupported(allow_unsupported);
}

absl::StatusOr<CustomCpu> FromProto(const machine::CustomCpu& from) {
  CustomCpu to;
  auto& [cpuid, msrs, allow_unsupported] = to;
  for (int i = 0; i < from.cpuid_size(); ++i) {
    const machine::CpuidEntry& given = from.cpuid(i);
    if (cpuid.Find({.function = given.function(), .index = given.index()}) !=
        nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cpu.custom.cpuid[", i, "] has function 0x",
          absl::Hex(given.function()), " index 0x", absl::Hex(given.index()),
          ", which an entry before it answers"));
    }
    kvm_cpuid_entry2 entry = {};
    entry.function = given.function();
    entry.index = given.index();
    entry.flags = given.has_index() ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entry.eax = given.eax();
    entry.ebx = given.ebx();
    entry.ecx = given.ecx();
    entry.edx = given.edx();
    cpuid.Set(entry);
  }
  for (int i = 0; i < from.msrs_size(); ++i) {
    const machine::Msr& given = from.msrs(i);
    if (msrs.Find(given.index()).has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cpu.custom.msrs[", i, "] has index 0x",
                       absl::Hex(given.index()), ", which is there already"));
    }
    msrs.Set({.index = given.index(), .value = given.value()});
  }
  if (from.has_allow_unsupported())
    allow_unsupported = from.allow_unsupported();
  return to;
}

void ToProto(const CpuPolicy& from, machine::Cpu& to) {
  const auto& [model, performance_counters, nested_virtualization, amx, brand] =
      from;
  std::visit([&](const auto& chosen) { ToProto(chosen, to); }, model);
  to.set_performance_counters(performance_counters);
  to.set_nested_virtualization(nested_virtualization);
  to.set_amx(amx);
  to.set_brand(brand);
}

absl::Status FromProto(const machine::Cpu& from, CpuPolicy& to) {
  auto& [model, performance_counters, nested_virtualization, amx, brand] = to;
  switch (from.model_case()) {
    case machine::Cpu::MODEL_NOT_SET:
      break;
    case machine::Cpu::kHost:
      model = HostCpu();
      break;
    case machine::Cpu::kLevel:
      model = FromProto(from.level());
      break;
    case machine::Cpu::kCustom: {
      LIBVMM_ASSIGN_OR_RETURN(model, FromProto(from.custom()));
      break;
    }
  }
  if (from.has_performance_counters()) {
    performance_counters = from.performance_counters();
  }
  if (from.has_nested_virtualization()) {
    nested_virtualization = from.nested_virtualization();
  }
  if (from.has_amx()) amx = from.amx();
  if (from.has_brand()) brand = from.brand();
  return absl::OkStatus();
}

// Memory and devices.

void ToProto(const PcMemory& from, machine::Memory& to) {
  const auto& [size_mib, huge_pages, prefault, shared] = from;
  to.set_size_mib(size_mib);
  to.set_huge_pages(huge_pages);
  to.set_prefault(prefault);
  to.set_shared(shared);
}

void FromProto(const machine::Memory& from, PcMemory& to) {
  auto& [size_mib, huge_pages, prefault, shared] = to;
  if (from.has_size_mib()) size_mib = from.size_mib();
  if (from.has_huge_pages()) huge_pages = from.huge_pages();
  if (from.has_prefault()) prefault = from.prefault();
  if (from.has_shared()) shared = from.shared();
}

absl::StatusOr<PcDebugConsole> FromProto(const machine::DebugConsole& from) {
  PcDebugConsole to;
  auto& [port] = to;
  if (from.has_port()) {
    constexpr uint32_t kMax = std::numeric_limits<uint16_t>::max();
    if (from.port() > kMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("devices.debug_console.port is ", from.port(),
                       ", expected 0 to ", kMax));
    }
    port = static_cast<uint16_t>(from.port());
  }
  return to;
}

void ToProto(const PcDevices& from, machine::Devices& to) {
  const auto& [serial_ports, rtc, keyboard, pci, pvpanic, fw_cfg, debug_console,
               exit_port, test_device] = from;
  to.set_serial_ports(serial_ports);
  to.set_rtc(rtc);
  to.set_keyboard(keyboard);
  to.set_pci(pci);
  to.set_pvpanic(pvpanic);
  to.set_fw_cfg(fw_cfg);
  if (debug_console.has_value()) {
    const auto& [port] = *debug_console;
    to.mutable_debug_console()->set_port(port);
  }
  to.set_exit_port(exit_port);
  to.set_test_device(test_device);
}

absl::Status FromProto(const machine::Devices& from, PcDevices& to) {
  auto& [serial_ports, rtc, keyboard, pci, pvpanic, fw_cfg, debug_console,
         exit_port, test_device] = to;
  if (from.has_serial_ports()) serial_ports = from.serial_ports();
  if (from.has_rtc()) rtc = from.rtc();
  if (from.has_keyboard()) keyboard = from.keyboard();
  if (from.has_pci()) pci = from.pci();
  if (from.has_pvpanic()) pvpanic = from.pvpanic();
  if (from.has_fw_cfg()) fw_cfg = from.fw_cfg();
  if (from.has_debug_console()) {
    LIBVMM_ASSIGN_OR_RETURN(debug_console, FromProto(from.debug_console()));
  }
  if (from.has_exit_port()) exit_port = from.exit_port();
  if (from.has_test_device()) test_device = from.test_device();
  return absl::OkStatus();
}

// What is booted.

void ToProto(const std::monostate&, machine::Machine&) {}

void ToProto(const PcLinuxBoot& from, machine::Machine& to) {
  const auto& [kernel, initrd, command_line, protocol] = from;
  machine::LinuxBoot& boot = *to.mutable_boot()->mutable_linux();
  boot.set_kernel(kernel);
  boot.set_initrd(initrd);
  boot.set_command_line(command_line);
  boot.set_protocol(ToProto(protocol));
}

PcLinuxBoot FromProto(const machine::LinuxBoot& from) {
  PcLinuxBoot to;
  auto& [kernel, initrd, command_line, protocol] = to;
  if (from.has_kernel()) kernel = from.kernel();
  if (from.has_initrd()) initrd = from.initrd();
  if (from.has_command_line()) command_line = from.command_line();
  if (from.has_protocol()) protocol = FromProto(from.protocol());
  return to;
}

void ToProto(const PcMultibootBoot& from, machine::Machine& to) {
  const auto& [kernel, command_line, modules] = from;
  machine::MultibootBoot& boot = *to.mutable_boot()->mutable_multiboot();
  boot.set_kernel(kernel);
  boot.set_command_line(command_line);
  for (const auto& [file, module_command_line] : modules) {
    machine::MultibootBoot::Module& added = *boot.add_modules();
    added.set_file(file);
    added.set_command_line(module_command_line);
  }
}

PcMultibootBoot FromProto(const machine::MultibootBoot& from) {
  PcMultibootBoot to;
  auto& [kernel, command_line, modules] = to;
  if (from.has_kernel()) kernel = from.kernel();
  if (from.has_command_line()) command_line = from.command_line();
  for (const machine::MultibootBoot::Module& given : from.modules()) {
    auto& [file, module_command_line] = modules.emplace_back();
    if (given.has_file()) file = given.file();
    if (given.has_command_line()) module_command_line = given.command_line();
  }
  return to;
}

void ToProto(const PcElfBoot& from, machine::Machine& to) {
  const auto& [image] = from;
  to.mutable_boot()->mutable_elf()->set_image(image);
}

PcElfBoot FromProto(const machine::ElfBoot& from) {
  PcElfBoot to;
  auto& [image] = to;
  if (from.has_image()) image = from.image();
  return to;
}

void ToProto(const PcFirmwareBoot& from, machine::Machine& to) {
  const auto& [image] = from;
  to.mutable_boot()->mutable_firmware()->set_image(image);
}

PcFirmwareBoot FromProto(const machine::FirmwareBoot& from) {
  PcFirmwareBoot to;
  auto& [image] = to;
  if (from.has_image()) image = from.image();
  return to;
}

PcBoot FromProto(const machine::Boot& from) {
  switch (from.boot_case()) {
    case machine::Boot::BOOT_NOT_SET:
      break;
    case machine::Boot::kLinux:
      return FromProto(from.linux());
    case machine::Boot::kMultiboot:
      return FromProto(from.multiboot());
    case machine::Boot::kElf:
      return FromProto(from.elf());
    case machine::Boot::kFirmware:
      return FromProto(from.firmware());
  }
  return std::monostate();
}

}  // namespace

absl::StatusOr<PcConfig> ConfigFromProto(const machine::Machine& machine) {
  PcConfig config;
  auto& [topology, cpu, memory, irqchip, devices, boot, halt_check, virtio] =
      config;
  FromProto(machine.topology(), topology);
  LIBVMM_RETURN_IF_ERROR(FromProto(machine.cpu(), cpu));
  FromProto(machine.memory(), memory);
  if (machine.has_irqchip()) irqchip = FromProto(machine.irqchip());
  LIBVMM_RETURN_IF_ERROR(FromProto(machine.devices(), devices));
  if (machine.has_boot()) boot = FromProto(machine.boot());
  if (machine.has_halt_check() &&
      !absl::ParseDuration(machine.halt_check(), &halt_check)) {
    return absl::InvalidArgumentError(
        "halt_check is no duration, expected a number and a unit, as in \"1s\" "
        "or \"250ms\"");
  }
  virtio = VirtioFromProto(machine.virtio());
  return config;
}

void ConfigToProto(const PcConfig& config, machine::Machine& machine) {
  const auto& [topology, cpu, memory, irqchip, devices, boot, halt_check,
               virtio] = config;
  machine.Clear();
  ToProto(topology, *machine.mutable_topology());
  ToProto(cpu, *machine.mutable_cpu());
  ToProto(memory, *machine.mutable_memory());
  machine.set_irqchip(ToProto(irqchip));
  ToProto(devices, *machine.mutable_devices());
  std::visit([&](const auto& chosen) { ToProto(chosen, machine); }, boot);
  machine.set_halt_check(absl::FormatDuration(halt_check));
  VirtioToProto(virtio, *machine.mutable_virtio());
}

}  // namespace libvmm::internal
