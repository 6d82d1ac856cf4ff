// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_FIRMWARE_H_
#define LIBVMM_PLATFORM_PC_FIRMWARE_H_

#include "absl/status/statusor.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_layout.h"

namespace libvmm {

// What a PC's fw_cfg device tells its firmware: CPUs, memory, and the ACPI
// tables, which the firmware places itself.
//
// Errors: those of BuildAcpiTables and FwCfgItems.
absl::StatusOr<FwCfgItems> PcFwCfgItems(const PcConfig& config,
                                        const PcLayout& layout);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_FIRMWARE_H_
