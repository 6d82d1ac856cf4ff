// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/dirty_ring.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <set>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::Contains;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<DirtyRing>);
static_assert(!std::is_copy_constructible_v<DirtyRings>);

constexpr uint32_t kEntries = 4096;

bool HasRing(const Vm& vm) {
  return vm.CheckExtension(KVM_CAP_DIRTY_LOG_RING_ACQ_REL) != 0 ||
         vm.CheckExtension(KVM_CAP_DIRTY_LOG_RING) != 0;
}

std::vector<DirtyPage> Harvest(DirtyRing& ring) {
  std::vector<DirtyPage> pages;
  const size_t count =
      ring.Harvest([&](const DirtyPage& page) { pages.push_back(page); });
  EXPECT_EQ(count, pages.size());
  return pages;
}

// On memory in the place of a vCPU's ring.
TEST(DirtyRingTest, EntriesComeOnceInOrder) {
  ASSERT_OK_AND_ASSIGN(Mapping memory,
                       Mapping::Create({.size = 4 * sizeof(kvm_dirty_gfn)}));
  auto* const entries = reinterpret_cast<kvm_dirty_gfn*>(memory.data());
  DirtyRing ring(std::move(memory));
  EXPECT_TRUE(Harvest(ring).empty());
  entries[0] = {.flags = KVM_DIRTY_GFN_F_DIRTY, .slot = 0x10002, .offset = 7};
  entries[1] = {.flags = KVM_DIRTY_GFN_F_DIRTY, .slot = 3, .offset = 8};
  const std::vector<DirtyPage> pages = Harvest(ring);
  ASSERT_EQ(pages.size(), 2u);
  EXPECT_EQ(pages[0].slot, 2);
  EXPECT_EQ(pages[0].address_space, 1);
  EXPECT_EQ(pages[0].page, 7u);
  EXPECT_EQ(pages[1].slot, 3);
  EXPECT_EQ(pages[1].page, 8u);
  EXPECT_EQ(entries[0].flags, static_cast<__u32>(KVM_DIRTY_GFN_F_RESET));
  EXPECT_TRUE(Harvest(ring).empty());
}

TEST(DirtyRingTest, HarvestWrapsAndEndsAfterOneRingFull) {
  ASSERT_OK_AND_ASSIGN(Mapping memory,
                       Mapping::Create({.size = 4 * sizeof(kvm_dirty_gfn)}));
  auto* const entries = reinterpret_cast<kvm_dirty_gfn*>(memory.data());
  DirtyRing ring(std::move(memory));
  for (uint64_t i = 0; i < 4; ++i) {
    entries[i] = {.flags = KVM_DIRTY_GFN_F_DIRTY, .slot = 0, .offset = i};
  }
  EXPECT_EQ(Harvest(ring).size(), 4u);
  entries[0] = {.flags = KVM_DIRTY_GFN_F_DIRTY, .slot = 0, .offset = 9};
  const std::vector<DirtyPage> pages = Harvest(ring);
  ASSERT_EQ(pages.size(), 1u);
  EXPECT_EQ(pages[0].page, 9u);
}

