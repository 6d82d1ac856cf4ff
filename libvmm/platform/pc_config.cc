// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_config.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

namespace {

constexpr uint64_t kMaxMemoryMib = uint64_t{16} << 20;
constexpr uint32_t kMaxCpus = 1024;
constexpr uint32_t kMaxSerialPorts = 4;

absl::Status OutOfRange(absl::string_view field, uint64_t value, uint64_t low,
                        uint64_t high) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", expected ", low, " to ", high));
}

absl::Status Prefixed(absl::string_view field, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(field, ": ", status.message()));
}

absl::Status Missing(absl::string_view field) {
  return absl::InvalidArgumentError(absl::StrCat(field, " is empty"));
}

absl::StatusOr<std::vector<PcVirtioPlace>> PlaceVirtio(const PcConfig& config) {
  return PlacePcVirtio(config.virtio,
                       {.pci = config.devices.pci,
                        .io_apic = config.irqchip != PcIrqChip::kNone,
                        .serial_ports = config.devices.serial_ports});
}

absl::Status Validate(const std::monostate&) { return absl::OkStatus(); }

absl::Status Validate(const PcLinuxBoot& boot) {
  if (boot.kernel.empty()) return Missing("boot.linux.kernel");
  return absl::OkStatus();
}

absl::Status Validate(const PcMultibootBoot& boot) {
  if (boot.kernel.empty()) return Missing("boot.multiboot.kernel");
  for (size_t i = 0; i < boot.modules.size(); ++i) {
    if (boot.modules[i].file.empty()) {
      return Missing(absl::StrCat("boot.multiboot.modules[", i, "].file"));
    }
  }
  return absl::OkStatus();
}

absl::Status Validate(const PcElfBoot& boot) {
  if (boot.image.empty()) return Missing("boot.elf.image");
  return absl::OkStatus();
}

absl::Status Validate(const PcFirmwareBoot& boot) {
  if (boot.image.empty()) return Missing("boot.firmware.image");
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePcConfig(const PcConfig& config) {
  LIBVMM_RETURN_IF_ERROR(Prefixed("topology", config.topology.Validate()));
  const uint32_t cpu_count = config.topology.vcpu_count();
  if (cpu_count > kMaxCpus) {
    return OutOfRange("topology: the number of vCPUs", cpu_count, 1, kMaxCpus);
  }
  if (config.irqchip == PcIrqChip::kNone && cpu_count != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("topology: the number of vCPUs is ", cpu_count,
                     ", expected 1 without APICs (irqchip is kNone)"));
  }
  LIBVMM_RETURN_IF_ERROR(Prefixed("cpu", config.cpu.Validate()));
  const uint64_t size_mib = config.memory.size_mib;
  if (size_mib < 1 || size_mib > kMaxMemoryMib) {
    return OutOfRange("memory.size_mib", size_mib, 1, kMaxMemoryMib);
  }
  if (config.devices.serial_ports > kMaxSerialPorts) {
    return OutOfRange("devices.serial_ports", config.devices.serial_ports, 0,
                      kMaxSerialPorts);
  }
  if (config.halt_check < absl::ZeroDuration() ||
      (config.halt_check > absl::ZeroDuration() &&
       config.halt_check < absl::Milliseconds(1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("halt_check is ", absl::FormatDuration(config.halt_check),
                     ", expected 0 or at least 1ms"));
  }
  LIBVMM_RETURN_IF_ERROR(ValidatePcVirtioConfig(config.virtio));
  LIBVMM_RETURN_IF_ERROR(PlaceVirtio(config).status());
  return std::visit([](const auto& boot) { return Validate(boot); },
                    config.boot);
}

std::vector<PcVirtioPlace> PcVirtioPlacesOf(const PcConfig& config) {
  return PlaceVirtio(config).value_or(std::vector<PcVirtioPlace>());
}

}  // namespace libvmm
