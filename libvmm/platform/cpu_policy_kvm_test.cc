// SPDX-License-Identifier: Apache-2.0
// CPU policies, boot MSRs and LINT wiring on a real KVM, whatever its host has.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/platform/boot_msrs.h"
#include "libvmm/platform/cpu_features.h"
#include "libvmm/platform/cpu_policy.h"
#include "libvmm/platform/local_apic_setup.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr CpuTopology kTopology = {.cores_per_socket = 3};

TEST(CpuPolicyKvmTest, KvmTakesTheHostsListForEveryVcpu) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(IrqChip::CreateFull(test.vm()).status());
  ASSERT_OK_AND_ASSIGN(const HostCpuid host, HostCpuid::Query(test.kvm()));
  for (uint32_t index = 0; index < kTopology.vcpu_count(); ++index) {
    const uint32_t id = kTopology.ApicId(index);
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), id));
    ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                         BuildCpuid(host, {}, kTopology, index,
                                    {.rates = {.tsc_khz = 2'000'000}}));
    ASSERT_OK(SetCpuid(vcpu, cpuid));
    ASSERT_OK_AND_ASSIGN(const Cpuid read, GetCpuid(vcpu));
    const kvm_cpuid_entry2* const cores =
        read.Find({.function = 0xb, .index = 1});
    ASSERT_NE(cores, nullptr);
    EXPECT_EQ(cores->eax, 2u);
    EXPECT_EQ(cores->ebx, 3u);
    EXPECT_EQ(cores->edx, id);
    EXPECT_EQ(read.Find({.function = 1})->ebx >> 24, id);
    EXPECT_EQ(read.Find({.function = 0x40000010})->eax, 2'000'000u);
    ASSERT_OK(WriteBootMsrs(vcpu, {}, cpuid));
    ASSERT_OK(WireLocalInterrupts(vcpu));
  }
}

TEST(CpuPolicyKvmTest, TheDeadlineTimerIsThereWhereKvmServesIt) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                       BuildCpuid(test.kvm(), {}, kTopology, 0, {}));
  EXPECT_EQ((cpuid.Find({.function = 1})->ecx & 1u << 24) != 0,
            test.kvm().features().has(Feature::kTscDeadlineTimer));
}

TEST(CpuPolicyKvmTest, EachLevelIsGivenOrItsFeaturesAreNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(const HostCpuid host, HostCpuid::Query(test.kvm()));
  uint32_t id = 0;
  for (const CpuLevel level :
       {CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4}) {
    SCOPED_TRACE(CpuLevelName(level));
    const std::vector<std::string> missing =
        MissingFeatures(host.supported, level);
    const absl::StatusOr<Cpuid> cpuid =
        BuildCpuid(host, {.model = LevelCpu{.level = level}}, kTopology, 0, {});
    if (!missing.empty()) {
      EXPECT_THAT(cpuid, StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr(missing.back())));
      continue;
    }
    ASSERT_OK(cpuid.status());
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), id++));
    ASSERT_OK(SetCpuid(vcpu, *cpuid));
    ASSERT_OK_AND_ASSIGN(const Cpuid read, GetCpuid(vcpu));
    EXPECT_THAT(MissingFeatures(read, level), IsEmpty());
  }
  EXPECT_GT(id, 0u) << "no level at all";
}

TEST(CpuPolicyKvmTest, WhatALevelHidesTheGuestDoesNotHave) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), 0));
  ASSERT_OK_AND_ASSIGN(
      const Cpuid cpuid,
      BuildCpuid(test.kvm(), {.model = LevelCpu{.level = CpuLevel::kV1}},
                 kTopology, 0, {}));
  ASSERT_OK(SetCpuid(vcpu, cpuid));
  ASSERT_OK_AND_ASSIGN(const Cpuid read, GetCpuid(vcpu));
  const std::vector<std::string> more = LackingFeatures(read, cpuid);
  LIBVMM_NEEDS_STOCK_KVM(more.empty(),
                         "vCPUs have features of the hardware that their CPUID "
                         "list leaves out, " +
                             more.front() + " first");
}

