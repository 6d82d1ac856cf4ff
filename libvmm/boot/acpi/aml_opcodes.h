// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_OPCODES_H_
#define LIBVMM_BOOT_ACPI_AML_OPCODES_H_

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

// The encoding of the ACPI Machine Language, as far as this folder writes it
// (ACPI 6.4, chapter 20.3, table 20.1).
namespace libvmm::aml {

enum class Opcode : uint8_t {
  kZero = 0x00,  // as a name: NullName
  kOne = 0x01,
  kName = 0x08,
  kBytePrefix = 0x0a,
  kWordPrefix = 0x0b,
  kDWordPrefix = 0x0c,
  kStringPrefix = 0x0d,
  kQWordPrefix = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kDualNamePrefix = 0x2e,
  kMultiNamePrefix = 0x2f,
  kExtendedPrefix = 0x5b,
  kLocal0 = 0x60,
  kArg0 = 0x68,
  kStore = 0x70,
  kAdd = 0x72,
  kSubtract = 0x74,
  kShiftLeft = 0x79,
  kShiftRight = 0x7a,
  kAnd = 0x7b,
  kOr = 0x7d,
  kNot = 0x80,
  kDerefOf = 0x83,
  kNotify = 0x86,
  kSizeOf = 0x87,
  kIndex = 0x88,
  kCreateDWordField = 0x8a,
  kLogicalAnd = 0x90,
  kLogicalOr = 0x91,
  kLogicalNot = 0x92,
  kLogicalEqual = 0x93,
  kLogicalGreater = 0x94,
  kLogicalLess = 0x95,
  kIf = 0xa0,
  kElse = 0xa1,
  kWhile = 0xa2,
  kReturn = 0xa4,
};

// Behind kExtendedPrefix.
enum class ExtendedOpcode : uint8_t {
  kOperationRegion = 0x80,
  kField = 0x81,
  kDevice = 0x82,
};

inline constexpr unsigned kLocalCount = 8;
inline constexpr unsigned kArgCount = 7;
inline constexpr size_t kMaxPackageElements = 255;

// PkgLength (20.2.4): the lead byte of a short one, and that of one with more
// bytes, each with eight bits of the value above the lead byte's four.
using PkgLengthShort = Field<uint8_t, 5, 0>;
using PkgLengthExtraBytes = Field<uint8_t, 7, 6>;
using PkgLengthLowNibble = Field<uint8_t, 3, 0>;
inline constexpr unsigned kMaxPkgLengthExtraBytes = 3;

// MethodFlags (20.2.5.2).
using MethodArgCount = Field<uint8_t, 2, 0>;
using MethodSerialized = Field<uint8_t, 3, 3>;

// FieldFlags (20.2.5.2). Lock rule and update rule are zero: NoLock, Preserve.
using FieldAccessType = Field<uint8_t, 3, 0>;
// Begins the entry of bits without a name in a FieldList.
inline constexpr uint8_t kReservedField = 0x00;

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_OPCODES_H_
