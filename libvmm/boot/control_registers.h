// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_CONTROL_REGISTERS_H_
#define LIBVMM_BOOT_CONTROL_REGISTERS_H_

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm {

// CR0 (Intel SDM volume 3, chapter 2.5).
using Cr0Paging = Field<uint64_t, 31, 31>;            // PG
using Cr0CacheDisable = Field<uint64_t, 30, 30>;      // CD
using Cr0NotWriteThrough = Field<uint64_t, 29, 29>;   // NW
using Cr0AlignmentMask = Field<uint64_t, 18, 18>;     // AM
using Cr0WriteProtect = Field<uint64_t, 16, 16>;      // WP: binds CPL 0 too
using Cr0NumericError = Field<uint64_t, 5, 5>;        // NE
using Cr0ExtensionType = Field<uint64_t, 4, 4>;       // ET: always one
using Cr0MonitorCoprocessor = Field<uint64_t, 1, 1>;  // MP
using Cr0ProtectionEnable = Field<uint64_t, 0, 0>;    // PE

// CR4 (the same chapter).
using Cr4SupervisorAccess = Field<uint64_t, 21, 21>;   // SMAP
using Cr4SupervisorExecute = Field<uint64_t, 20, 20>;  // SMEP
using Cr4OsXsave = Field<uint64_t, 18, 18>;            // OSXSAVE
using Cr4UserInstructions = Field<uint64_t, 11, 11>;   // UMIP
using Cr4OsXmmExceptions = Field<uint64_t, 10, 10>;    // OSXMMEXCPT
using Cr4OsFxsr = Field<uint64_t, 9, 9>;  // OSFXSR: SSE may be used
using Cr4PhysicalAddressExtension = Field<uint64_t, 5, 5>;  // PAE

// IA32_EFER, MSR C000_0080h (SDM volume 3, table 2-4).
using EferNoExecuteEnable = Field<uint64_t, 11, 11>;  // NXE
using EferLongModeActive = Field<uint64_t, 10, 10>;   // LMA
using EferLongModeEnable = Field<uint64_t, 8, 8>;     // LME
using EferSyscallEnable = Field<uint64_t, 0, 0>;      // SCE

// RFLAGS (SDM volume 1, chapter 3.4.3).
using RflagsIdentification = Field<uint64_t, 21, 21>;  // ID
using RflagsAlignmentCheck = Field<uint64_t, 18, 18>;  // AC
using RflagsNestedTask = Field<uint64_t, 14, 14>;      // NT
using RflagsIoPrivilege = Field<uint64_t, 13, 12>;     // IOPL
using RflagsOverflow = Field<uint64_t, 11, 11>;        // OF
using RflagsDirection = Field<uint64_t, 10, 10>;       // DF
using RflagsInterrupt = Field<uint64_t, 9, 9>;         // IF
using RflagsTrap = Field<uint64_t, 8, 8>;              // TF
using RflagsSign = Field<uint64_t, 7, 7>;              // SF
using RflagsZero = Field<uint64_t, 6, 6>;              // ZF
using RflagsAdjust = Field<uint64_t, 4, 4>;            // AF
using RflagsParity = Field<uint64_t, 2, 2>;            // PF
using RflagsReserved = Field<uint64_t, 1, 1>;          // always one
using RflagsCarry = Field<uint64_t, 0, 0>;             // CF

}  // namespace libvmm

#endif  // LIBVMM_BOOT_CONTROL_REGISTERS_H_
