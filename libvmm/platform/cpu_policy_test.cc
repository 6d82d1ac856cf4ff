// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_policy.h"

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_samples.h"
#include "libvmm/platform/cpu_features.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::AddLeaf;
using ::libvmm::testing::AmdSample;
using ::libvmm::testing::IntelSample;
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::array<uint32_t, 4>;

constexpr std::array<uint32_t, 4> kHostMonitor = {0x40, 0x40, 3, 0x2020};

Words Leaf(const Cpuid& cpuid, uint32_t function, uint32_t index = 0) {
  const kvm_cpuid_entry2* const entry =
      cpuid.Find({.function = function, .index = index});
  if (entry == nullptr) return {};
  return {entry->eax, entry->ebx, entry->ecx, entry->edx};
}

bool Has(const Cpuid& cpuid, uint32_t function, uint32_t index = 0) {
  return cpuid.Find({.function = function, .index = index}) != nullptr;
}

uint32_t Bit(uint32_t word, unsigned bit) { return word >> bit & 1; }

HostCpuid Host(Cpuid supported) {
  return {.supported = std::move(supported),
          .tsc_deadline_timer = true,
          .monitor = kHostMonitor};
}

absl::StatusOr<Cpuid> Build(const HostCpuid& host, const CpuPolicy& policy = {},
                            const CpuidOptions& options = {}) {
  return BuildCpuid(host, policy, {.cores_per_socket = 2}, 1, options);
}

TEST(CpuPolicyTest, TheHostsFeaturesArriveButForTheListedOnes) {
  // What goes of each processor by default, by the contract's steps 2 and 3.
  const HostCpuid amd = Host(AmdSample());
  ASSERT_OK_AND_ASSIGN(const Cpuid amd_guest, Build(amd));
  EXPECT_THAT(
      LackingFeatures(amd.supported, amd_guest),
      ElementsAre("arch_capabilities", "CPUID 80000001.0 ECX bit 2",
                  "CPUID 80000001.0 ECX bit 10", "CPUID 80000001.0 ECX bit 23",
                  "CPUID 80000001.0 ECX bit 24", "CPUID 80000001.0 ECX bit 28",
                  "CPUID 80000001.0 ECX bit 29", "CPUID 8000000a.0 EDX bit 0",
                  "CPUID 8000000a.0 EDX bit 1", "CPUID 8000000a.0 EDX bit 2",
                  "CPUID 8000000a.0 EDX bit 3", "CPUID 8000000a.0 EDX bit 4",
                  "CPUID 8000000a.0 EDX bit 5", "CPUID 8000000a.0 EDX bit 6",
                  "CPUID 8000000a.0 EDX bit 7", "CPUID 8000000a.0 EDX bit 10",
                  "CPUID 8000000a.0 EDX bit 11", "CPUID 8000000a.0 EDX bit 12",
                  "CPUID 8000000a.0 EDX bit 15", "CPUID 8000000a.0 EDX bit 16",
                  "CPUID 8000000a.0 EDX bit 17", "CPUID 8000000a.0 EDX bit 19",
                  "CPUID 8000000a.0 EDX bit 20", "CPUID 8000000a.0 EDX bit 23",
                  "CPUID 8000000a.0 EDX bit 24",
                  "CPUID 8000000a.0 EDX bit 28"));
  EXPECT_THAT(LackingFeatures(amd_guest, amd.supported),
              ElementsAre("tsc_deadline_timer"));

  const HostCpuid intel = Host(IntelSample());
  ASSERT_OK_AND_ASSIGN(const Cpuid intel_guest, Build(intel));
  EXPECT_THAT(LackingFeatures(intel.supported, intel_guest),
              ElementsAre("CPUID 1.0 ECX bit 2", "CPUID 1.0 ECX bit 3",
                          "CPUID 1.0 ECX bit 4", "CPUID 1.0 ECX bit 5",
                          "CPUID 1.0 ECX bit 15", "CPUID 1.0 ECX bit 27",
                          "CPUID 1.0 EDX bit 21", "CPUID 7.0 EBX bit 2",
                          "CPUID 7.0 EBX bit 25", "CPUID 7.0 ECX bit 30",
                          "CPUID 7.0 EDX bit 19", "CPUID 7.0 EDX bit 22",
                          "CPUID 7.0 EDX bit 24", "CPUID 7.0 EDX bit 25",
                          "CPUID 7.1 EAX bit 8", "CPUID 7.1 EAX bit 21",
                          "CPUID 7.1 EDX bit 8", "CPUID d.0 EAX bit 17",
                          "CPUID d.0 EAX bit 18"));
  EXPECT_THAT(LackingFeatures(intel_guest, intel.supported), IsEmpty());
}

