// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_SMBIOS_SMBIOS_STRUCTURES_H_
#define LIBVMM_BOOT_SMBIOS_SMBIOS_STRUCTURES_H_

#include <cstddef>
#include <cstdint>

// Codes of the System Management BIOS Reference Specification 3.0 (DMTF
// DSP0134), with the clauses they stand in.
namespace libvmm::smbios {

// Clause 7. The high byte of a structure's handle here, too.
enum class Type : uint8_t {
  kFirmware = 0,             // BIOS Information
  kSystem = 1,               // System Information
  kChassis = 3,              // System Enclosure or Chassis
  kProcessor = 4,            // Processor Information
  kOemStrings = 11,          // OEM Strings
  kMemoryArray = 16,         // Physical Memory Array
  kMemoryDevice = 17,        // Memory Device
  kMemoryArrayAddress = 19,  // Memory Array Mapped Address
  kBoot = 32,                // System Boot Information
  kEnd = 127,                // End-of-Table
};

// Entry point, clause 5.2.2.
inline constexpr size_t kEntryPointSize = 24;
inline constexpr size_t kEntryPointChecksumOffset = 5;
inline constexpr uint8_t kMajorVersion = 3;
inline constexpr uint8_t kMinorVersion = 0;
inline constexpr uint8_t kDocumentRevision = 0;
inline constexpr uint8_t kEntryPointRevision = 1;
inline constexpr uint64_t kAlignment = 16;

inline constexpr size_t kHeaderSize = 4;
inline constexpr size_t kMaxText = 64;

// 7.1.
inline constexpr uint64_t kCharacteristicsNotSupported = 1u << 3;
inline constexpr uint8_t kVirtualMachine = 1u << 4;  // 7.1.2.2
inline constexpr uint8_t kNoRelease = 0xff;
// 7.2.2.
inline constexpr uint8_t kWakeUpPowerSwitch = 0x06;
// 7.4.
inline constexpr uint8_t kChassisOther = 0x01;
inline constexpr uint8_t kStateSafe = 0x03;
inline constexpr uint8_t kSecurityNone = 0x03;
// 7.5.
inline constexpr uint8_t kCentralProcessor = 0x03;
inline constexpr uint8_t kFamilyOther = 0x01;
inline constexpr uint8_t kStatusEnabledPopulated = 0x41;
inline constexpr uint8_t kUpgradeOther = 0x01;
inline constexpr uint16_t kNoCache = 0xffff;
inline constexpr uint8_t kCountInWord = 0xff;  // more than a byte holds
inline constexpr uint16_t kMaxCount = 0xfffe;
inline constexpr uint16_t kCapable64Bit = 1u << 2;
inline constexpr uint16_t kMultiCore = 1u << 3;
inline constexpr uint16_t kHardwareThread = 1u << 4;
// 7.17.
inline constexpr uint8_t kLocationOther = 0x01;
inline constexpr uint8_t kUseSystemMemory = 0x03;
inline constexpr uint8_t kNoErrorCorrection = 0x03;
inline constexpr uint32_t kExtendedCapacity = 0x8000'0000;
inline constexpr uint16_t kNoErrorInformation = 0xfffe;
// 7.18.
inline constexpr uint16_t kUnknownWidth = 0xffff;
inline constexpr uint16_t kSizeInKib = 0x8000;
inline constexpr uint16_t kExtendedSize = 0x7fff;
inline constexpr uint8_t kFormFactorDimm = 0x09;
inline constexpr uint8_t kMemoryTypeRam = 0x07;
inline constexpr uint16_t kTypeDetailOther = 1u << 1;
// 7.20.
inline constexpr uint32_t kExtendedAddress = 0xffff'ffff;

}  // namespace libvmm::smbios

#endif  // LIBVMM_BOOT_SMBIOS_SMBIOS_STRUCTURES_H_