// KVM_RESET_DIRTY_RINGS: a page is reported again only after the reset.
TEST(DirtyRingTest, GuestWritesAreReportedAndReset) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasRing(test.vm())) GTEST_SKIP() << "this KVM has no dirty ring";
  ASSERT_OK_AND_ASSIGN(DirtyRings rings,
                       DirtyRings::Enable(test.vm(), kEntries));
  EXPECT_EQ(rings.entry_count(), kEntries);
  ASSERT_OK(test.AddRamWithCode({
      0xc6, 0x06, 0x00, 0x30, 0x01,  // mov byte [0x3000], 1
      0xc6, 0x06, 0x00, 0x50, 0x01,  // mov byte [0x5000], 1
      0xf4,                          // hlt
      0xc6, 0x06, 0x00, 0x50, 0x02,  // mov byte [0x5000], 2
      0xf4,                          // hlt
  }));
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kRing));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(DirtyRing ring, rings.Open(vcpu));
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  std::set<uint64_t> pages;
  for (const DirtyPage& page : Harvest(ring)) {
    EXPECT_EQ(page.slot, test.memory().slots()[0].id());
    pages.insert(page.page);
  }
  EXPECT_THAT(pages, Contains(3u));
  EXPECT_THAT(pages, Contains(5u));
  ASSERT_OK_AND_ASSIGN(const uint64_t reset, rings.Reset());
  EXPECT_GE(reset, 2u);
  ASSERT_OK_AND_ASSIGN(exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  pages.clear();
  for (const DirtyPage& page : Harvest(ring)) pages.insert(page.page);
  EXPECT_THAT(pages, Contains(5u));
  EXPECT_THAT(pages, ::testing::Not(Contains(3u)));
}

// A kernel that sees a signal pending ends the reset early.
TEST(DirtyRingTest, SignalsDoNotCutTheResetShort) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasRing(test.vm())) GTEST_SKIP() << "this KVM has no dirty ring";
  ASSERT_OK_AND_ASSIGN(DirtyRings rings,
                       DirtyRings::Enable(test.vm(), kEntries));
  ASSERT_OK(test.AddRam(Gpa(0x10000), 0x80000));
  ASSERT_OK(test.AddRamWithCode({
      0xb8, 0x00, 0x10,  // mov ax, 0x1000
      0x8e, 0xd8,        // next: mov ds, ax
      0xa3, 0x00, 0x00,  // mov [0], ax
      0x05, 0x00, 0x01,  // add ax, 0x100, a page on
      0x3d, 0x00, 0x90,  // cmp ax, 0x9000
      0x75, 0xf3,        // jne next
      0xf4,              // hlt
      0xeb, 0xed,        // jmp to the start
  }));
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kRing));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(DirtyRing ring, rings.Open(vcpu));

  struct sigaction before;
  struct sigaction ignore = {};
  ignore.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGUSR2, &ignore, &before), 0);
  for (int round = 0; round < 50; ++round) {
    ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kHalt);
    const size_t harvested = Harvest(ring).size();
    EXPECT_GE(harvested, 128u);
    absl::StatusOr<uint64_t> reset;
    {
      std::atomic<bool> stop = false;
      std::thread storm([&stop, target = ::pthread_self()] {
        while (!stop) ::pthread_kill(target, SIGUSR2);
      });
      reset = rings.Reset();
      stop = true;
      storm.join();
    }
    ASSERT_OK(reset);
    EXPECT_EQ(*reset, harvested);
  }
  ASSERT_EQ(::sigaction(SIGUSR2, &before, nullptr), 0);
}

TEST(DirtyRingTest, BitmapIsGoneWithRings) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasRing(test.vm())) GTEST_SKIP() << "this KVM has no dirty ring";
  ASSERT_OK_AND_ASSIGN(DirtyRings rings,
                       DirtyRings::Enable(test.vm(), kEntries));
  ASSERT_OK(test.AddRam(Gpa(0), 0x10000));
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kRing));
  uint64_t words[1];
  EXPECT_THAT(GetDirtyLog(test.memory().slots()[0], words),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(DirtyRingTest, EntryCountThatCannotBeIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasRing(test.vm())) GTEST_SKIP() << "this KVM has no dirty ring";
  for (const uint32_t count : {0u, 3u, 1u, 1u << 31}) {
    EXPECT_THAT(DirtyRings::Enable(test.vm(), count),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << count;
  }
}

TEST(DirtyRingTest, AfterTheFirstVcpuIsTooLate) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasRing(test.vm())) GTEST_SKIP() << "this KVM has no dirty ring";
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  EXPECT_THAT(DirtyRings::Enable(test.vm(), kEntries),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_CAP_DIRTY_LOG_RING")));
}

}  // namespace
}  // namespace libvmm