TEST(CpuPolicyTest, LeavesOfWhatIsLeftOffGo) {
  ASSERT_OK_AND_ASSIGN(const Cpuid amd, Build(Host(AmdSample())));
  for (const uint32_t function :
       {0x5u, 0x8000000au, 0x8000001bu, 0x8000001fu, 0x80000022u}) {
    EXPECT_FALSE(Has(amd, function)) << function;
  }
  ASSERT_OK_AND_ASSIGN(const Cpuid intel, Build(Host(IntelSample())));
  for (const uint32_t function :
       {0x5u, 0xau, 0x12u, 0x14u, 0x1cu, 0x1du, 0x1eu, 0x23u}) {
    EXPECT_FALSE(Has(intel, function)) << function;
  }
  EXPECT_EQ(Leaf(intel, 0x6)[2], 0u);  // energy bias
  EXPECT_EQ(Leaf(intel, 0xd)[2], 0xa80u);
}

TEST(CpuPolicyTest, AddressWidthsAndKvmsSignatureStay) {
  for (const Cpuid& supported : {AmdSample(), IntelSample()}) {
    ASSERT_OK_AND_ASSIGN(const Cpuid cpuid, Build(Host(supported)));
    EXPECT_EQ(Leaf(cpuid, 0x80000008)[0], Leaf(supported, 0x80000008)[0]);
    EXPECT_EQ(Leaf(cpuid, 0x40000000)[1], 0x4b4d564bu);
    EXPECT_EQ(Leaf(cpuid, 0x40000001)[0], 0x01007efbu);
  }
}

TEST(CpuPolicyTest, TopologyAndRatesAreWritten) {
  ASSERT_OK_AND_ASSIGN(
      const Cpuid cpuid,
      BuildCpuid(Host(AmdSample()), {}, {.cores_per_socket = 4}, 3,
                 {.rates = {.tsc_khz = 2'100'000}}));
  EXPECT_EQ(Leaf(cpuid, 0x1)[1] >> 24, 3u);
  EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(2, 4, 0x201, 3));
  EXPECT_THAT(Leaf(cpuid, 0x40000010), ElementsAre(2'100'000, 1'000'000, 0, 0));
}

TEST(CpuPolicyTest, TscDeadlineFollowsTheCapabilityAndTheLocalApic) {
  for (const Cpuid& supported : {AmdSample(), IntelSample()}) {
    for (const bool capability : {false, true}) {
      for (const bool local_apic : {false, true}) {
        HostCpuid host = Host(supported);
        host.tsc_deadline_timer = capability;
        ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                             Build(host, {}, {.local_apic = local_apic}));
        const uint32_t basic = Leaf(cpuid, 0x1)[2];
        EXPECT_EQ(Bit(basic, 24), capability && local_apic);
        EXPECT_EQ(Bit(basic, 21), local_apic);
        EXPECT_EQ(Bit(basic, 31), 1u);
      }
    }
  }
}

TEST(CpuPolicyTest, WithoutALocalApicOnlyKvmsFeaturesInMemoryStay) {
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                       Build(Host(AmdSample()), {}, {.local_apic = false}));
  // Clocks (0, 3, 24), NOP_IO_DELAY (1), STEAL_TIME (5), PV_TLB_FLUSH (9).
  EXPECT_EQ(Leaf(cpuid, 0x40000001)[0], 0x0100022bu);
}

