// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_CPUID_REGISTERS_H_
#define LIBVMM_KVM_CPUID_REGISTERS_H_

// Leaves of CPUID and fields in their registers, as far as libvmm uses
// them (Intel SDM volume 2, "CPUID"; AMD APM volume 3, appendix E; Linux
// Documentation/virt/kvm/x86/cpuid.rst). Feature bits that come by the word are
// in cpu_features.h.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::cpuid {

// EAX of the instruction.
inline constexpr uint32_t kVendor = 0x0;            // and highest basic leaf
inline constexpr uint32_t kVersion = 0x1;           // and basic features
inline constexpr uint32_t kCacheDescriptors = 0x2;  // Intel
inline constexpr uint32_t kCaches = 0x4;    // Intel, one subleaf for each cache
inline constexpr uint32_t kMonitor = 0x5;   // MONITOR and MWAIT
inline constexpr uint32_t kPower = 0x6;     // thermal and power management
inline constexpr uint32_t kFeatures = 0x7;  // structured extended features
inline constexpr uint32_t kPerfmon = 0xA;   // Intel, performance counters
inline constexpr uint32_t kTopology = 0xB;  // one subleaf for each level
inline constexpr uint32_t kXsave = 0xD;  // one subleaf for each state component
inline constexpr uint32_t kSgx = 0x12;   // Intel
inline constexpr uint32_t kProcessorTrace = 0x14;  // Intel
inline constexpr uint32_t kTscRatio = 0x15;        // Intel
inline constexpr uint32_t kFrequencies = 0x16;     // Intel
inline constexpr uint32_t kLastBranches = 0x1C;    // Intel
inline constexpr uint32_t kTiles = 0x1D;           // AMX palettes
inline constexpr uint32_t kTileMultiply = 0x1E;    // AMX TMUL
inline constexpr uint32_t kTopologyV2 = 0x1F;  // Intel, as 0xB with more levels
inline constexpr uint32_t kPerfmonExtended = 0x23;   // Intel
inline constexpr uint32_t kHypervisor = 0x40000000;  // signature
inline constexpr uint32_t kKvmFeatures = 0x40000001;
inline constexpr uint32_t kHypervisorRates = 0x40000010;  // clock rates
inline constexpr uint32_t kExtendedMax = 0x80000000;
inline constexpr uint32_t kExtendedFeatures = 0x80000001;
inline constexpr uint32_t kBrand = 0x80000002;  // three leaves of 16 characters
inline constexpr uint32_t kBrandEnd = 0x80000004;
inline constexpr uint32_t kLegacyCaches = 0x80000005;  // AMD
inline constexpr uint32_t kL2Cache = 0x80000006;
inline constexpr uint32_t kAdvancedPower = 0x80000007;
inline constexpr uint32_t kAddressSizes = 0x80000008;
inline constexpr uint32_t kSvm = 0x8000000A;               // AMD
inline constexpr uint32_t kInstructionBased = 0x8000001B;  // AMD, IBS
inline constexpr uint32_t kAmdCaches = 0x8000001D;         // as 0x4
inline constexpr uint32_t kAmdTopology = 0x8000001E;
inline constexpr uint32_t kEncryption = 0x8000001F;  // AMD, SME and SEV
inline constexpr uint32_t kExtendedFeatures2 = 0x80000021;
inline constexpr uint32_t kAmdPerfmon = 0x80000022;
inline constexpr uint32_t kAmdTopologyV2 = 0x80000026;  // as 0xB

// Leaf 0x1.
using Version = Field<uint32_t, 31, 0>;             // EAX
using InitialApicId = Field<uint32_t, 31, 24>;      // EBX
using LogicalProcessors = Field<uint32_t, 23, 16>;  // EBX
using Dtes64 = Field<uint32_t, 2, 2>;               // ECX
using Monitor = Field<uint32_t, 3, 3>;              // ECX
using DsCpl = Field<uint32_t, 4, 4>;                // ECX
using Vmx = Field<uint32_t, 5, 5>;                  // ECX
using Pdcm = Field<uint32_t, 15, 15>;               // ECX
using X2Apic = Field<uint32_t, 21, 21>;             // ECX
using TscDeadline = Field<uint32_t, 24, 24>;        // ECX
using Xsave = Field<uint32_t, 26, 26>;              // ECX
using OsXsave = Field<uint32_t, 27, 27>;            // ECX
using HypervisorPresent = Field<uint32_t, 31, 31>;  // ECX
using DebugStore = Field<uint32_t, 21, 21>;         // EDX
using Htt = Field<uint32_t, 28, 28>;                // EDX

// Leaves 0x4 and 0x8000001D.
using CacheType = Field<uint32_t, 4, 0>;           // EAX; zero: no more caches
using CacheLevel = Field<uint32_t, 7, 5>;          // EAX
using CacheThreads = Field<uint32_t, 25, 14>;      // EAX, less one
using CacheSocketCores = Field<uint32_t, 31, 26>;  // EAX of 0x4 alone, less one

