// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/engine.h"

#include <cstdint>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StockKvmRequired;

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }
};

TEST_F(EngineTest, ProgramsDoNotSeeTheHypervisor) {
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  const Cpuid& cpuid = engine.cpuid();
  for (const uint32_t leaf :
       {cpuid::kMonitor, cpuid::kPerfmon, cpuid::kTiles, cpuid::kHypervisor,
        cpuid::kKvmFeatures, cpuid::kSvm, cpuid::kAmdPerfmon}) {
    EXPECT_EQ(cpuid.Find({.function = leaf}), nullptr) << leaf;
  }
  const kvm_cpuid_entry2* const version =
      cpuid.Find({.function = cpuid::kVersion});
  ASSERT_NE(version, nullptr);
  EXPECT_EQ(cpuid::Vmx::Get(version->ecx), 0u);
  EXPECT_EQ(cpuid::Monitor::Get(version->ecx), 0u);
}

// What ring 3 may use is what a reset restores: up to AVX-512.
TEST_F(EngineTest, VectorStateIsWhatResetsRestore) {
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  constexpr uint64_t kUpToAvx512 = 0xe7;
  EXPECT_EQ(engine.cpu().xcr0 & ~kUpToAvx512, 0u);
  EXPECT_EQ(engine.cpu().xcr0 & 1, 1u);
  const RuntimeCpu again = RuntimeCpu::From(engine.cpuid());
  EXPECT_EQ(again.xcr0, engine.cpu().xcr0);
  EXPECT_EQ(again.smep, engine.cpu().smep);
  EXPECT_EQ(again.smap, engine.cpu().smap);
}

TEST_F(EngineTest, EntryOfSyscallIsFoundEachTime) {
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  if (StockKvmRequired()) {
    EXPECT_EQ(engine.syscall_entry(), SyscallEntry::kRing0);
  }
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const Engine other, Engine::Create(std::move(kvm)));
  EXPECT_EQ(other.syscall_entry(), engine.syscall_entry());
}

TEST_F(EngineTest, CopiesShareWhatTheyStandFor) {
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  const Engine copy = engine;
  EXPECT_EQ(&copy.kvm(), &engine.kvm());
  EXPECT_EQ(&copy.cpuid(), &engine.cpuid());
}

}  // namespace
}  // namespace libvmm::sandbox