TEST(CpuPolicyTest, PvUnhaltNeedsHltToExit) {
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                       Build(Host(AmdSample()), {},
                             {.disabled_exits = KVM_X86_DISABLE_EXITS_HLT}));
  EXPECT_EQ(Leaf(cpuid, 0x40000001)[0], 0x01007efbu & ~(1u << 7));
}

TEST(CpuPolicyTest, ExtendedDestinationIdsAreTheVmsToPromise) {
  for (const bool ids : {false, true}) {
    ASSERT_OK_AND_ASSIGN(Cpuid cpuid, Build(Host(AmdSample()), {},
                                            {.extended_destination_ids = ids}));
    EXPECT_EQ(Bit(Leaf(cpuid, 0x40000001)[0], 15), ids);
    ASSERT_OK_AND_ASSIGN(
        cpuid, Build(Host(AmdSample()), {},
                     {.local_apic = false, .extended_destination_ids = ids}));
    EXPECT_EQ(Bit(Leaf(cpuid, 0x40000001)[0], 15), 0u);
  }
}

TEST(CpuPolicyTest, MonitorIsTheHostsWhereMwaitDoesNotExit) {
  HostCpuid host = Host(AmdSample());
  const CpuidOptions options = {.disabled_exits = KVM_X86_DISABLE_EXITS_MWAIT};
  ASSERT_OK_AND_ASSIGN(Cpuid cpuid, Build(host, {}, options));
  EXPECT_EQ(Bit(Leaf(cpuid, 0x1)[2], 3), 1u);
  EXPECT_EQ(Leaf(cpuid, 0x5), kHostMonitor);
  EXPECT_EQ(Bit(Leaf(cpuid, 0x80000001)[2], 29), 1u);  // MONITORX
  // A host without it has none to give.
  host.monitor = {};
  ASSERT_OK_AND_ASSIGN(cpuid, Build(host, {}, options));
  EXPECT_EQ(Bit(Leaf(cpuid, 0x1)[2], 3), 0u);
  EXPECT_FALSE(Has(cpuid, 0x5));
  EXPECT_EQ(Bit(Leaf(cpuid, 0x80000001)[2], 29), 0u);
}

TEST(CpuPolicyTest, WhatIsAskedForStays) {
  const CpuPolicy all = {
      .performance_counters = true, .nested_virtualization = true, .amx = true};
  const HostCpuid intel = Host(IntelSample());
  ASSERT_OK_AND_ASSIGN(Cpuid cpuid, Build(intel, all));
  EXPECT_THAT(LackingFeatures(intel.supported, cpuid),
              ElementsAre("CPUID 1.0 ECX bit 3",     // MONITOR
                          "CPUID 1.0 ECX bit 27",    // OSXSAVE
                          "CPUID 7.0 EBX bit 2",     // SGX
                          "CPUID 7.0 ECX bit 30"));  // SGX_LC
  for (const uint32_t function : {0xau, 0x14u, 0x1cu, 0x1du, 0x1eu, 0x23u}) {
    EXPECT_TRUE(Has(cpuid, function)) << function;
  }
  EXPECT_EQ(Leaf(cpuid, 0xd)[2], 0x2b00u);

  const HostCpuid amd = Host(AmdSample());
  ASSERT_OK_AND_ASSIGN(cpuid, Build(amd, {.performance_counters = true,
                                          .nested_virtualization = true}));
  EXPECT_THAT(LackingFeatures(amd.supported, cpuid),
              ElementsAre("arch_capabilities", "CPUID 80000001.0 ECX bit 29"));
  EXPECT_EQ(Leaf(cpuid, 0x8000000a), Leaf(amd.supported, 0x8000000a));
}