TEST(CpuPolicyKvmTest, TheGuestReadsWhatWasBuilt) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRamWithCode({
      0x66, 0xb8, 0x0b, 0x00, 0x00, 0x00,  // mov eax, 0xb
      0x66, 0xb9, 0x01, 0x00, 0x00, 0x00,  // mov ecx, 1
      0x0f, 0xa2,                          // cpuid
      0x66, 0x89, 0xd0,                    // mov eax, edx
      0x66, 0xe7, 0x70,                    // out 0x70, eax
      0x66, 0x89, 0xd8,                    // mov eax, ebx
      0x66, 0xe7, 0x70,                    // out 0x70, eax
      0xf4,                                // hlt
  }));
  ASSERT_OK_AND_ASSIGN(
      const Cpuid cpuid,
      BuildCpuid(test.kvm(), {}, {.sockets = 2, .cores_per_socket = 3}, 5,
                 {.local_apic = false}));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu(6));
  ASSERT_OK(SetCpuid(vcpu, cpuid));
  for (const uint32_t expected : {6u, 3u}) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    uint32_t value = 0;
    ASSERT_EQ(exit.pio().data.size(), sizeof(value));
    std::memcpy(&value, exit.pio().data.data(), sizeof(value));
    EXPECT_EQ(value, expected);
  }
}

TEST(CpuPolicyKvmTest, BootMsrsReadBackAsWritten) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(IrqChip::CreateFull(test.vm()).status());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), 0));
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid,
                       BuildCpuid(test.kvm(), {}, {}, 0, {}));
  ASSERT_OK(SetCpuid(vcpu, cpuid));
  ASSERT_OK(SetMsr(vcpu, {.index = 0x174, .value = 0x10}));
  ASSERT_OK(WriteBootMsrs(vcpu, {}, cpuid));
  const Msrs msrs = BootMsrs({}, cpuid);
  for (const Msr& msr : msrs.entries()) {
    if (msr.index == 0x10) continue;  // the TSC goes on
    ASSERT_OK_AND_ASSIGN(const uint64_t value, GetMsr(vcpu, msr.index));
    EXPECT_EQ(value, msr.value) << msr.index;
  }
}

TEST(CpuPolicyKvmTest, ARefusedCustomMsrIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), 0));
  CustomCpu own;
  own.msrs.Set({.index = 0x2ff, .value = 0x802});  // a memory type that is none
  EXPECT_THAT(WriteBootMsrs(vcpu, {.model = own}, Cpuid()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("MSR 0x2ff value 0x802")));
}

TEST(CpuPolicyKvmTest, LocalPinsAreWiredAndTheRestStays) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(IrqChip::CreateFull(test.vm()).status());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), 0));
  ASSERT_OK_AND_ASSIGN(kvm_lapic_state before,
                       GetVcpuState<kvm_lapic_state>(vcpu));
  ASSERT_OK(WireLocalInterrupts(vcpu));
  ASSERT_OK_AND_ASSIGN(kvm_lapic_state after,
                       GetVcpuState<kvm_lapic_state>(vcpu));
  const auto reg = [](const kvm_lapic_state& state, size_t offset) {
    uint32_t value;
    std::memcpy(&value, &state.regs[offset], sizeof(value));
    return value;
  };
  EXPECT_EQ(reg(after, 0x350), 0x700u);
  EXPECT_EQ(reg(after, 0x360), 0x400u);
  for (const size_t offset : {0x350, 0x360}) {
    std::memcpy(&before.regs[offset], &after.regs[offset], 4);
  }
  EXPECT_EQ(std::memcmp(before.regs, after.regs, sizeof(after.regs)), 0);
}

TEST(CpuPolicyKvmTest, WithoutALocalApicThereAreNoPins) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(test.vm(), 0));
  EXPECT_THAT(WireLocalInterrupts(vcpu),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace libvmm
