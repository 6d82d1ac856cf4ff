// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_firmware.h"

#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/acpi/acpi_tables.h"
#include "libvmm/devices/fw_cfg/fw_cfg_acpi.h"
#include "libvmm/devices/fw_cfg/fw_cfg_machine.h"
#include "libvmm/platform/pc_tables.h"

namespace libvmm {

namespace {

absl::Status AddAcpi(const AcpiTables& acpi, FwCfgItems& items) {
  FwCfgAcpi files;
  for (const AcpiTables::Table& table : acpi.tables) {
    files.tables.push_back(
        {.bytes = acpi.bytes_of(table),
         .alignment = static_cast<uint32_t>(table.alignment)});
  }
  for (const AcpiTables::Pointer& pointer : acpi.pointers) {
    files.pointers.push_back({.source = pointer.source,
                              .offset = pointer.offset,
                              .size = pointer.size,
                              .target = pointer.target});
  }
  return files.AddTo(items);
}

}  // namespace

absl::StatusOr<FwCfgItems> PcFwCfgItems(const PcConfig& config,
                                        const PcLayout& layout) {
  const auto cpus = static_cast<uint16_t>(config.topology.vcpu_count());
  FwCfgMachine machine{
      .cpu_count = cpus,
      .max_cpu_count = cpus,
      .ram_size = layout.low_ram.size + layout.high_ram.size,
  };
  for (const GpaRange& ram : {layout.low_ram, layout.high_ram}) {
    if (ram.size == 0) continue;
    machine.e820.push_back({.start = ram.start.value(), .size = ram.size});
  }
  FwCfgItems items;
  LIBVMM_RETURN_IF_ERROR(machine.AddTo(items));
  LIBVMM_ASSIGN_OR_RETURN(const AcpiTables acpi,
                          BuildPcAcpiTables(config, layout));
  LIBVMM_RETURN_IF_ERROR(AddAcpi(acpi, items));
  return items;
}

}  // namespace libvmm