TEST(CpuPolicyTest, WhatTheHostCannotGiveIsNamed) {
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  Cpuid plain = AmdSample();
  plain.ClearBits({.function = 0x80000001}, CpuidRegister::kEcx, 1 << 2);
  plain.ClearBits({.function = 0x7}, CpuidRegister::kEbx, 1 << 5 | 1 << 16);
  EXPECT_THAT(Build(Host(plain), {.nested_virtualization = true}),
              StatusIs(kCode,
                       "this host's KVM cannot give nested_virtualization: it "
                       "lacks vmx, svm"));
  EXPECT_THAT(Build(Host(plain), {.amx = true}),
              StatusIs(kCode, HasSubstr("ARCH_REQ_XCOMP_GUEST_PERM")));
  EXPECT_THAT(Build(Host(plain), {.model = LevelCpu{CpuLevel::kV2}}), IsOk());
  EXPECT_THAT(
      Build(Host(plain), {.model = LevelCpu{CpuLevel::kV3}}),
      StatusIs(kCode, "this host's KVM cannot give x86-64-v3: it lacks avx2"));
  EXPECT_THAT(Build(Host(plain), {.model = LevelCpu{CpuLevel::kV4}}),
              StatusIs(kCode, HasSubstr("it lacks avx2, avx512f")));
}

TEST(CpuPolicyTest, ALevelHidesWhatIsAbove) {
  for (const Cpuid& supported : {AmdSample(), IntelSample()}) {
    ASSERT_OK_AND_ASSIGN(
        const Cpuid cpuid,
        Build(Host(supported),
              {.model = LevelCpu{CpuLevel::kV2, Protections::kDrop}}));
    EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV2), IsEmpty());
    EXPECT_EQ(Leaf(cpuid, 0x7)[1], 0u);
    EXPECT_FALSE(Has(cpuid, 0xd));
    EXPECT_EQ(Bit(Leaf(cpuid, 0x1)[2], 24), 1u);  // the deadline timer
    EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(1, 2, 0x201, 1));
  }
}

TEST(CpuPolicyTest, ACustomListIsTakenWhereTheHostHasAllOfIt) {
  const HostCpuid host = Host(IntelSample());
  Cpuid own = IntelSample();
  own.ClearBits({.function = 0x1}, CpuidRegister::kEcx, 1 << 30);
  // These are not the host's but the VM's to give.
  own.SetBits({.function = 0x1}, CpuidRegister::kEcx, 1u << 31);
  own.SetBits({.function = 0x40000001}, CpuidRegister::kEax, 1 << 15);
  ASSERT_OK_AND_ASSIGN(Cpuid cpuid, Build(host, {.model = CustomCpu{own}}));
  EXPECT_EQ(Bit(Leaf(cpuid, 0x1)[2], 30), 0u);
  EXPECT_EQ(Bit(Leaf(cpuid, 0x1)[2], 29), 1u);
  EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(1, 2, 0x201, 1));

  own.SetBits({.function = 0x7}, CpuidRegister::kEcx, 1 << 16);  // la57
  EXPECT_THAT(Build(host, {.model = CustomCpu{own}}), IsOk());
  own.SetBits({.function = 0x7}, CpuidRegister::kEdx, 1 << 9);
  EXPECT_THAT(Build(host, {.model = CustomCpu{own}}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "this host's KVM cannot give the custom CPU: it lacks "
                       "CPUID 7.0 EDX bit 9"));
  ASSERT_OK_AND_ASSIGN(
      cpuid, Build(host, {.model = CustomCpu{.cpuid = own,
                                             .allow_unsupported = true}}));
  EXPECT_EQ(Bit(Leaf(cpuid, 0x7)[3], 9), 1u);
}

TEST(CpuPolicyTest, AnEmptyCustomListHasTheTopologyAlone) {
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                       Build(Host(AmdSample()), {.model = CustomCpu()}));
  EXPECT_EQ(cpuid.size(), 3u);
  EXPECT_TRUE(Has(cpuid, 0xb, 2));
}

