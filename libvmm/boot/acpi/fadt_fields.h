// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_FADT_FIELDS_H_
#define LIBVMM_BOOT_ACPI_FADT_FIELDS_H_

#include <cstdint>

#include "libvmm/base/field.h"

// Bits and values of the Fixed ACPI Description Table (ACPI 6.4, chapter
// 5.2.9), those that mean something in a virtual machine.
namespace libvmm::fadt {

inline constexpr uint8_t kMajorVersion = 6;
inline constexpr uint8_t kMinorVersion = 4;

// Fixed Feature Flags, table 5.10.
using Wbinvd = Field<uint32_t, 0, 0>;
using ProcC1 = Field<uint32_t, 2, 2>;     // HLT works on every CPU
using PwrButton = Field<uint32_t, 4, 4>;  // no fixed power button
using SlpButton = Field<uint32_t, 5, 5>;  // no fixed sleep button
using FixRtc = Field<uint32_t, 6, 6>;     // RTC wake-up is not fixed
using TmrValExt = Field<uint32_t, 8, 8>;  // the PM timer has 32 bits
using ResetRegSup = Field<uint32_t, 10, 10>;
using ForceApicPhysicalDestinationMode = Field<uint32_t, 19, 19>;
using HwReducedAcpi = Field<uint32_t, 20, 20>;

// IA-PC Boot Architecture Flags, table 5.11.
using LegacyDevices = Field<uint16_t, 0, 0>;
using I8042 = Field<uint16_t, 1, 1>;
using VgaNotPresent = Field<uint16_t, 2, 2>;
using CmosRtcNotPresent = Field<uint16_t, 5, 5>;

// Latencies, in microseconds, above which C2 and C3 are not supported.
inline constexpr uint16_t kNoC2Latency = 0x0fff;
inline constexpr uint16_t kNoC3Latency = 0x0fff;

// Widths of the fixed hardware's register blocks, in bytes.
inline constexpr uint8_t kPm1EventSize = 4;  // two registers of 2
inline constexpr uint8_t kPm1EventAccess = 2;
inline constexpr uint8_t kPm1ControlSize = 2;
inline constexpr uint8_t kPmTimerSize = 4;

// Where a PC's CMOS memory has the century.
inline constexpr uint8_t kCenturyIndex = 0x32;

}  // namespace libvmm::fadt

#endif  // LIBVMM_BOOT_ACPI_FADT_FIELDS_H_
