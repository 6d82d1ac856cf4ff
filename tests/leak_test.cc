// SPDX-License-Identifier: Apache-2.0
// Making and destroying a VM 10,000 times leaves nothing behind.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::testing {
namespace {

const int kRounds = Repetitions(10000);
const int kCheckEvery = kRounds / 10;
// What is made at a first use and kept.
constexpr int kWarmUp = 10;

// VM, memory seen from both sides, vCPU, Kicker, first exit; and all of it
// gone.
absl::Status Round(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion ram,
      MemoryRegion::Anonymous({.size = 64 << 20, .no_reserve = true}));
  LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), std::move(ram)));
  constexpr Gpa kEntry(0x1000);
  constexpr uint16_t kOut60 = 0x60e6;  // out 0x60, al
  if (!memory.guest_memory().Store(kEntry, kOut60)) {
    return absl::InternalError("no memory at the entry");
  }
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_RETURN_IF_ERROR(vcpu.kicker().status());
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  sregs->cs.base = 0;
  sregs->cs.selector = 0;
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  regs->rip = kEntry.value();
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
  return exit.reason() == ExitReason::kPio
             ? absl::OkStatus()
             : absl::InternalError("the first exit is not the port's");
}

TEST(LeakTest, RoundsOfAWholeVmLeaveNothing) {
  LIBVMM_NEEDS_KVM();
  KeepHeapInBrk();
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  for (int i = 0; i < kWarmUp; ++i) ASSERT_OK(Round(kvm));
  const ProcessResources resources = ProcessResources::Now();
  const HeapUse heap = HeapUse::Now();
  for (int done = 0; done < kRounds; done += kCheckEvery) {
    for (int i = 0; i < kCheckEvery; ++i) ASSERT_OK(Round(kvm));
    const HeapUse now = HeapUse::Now();
    ASSERT_EQ(now.bytes, heap.bytes) << "after " << done + kCheckEvery;
    ASSERT_EQ(now.blocks, heap.blocks) << "after " << done + kCheckEvery;
    ASSERT_EQ(ProcessResources::Now().Since(resources), "")
        << "after " << done + kCheckEvery;
  }
  std::printf(
      "%d rounds%s: descriptors, mappings and heap (%lld bytes) as before\n",
      kRounds, kRounds < 10000 ? " (fewer, as all is slow here)" : "",
      static_cast<long long>(heap.bytes));
}

// The comparison must be able to fail.
TEST(LeakTest, ALostByteDescriptorAndPageAreSeen) {
  LIBVMM_NEEDS_KVM();
  const ProcessResources resources = ProcessResources::Now();
  const HeapUse heap = HeapUse::Now();
  void* volatile const lost = std::malloc(1);
  EXPECT_GT(HeapUse::Now().bytes, heap.bytes);
  std::free(lost);
  {
    ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
    ASSERT_OK_AND_ASSIGN(const Vm vm, Vm::Create(kvm));
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
    ASSERT_OK(vcpu.kicker());
    const std::string seen = ProcessResources::Now().Since(resources);
    EXPECT_THAT(seen, ::testing::HasSubstr("new descriptor"));
    EXPECT_THAT(seen, ::testing::HasSubstr("kvm-vm"));
    EXPECT_THAT(seen,
                ::testing::ContainsRegex("mapped rw-s .*anon_inode:kvm-vcpu"));
  }
  EXPECT_EQ(ProcessResources::Now().Since(resources), "");
}

}  // namespace
}  // namespace libvmm::testing