TEST(CpuPolicyTest, BuildingFromWhatWasBuiltChangesNothing) {
  for (const Cpuid& supported : {AmdSample(), IntelSample()}) {
    const CpuidOptions options = {.rates = {.tsc_khz = 2'596'123}};
    ASSERT_OK_AND_ASSIGN(const Cpuid once, Build(Host(supported), {}, options));
    ASSERT_OK_AND_ASSIGN(
        const Cpuid twice,
        Build(Host(supported), {.model = CustomCpu{once}}, options));
    ASSERT_EQ(once.size(), twice.size());
    for (const kvm_cpuid_entry2& entry : once.entries()) {
      EXPECT_EQ(Leaf(twice, entry.function, entry.index),
                Leaf(once, entry.function, entry.index))
          << entry.function;
    }
  }
}

TEST(CpuPolicyTest, BrandFillsItsLeaves) {
  const std::string brand(47, 'x');
  for (const std::string& text : {std::string("A CPU"), brand}) {
    ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                         Build(Host(IntelSample()), {.brand = text}));
    std::array<char, 48> read = {};
    for (uint32_t i = 0; i < 3; ++i) {
      const Words words = Leaf(cpuid, 0x80000002 + i);
      std::memcpy(&read[16 * i], words.data(), sizeof(words));
    }
    EXPECT_EQ(std::string(read.data()), text);
  }
}

struct Refusal {
  const char* message;
  CpuPolicy policy;
};

TEST(CpuPolicyTest, InvalidPoliciesNameTheField) {
  for (const Refusal& refusal : {
           Refusal{"level is 0, expected 1 to 4",
                   {.model = LevelCpu{static_cast<CpuLevel>(0)}}},
           Refusal{"level is 5, expected 1 to 4",
                   {.model = LevelCpu{static_cast<CpuLevel>(5)}}},
           Refusal{"performance_counters is set, which x86-64-v2 leaves out",
                   {.model = LevelCpu(), .performance_counters = true}},
           Refusal{"nested_virtualization is set, which x86-64-v2 leaves out",
                   {.model = LevelCpu(), .nested_virtualization = true}},
           Refusal{"amx is set, which x86-64-v4 leaves out",
                   {.model = LevelCpu{CpuLevel::kV4}, .amx = true}},
           Refusal{"brand has 48 bytes, expected at most 47",
                   {.brand = std::string(48, 'x')}},
           Refusal{"brand has the byte 0x9, expected printable ASCII",
                   {.brand = "a\tb"}},
           Refusal{"brand has the byte 0xc3, expected printable ASCII",
                   {.brand = "\xc3"}},
       }) {
    EXPECT_THAT(refusal.policy.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, refusal.message));
    EXPECT_THAT(Build(Host(AmdSample()), refusal.policy),
                StatusIs(absl::StatusCode::kInvalidArgument, refusal.message));
  }
}

TEST(CpuPolicyTest, InvalidArgumentsAreNamed) {
  constexpr auto kCode = absl::StatusCode::kInvalidArgument;
  const HostCpuid host = Host(AmdSample());
  EXPECT_THAT(BuildCpuid(host, {}, {.sockets = 0}, 0, {}),
              StatusIs(kCode, "sockets is 0, expected at least 1"));
  EXPECT_THAT(BuildCpuid(host, {}, {.sockets = 2}, 2, {}),
              StatusIs(kCode,
                       "vcpu_index is 2, expected less than the 2 vCPUs of the "
                       "topology"));
  EXPECT_THAT(BuildCpuid(host, {}, {.sockets = 256}, 0, {.local_apic = false}),
              StatusIs(kCode, HasSubstr("need x2APIC")));
  EXPECT_THAT(BuildCpuid(host, {}, {.sockets = 255}, 0, {.local_apic = false}),
              IsOk());
  EXPECT_THAT(BuildCpuid(host, {}, {.sockets = 256}, 255, {}), IsOk());
  EXPECT_THAT(BuildCpuid(host, {}, {}, 0, {.rates = {.apic_bus_khz = 0}}),
              StatusIs(kCode, "rates.apic_bus_khz is 0"));
}

}  // namespace
}  // namespace libvmm
