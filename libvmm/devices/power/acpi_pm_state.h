// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_ACPI_PM_STATE_H_
#define LIBVMM_DEVICES_POWER_ACPI_PM_STATE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace libvmm {

// All that an AcpiPm remembers. Bit layouts are those of acpi_pm_registers.h.
//
// Thread-safety: thread-compatible value.
struct AcpiPmState {
  uint16_t pm1_status = 0;
  uint16_t pm1_enable = 0;
  // Of PM1 control, the bits kept and SCI_EN.
  uint16_t pm1_control = 0;
  // The PM timer, as wide as it is.
  uint32_t timer = 0;
  uint16_t gpe0_status = 0;
  uint16_t gpe0_enable = 0;
  uint8_t smi_command = 0;
  uint8_t smi_status = 0;

  friend bool operator==(const AcpiPmState&, const AcpiPmState&) = default;

  // kInvalidArgument names the first field that no device could have reached,
  // and its value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_POWER_ACPI_PM_STATE_H_
