// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/acpi_pm_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/power/acpi_pm_registers.h"

namespace libvmm {
namespace {

using namespace acpi_pm;  // NOLINT: the specification's names.

absl::Status CheckBits(absl::string_view field, uint16_t value, uint16_t mask) {
  if ((value & ~mask) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("AcpiPmState.", field, " is 0x", absl::Hex(value),
                   ": only bits of 0x", absl::Hex(mask), " can be set"));
}

}  // namespace

absl::Status AcpiPmState::Validate() const {
  LIBVMM_RETURN_IF_ERROR(
      CheckBits("pm1_status", pm1_status, kPm1Events | Pm1Wake::kMask));
  LIBVMM_RETURN_IF_ERROR(CheckBits("pm1_enable", pm1_enable, kPm1Events));
  LIBVMM_RETURN_IF_ERROR(CheckBits("pm1_control", pm1_control,
                                   kPm1ControlKept | Pm1SciEnable::kMask));
  return absl::OkStatus();
}

}  // namespace libvmm
