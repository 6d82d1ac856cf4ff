// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_TABLES_H_
#define LIBVMM_PLATFORM_PC_TABLES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/acpi_tables.h"
#include "libvmm/boot/e820.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_layout.h"

namespace libvmm {

// The memory map of a PC for a kernel that is started without firmware: RAM,
// and what a kernel must leave alone (tables, ECAM).
absl::StatusOr<E820Map> PcMemoryMap(const PcConfig& config,
                                    const PcLayout& layout);

// The machine as its ACPI tables describe it.
AcpiConfig PcAcpiConfig(const PcConfig& config, const PcLayout& layout);

// The tables that follow from it, for where a kernel that is started without
// firmware finds them.
absl::StatusOr<AcpiTables> BuildPcAcpiTables(const PcConfig& config,
                                             const PcLayout& layout);

// Writes ACPI tables, SMBIOS, MP table (where APIC ids allow one) and the reset
// stub to their places, and returns where the RSDP is. `cpuid` is vCPU 0's.
absl::StatusOr<Gpa> WritePcTables(const PcConfig& config,
                                  const PcLayout& layout, const Cpuid& cpuid,
                                  GuestMemory& memory);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_TABLES_H_
