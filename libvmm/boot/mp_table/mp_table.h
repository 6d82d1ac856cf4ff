// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_MP_TABLE_MP_TABLE_H_
#define LIBVMM_BOOT_MP_TABLE_MP_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/tables/placed_bytes.h"

namespace libvmm {

// A multiprocessor PC without ACPI, as the Intel MultiProcessor Specification
// 1.4 describes it: CPUs, one IOAPIC and an ISA bus. Linux reads it when built
// with CONFIG_X86_MPPARSE, which Debian's kernels for the cloud are not.
struct MpConfig {
  std::string oem_id = "LIBVMM";  // at most 8 printable characters
  std::string product_id = "PC";  // at most 12
  // Local APIC ids: at least one, all different and below 255; the first is
  // the boot CPU's.
  std::vector<uint8_t> apic_ids = {0};
  uint8_t local_apic_version = 0x14;
  uint32_t cpu_signature = 0;  // CPUID leaf 1, EAX; the low 12 bits count
  uint32_t cpu_features = 0;   // CPUID leaf 1, EDX
  uint32_t local_apic = 0xfee0'0000;

  struct IoApic {
    uint8_t id = 1;  // below 255 and none of the apic_ids
    uint8_t version = 0x11;
    uint32_t gpa = 0xfec0'0000;
    uint8_t pins = 24;
  } io_apic;

  // An ISA interrupt's pin of the IOAPIC. Each irq once.
  struct IsaInterrupt {
    uint8_t irq = 0;  // 0 to 15
    uint8_t pin = 0;
    bool level = false;  // level-triggered; else edge. Active high.
  };
  // Default: irq n at pin n, but the timer at pin 2, and no cascade.
  std::vector<IsaInterrupt> isa_interrupts = DefaultIsaInterrupts();
  [[nodiscard]] static std::vector<IsaInterrupt> DefaultIsaInterrupts();

  // kInvalidArgument, naming the field and its value.
  [[nodiscard]] absl::Status Validate() const;
};

// Lays the floating pointer structure and the configuration table out from the
// first multiple of 16 bytes in `space` on. A guest looks for them in the last
// KiB of base memory, in the first of the EBDA, and in 0xf0000 to 0xfffff.
//   kInvalidArgument    as MpConfig::Validate; space passes 4 GiB
//   kResourceExhausted  space is too small; says how much they need
[[nodiscard]] absl::StatusOr<PlacedBytes> BuildMpTable(const MpConfig& config,
                                                       GpaRange space);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_MP_TABLE_MP_TABLE_H_