// Leaf 0x6.
using Arat = Field<uint32_t, 2, 2>;        // EAX: the APIC timer never stops
using Aperf = Field<uint32_t, 0, 0>;       // ECX: APERF and MPERF
using EnergyBias = Field<uint32_t, 3, 3>;  // ECX

// Leaf 0x7.
using Sgx = Field<uint32_t, 2, 2>;                 // subleaf 0 EBX
using Smep = Field<uint32_t, 7, 7>;                // subleaf 0 EBX
using Smap = Field<uint32_t, 20, 20>;              // subleaf 0 EBX
using Pt = Field<uint32_t, 25, 25>;                // subleaf 0 EBX
using Umip = Field<uint32_t, 2, 2>;                // subleaf 0 ECX
using SgxLaunch = Field<uint32_t, 30, 30>;         // subleaf 0 ECX
using ArchLbr = Field<uint32_t, 19, 19>;           // subleaf 0 EDX
using AmxBf16 = Field<uint32_t, 22, 22>;           // subleaf 0 EDX
using AmxTile = Field<uint32_t, 24, 24>;           // subleaf 0 EDX
using AmxInt8 = Field<uint32_t, 25, 25>;           // subleaf 0 EDX
using ArchCapabilities = Field<uint32_t, 29, 29>;  // subleaf 0 EDX
using ArchPerfmonExt = Field<uint32_t, 8, 8>;      // subleaf 1 EAX
using AmxFp16 = Field<uint32_t, 21, 21>;           // subleaf 1 EAX
using AmxComplex = Field<uint32_t, 8, 8>;          // subleaf 1 EDX

// Leaves 0xB and 0x1F; the id of the thread itself is EDX.
using TopologyShift = Field<uint32_t, 4, 0>;   // EAX
using TopologyCount = Field<uint32_t, 15, 0>;  // EBX
using TopologyIndex = Field<uint32_t, 7, 0>;   // ECX: the subleaf again
using TopologyType = Field<uint32_t, 15, 8>;   // ECX
enum class TopologyLevel : uint32_t { kNone = 0, kThread = 1, kCore = 2 };

// Leaf 0xD, subleaf 0: EAX and EDX are the components that XCR0 can have, EBX
// and ECX sizes in bytes. Subleaves from 2 on: EAX size, EBX offset.
using XcrAvx512 = Field<uint32_t, 7, 5>;
using XcrBase = Field<uint32_t, 1, 0>;  // x87 and SSE
using XcrAvx = Field<uint32_t, 2, 2>;
using XcrTiles = Field<uint32_t, 18, 17>;
inline constexpr uint32_t kFirstXsaveComponent = 2;
inline constexpr uint32_t kXsaveComponents = 32;  // of XCR0's lower half
// The legacy area and the header.
inline constexpr uint32_t kXsaveBaseSize = 576;

// Leaf 0x40000001 EAX.
using KvmAsyncPf = Field<uint32_t, 4, 4>;
using KvmPvEoi = Field<uint32_t, 6, 6>;
using KvmPvUnhalt = Field<uint32_t, 7, 7>;
using KvmAsyncPfVmexit = Field<uint32_t, 10, 10>;
using KvmPvSendIpi = Field<uint32_t, 11, 11>;
using KvmPollControl = Field<uint32_t, 12, 12>;
using KvmPvSchedYield = Field<uint32_t, 13, 13>;
using KvmAsyncPfInt = Field<uint32_t, 14, 14>;
using KvmMsiExtendedDestination = Field<uint32_t, 15, 15>;

// Leaf 0x80000001.
using CmpLegacy = Field<uint32_t, 1, 1>;             // ECX
using Svm = Field<uint32_t, 2, 2>;                   // ECX
using Ibs = Field<uint32_t, 10, 10>;                 // ECX
using TopologyExtensions = Field<uint32_t, 22, 22>;  // ECX
using PerfctrCore = Field<uint32_t, 23, 23>;         // ECX
using PerfctrNb = Field<uint32_t, 24, 24>;           // ECX
using PerfctrLlc = Field<uint32_t, 28, 28>;          // ECX
using MonitorX = Field<uint32_t, 29, 29>;            // ECX

// Leaf 0x80000007 EDX.
using InvariantTsc = Field<uint32_t, 8, 8>;

// Leaf 0x80000008 ECX.
using SocketThreads = Field<uint32_t, 7, 0>;  // less one
using SocketBits = Field<uint32_t, 15, 12>;

// Leaf 0x8000001E; EAX is the APIC id.
using AmdCore = Field<uint32_t, 7, 0>;          // EBX
using AmdCoreThreads = Field<uint32_t, 15, 8>;  // EBX, less one
using AmdNode = Field<uint32_t, 7, 0>;          // ECX
using AmdNodes = Field<uint32_t, 10, 8>;        // ECX: in the socket, less one

}  // namespace libvmm::cpuid

#endif  // LIBVMM_KVM_CPUID_REGISTERS_H_
