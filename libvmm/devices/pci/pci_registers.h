// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_REGISTERS_H_
#define LIBVMM_DEVICES_PCI_PCI_REGISTERS_H_

#include <cstdint>

#include "libvmm/base/field.h"

// Configuration space of a PCI function: PCI Local Bus Specification 3.0,
// chapter 6, and the two ways to it (section 3.2.2.3.2; PCI Express Base 3.0,
// section 7.2.2).
namespace libvmm::pci {

// Bytes of configuration space: conventional, and with the extended one behind.
inline constexpr uint64_t kConventionalConfigSize = 256;
inline constexpr uint64_t kExtendedConfigSize = 4096;

// Type 0 header, figure 6-1. Offset, bits, access, value after reset.
enum class Register : uint16_t {
  kVendorId = 0x00,             // 16 r-         all ones: no function
  kDeviceId = 0x02,             // 16 r-
  kCommand = 0x04,              // 16 rw  0x0000
  kStatus = 0x06,               // 16 rw1c
  kRevisionId = 0x08,           //  8 r-
  kInterface = 0x09,            //  8 r-         Class Code, bits 7:0
  kSubClass = 0x0a,             //  8 r-         Class Code, bits 15:8
  kBaseClass = 0x0b,            //  8 r-         Class Code, bits 23:16
  kCacheLineSize = 0x0c,        //  8 rw  0x00
  kLatencyTimer = 0x0d,         //  8 r-  0x00   not a requester on a real bus
  kHeaderType = 0x0e,           //  8 r-
  kBist = 0x0f,                 //  8 r-  0x00   no self test
  kBar0 = 0x10,                 // 32 rw         Base Address Registers, to 0x24
  kCardbusCisPointer = 0x28,    // 32 r-  0
  kSubsystemVendorId = 0x2c,    // 16 r-
  kSubsystemId = 0x2e,          // 16 r-
  kExpansionRom = 0x30,         // 32 r-  0      absent
  kCapabilitiesPointer = 0x34,  //  8 r-
  kInterruptLine = 0x3c,        //  8 rw  0x00   Routing; for software only.
  kInterruptPin = 0x3d,         //  8 r-         0 none, 1 to 4 INTA# to INTD#
  kMinGnt = 0x3e,               //  8 r-  0x00
  kMaxLat = 0x3f,               //  8 r-  0x00
};

inline constexpr unsigned kBarCount = 6;
// Where the list of capabilities may begin, and the extended one begins.
inline constexpr uint16_t kFirstCapability = 0x40;
inline constexpr uint16_t kFirstExtendedCapability = 0x100;

// Command register, section 6.2.2. The rest is zero for ever.
using CommandIoSpace = Field<uint16_t, 0, 0>;
using CommandMemorySpace = Field<uint16_t, 1, 1>;
using CommandBusMaster = Field<uint16_t, 2, 2>;
using CommandParityError = Field<uint16_t, 6, 6>;
using CommandSerr = Field<uint16_t, 8, 8>;
using CommandInterruptDisable = Field<uint16_t, 10, 10>;
inline constexpr uint16_t kCommandMask =
    CommandIoSpace::kMask | CommandMemorySpace::kMask |
    CommandBusMaster::kMask | CommandParityError::kMask | CommandSerr::kMask |
    CommandInterruptDisable::kMask;

// Status register, section 6.2.3. The error bits are never set here.
using StatusInterrupt = Field<uint16_t, 3, 3>;     // r-, whatever is disabled
using StatusCapabilities = Field<uint16_t, 4, 4>;  // r-

// Header Type register, section 6.2.1.
using HeaderTypeLayout = Field<uint8_t, 6, 0>;
using HeaderTypeMultiFunction = Field<uint8_t, 7, 7>;

// Base Address Registers, section 6.2.5.1.
using BarIoSpace = Field<uint32_t, 0, 0>;
using BarMemoryType = Field<uint32_t, 2, 1>;
using BarPrefetchable = Field<uint32_t, 3, 3>;
inline constexpr uint32_t kBarMemoryType64 = 2;
inline constexpr uint32_t kBarIoFlags = 0x3;
inline constexpr uint32_t kBarMemoryFlags = 0xf;
// The smallest a BAR can be, which leaves room for the flags.
inline constexpr uint64_t kMinIoBarSize = 4;
inline constexpr uint64_t kMinMemoryBarSize = 16;
// The largest: section 6.2.5.1 allows no more I/O space for one BAR.
inline constexpr uint64_t kMaxIoBarSize = 256;

// First two bytes of a capability, section 6.7, and appendix H's ids.
enum class CapabilityRegister : uint8_t {
  kId = 0,    // 8 r-
  kNext = 1,  // 8 r-  0: the last
};
inline constexpr uint16_t kCapabilityHeaderSize = 2;
enum class CapabilityId : uint8_t {
  kPowerManagement = 0x01,
  kMsi = 0x05,
  kVendorSpecific = 0x09,
  kPciExpress = 0x10,
  kMsix = 0x11,
};

// First four bytes of an extended capability (PCI Express 3.0, section 7.9.3).
using ExtendedCapabilityId = Field<uint32_t, 15, 0>;
using ExtendedCapabilityVersion = Field<uint32_t, 19, 16>;
using ExtendedCapabilityNext = Field<uint32_t, 31, 20>;
inline constexpr uint16_t kExtendedCapabilityHeaderSize = 4;

// Configuration mechanism #1: two dwords of I/O space, section 3.2.2.3.2.
inline constexpr uint16_t kConfigPort = 0xcf8;
inline constexpr uint16_t kConfigPortSize = 8;
enum class ConfigPort : uint8_t {
  kAddress = 0,  // 32 rw  0  CONFIG_ADDRESS, as a dword only
  kData = 4,     // 32 rw  -  CONFIG_DATA, any bytes
};
using ConfigAddressRegister = Field<uint32_t, 7, 2>;
using ConfigAddressFunction = Field<uint32_t, 15, 8>;  // device and function
using ConfigAddressBus = Field<uint32_t, 23, 16>;
using ConfigAddressEnable = Field<uint32_t, 31, 31>;
inline constexpr uint32_t kConfigAddressMask =
    ConfigAddressRegister::kMask | ConfigAddressFunction::kMask |
    ConfigAddressBus::kMask | ConfigAddressEnable::kMask;

// Where an address in the ECAM window leads (table 7-1 of PCI Express 3.0).
using EcamRegister = Field<uint64_t, 11, 0>;
using EcamFunction = Field<uint64_t, 19, 12>;  // device and function
using EcamBus = Field<uint64_t, 27, 20>;
inline constexpr uint64_t kEcamBusSize = uint64_t{1} << 20;

}  // namespace libvmm::pci

#endif  // LIBVMM_DEVICES_PCI_PCI_REGISTERS_H_
