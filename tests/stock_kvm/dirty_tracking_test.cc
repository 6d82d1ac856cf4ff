// SPDX-License-Identifier: Apache-2.0
// Dirty bitmap and dirty ring under a guest that runs: what is collected while
// it writes is, in all, exactly what it wrote.
#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/kvm/dirty_ring.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::EmulatesKernelMode;
using ::libvmm::testing::KernelGuest;
using ::testing::IsEmpty;
using Source = VmMemory::DirtySource;

// A slot of its own, so that stacks and tables are not among the pages.
constexpr uint64_t kWindow = 0x40000000;
constexpr uint64_t kPageCount = 4096;
constexpr uint64_t kStep = 3;  // every third page is written

// Writes the round's number to every RDI-th page of RSI bytes from RBX on,
// reports, and goes on with the next round. It does not read the pages between:
// KVM may count a page that was only read, if it maps it writable at once.
LIBVMM_GUEST_CODE(kWritePages, 64, R"(
  shl $12, %rdi
  mov $1, %r8d
0:
  xor %ecx, %ecx
1:
  mov %r8, 8(%rbx, %rcx)
  add %rdi, %rcx
  cmp %rsi, %rcx
  jb 1b
  inc %r8d
  out %al, $0xf4
  jmp 0b
)");

std::set<uint64_t> WrittenPages() {
  std::set<uint64_t> pages;
  for (uint64_t page = 0; page < kPageCount - 1; page += kStep) {
    pages.insert(page);
  }
  return pages;
}

// Says which pages are missing and which are too many.
void ExpectWritten(const std::set<uint64_t>& pages) {
  const std::set<uint64_t> written = WrittenPages();
  std::vector<uint64_t> missing;
  std::set_difference(written.begin(), written.end(), pages.begin(),
                      pages.end(), std::back_inserter(missing));
  std::vector<uint64_t> wrong;
  std::set_difference(pages.begin(), pages.end(), written.begin(),
                      written.end(), std::back_inserter(wrong));
  EXPECT_THAT(missing, IsEmpty());
  EXPECT_THAT(wrong, IsEmpty());
}

class DirtyTrackingTest : public ::testing::TestWithParam<Privilege> {
 protected:
  // `ring_entries` other than zero switches rings on.
  void Start(uint32_t ring_entries = 0) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_, KernelGuest::Create({.mappings = {IdentityMapping(
                                         {Gpa(kWindow), kPageCount << 12},
                                         {.writable = true, .user = true})}}));
    if (ring_entries != 0) {
      if (!guest_->kvm().features().has(Feature::kDirtyRing) &&
          !guest_->kvm().features().has(Feature::kDirtyRingAcquireRelease)) {
        GTEST_SKIP() << "this KVM has no dirty ring";
      }
      ASSERT_OK_AND_ASSIGN(DirtyRings rings,
                           DirtyRings::Enable(guest_->vm(), ring_entries));
      rings_.emplace(std::move(rings));
    }
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = kPageCount << 12}));
    ASSERT_OK(guest_->vm_memory().Add(Gpa(kWindow), std::move(region)));
    guest_->Put(KernelGuest::kCode, kWritePages);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_, {.privilege = GetParam()}));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rbx = kWindow;
    regs->rdi = kStep;
    regs->rsi = (kPageCount - 1) << 12;
  }

  // Adds to `pages` what VmMemory collects from the window's slot.
  void Collect(std::set<uint64_t>& pages) {
    ASSERT_OK(guest_->vm_memory().CollectDirty(
        [&](const MemorySlot& slot, std::span<const uint64_t> words) {
          if (slot.range().start != Gpa(kWindow)) return;
          for (size_t i = 0; i < words.size() * 64; ++i) {
            if (words[i / 64] >> i % 64 & 1) pages.insert(i);
          }
        }));
  }

  // Collects as long as the guest writes one round, and once more.
  std::set<uint64_t> CollectWhileItRuns() {
    std::set<uint64_t> pages;
    absl::StatusOr<uint32_t> end;
    std::atomic<bool> ended = false;
    std::thread thread([&] {
      end = guest_->RunToPort(*vcpu_);
      ended = true;
    });
    while (!ended && !HasFailure()) Collect(pages);
    thread.join();
    EXPECT_OK(end);
    Collect(pages);
    return pages;
  }

  std::unique_ptr<KernelGuest> guest_;
  std::optional<DirtyRings> rings_;
  Vcpu* vcpu_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, DirtyTrackingTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST_P(DirtyTrackingTest, BitmapIsExactRoundAfterRound) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kLog));
  for (int round = 0; round < 3; ++round) {
    ExpectWritten(CollectWhileItRuns());
    std::set<uint64_t> nothing;
    Collect(nothing);
    EXPECT_TRUE(nothing.empty());
  }
}

TEST_P(DirtyTrackingTest, ManualBitmapIsExactRoundAfterRound) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(EnableManualDirtyLog(guest_->vm(), /*initially_set=*/false));
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kManualLog));
  for (int round = 0; round < 3; ++round) {
    ExpectWritten(CollectWhileItRuns());
  }
}

// Only what is cleared comes again.
TEST_P(DirtyTrackingTest, ManualClearOfAPartLetsTheRestStand) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(EnableManualDirtyLog(guest_->vm(), /*initially_set=*/false));
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kManualLog));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  const MemorySlot& slot = guest_->vm_memory().slots()[1];
  ASSERT_EQ(slot.range().start, Gpa(kWindow));
  std::vector<uint64_t> before(DirtyLogWordCount(slot));
  ASSERT_OK(GetDirtyLog(slot, before));
  ASSERT_OK(ClearDirtyLog(slot, {.first = 64, .count = 128},
                          std::span(before).subspan(1, 2)));
  std::vector<uint64_t> after(before.size());
  ASSERT_OK(GetDirtyLog(slot, after));
  for (size_t word = 0; word < before.size(); ++word) {
    EXPECT_EQ(after[word], word == 1 || word == 2 ? 0 : before[word]) << word;
  }
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK(GetDirtyLog(slot, after));
  EXPECT_EQ(after, before);
}

// 1024 entries for 1365 pages: the ring fills at least once in each round.
TEST_P(DirtyTrackingTest, FullRingExitsAndNothingIsLost) {
  LIBVMM_NEEDS_KVM();
  if (GetParam() == Privilege::kKernel) {
    ASSERT_OK_AND_ASSIGN(const bool emulated, EmulatesKernelMode());
    LIBVMM_NEEDS_STOCK_KVM(
        !emulated, "a batch of emulated instructions overruns the dirty ring");
  }
  Start(/*ring_entries=*/1024);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kRing));
  ASSERT_OK_AND_ASSIGN(DirtyRing ring, rings_->Open(*vcpu_));
  const uint16_t slot = guest_->vm_memory().slots()[1].id();
  for (int round = 0; round < 3; ++round) {
    std::set<uint64_t> pages;
    const auto harvest = [&] {
      const size_t count = ring.Harvest([&](const DirtyPage& page) {
        if (page.slot == slot) pages.insert(page.page);
      });
      const absl::StatusOr<uint64_t> reset = rings_->Reset();
      EXPECT_OK(reset);
      EXPECT_EQ(*reset, count);
      return count;
    };
    int full = 0;
    while (true) {
      ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
      if (exit.reason() != ExitReason::kDirtyRingFull) {
        ASSERT_EQ(exit.reason(), ExitReason::kPio);
        break;
      }
      ++full;
      ASSERT_GT(harvest(), 0u);
    }
    harvest();
    EXPECT_GE(full, 1);
    ExpectWritten(pages);
    if (HasFailure()) return;
  }
}

TEST_P(DirtyTrackingTest, RingFullRepeatsUntilTheReset) {
  Start(/*ring_entries=*/1024);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kRing));
  ASSERT_OK_AND_ASSIGN(DirtyRing ring, rings_->Open(*vcpu_));
  for (int again = 0; again < 2; ++again) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
    EXPECT_EQ(exit.reason(), ExitReason::kDirtyRingFull);
  }
  // Harvested but not reset: still no room.
  ring.Harvest([](const DirtyPage&) {});
  ASSERT_OK_AND_ASSIGN(Exit exit, guest_->Run(*vcpu_));
  EXPECT_EQ(exit.reason(), ExitReason::kDirtyRingFull);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, vcpu_->Registers());
  const uint64_t stuck_at = regs->rcx;
  ASSERT_OK(rings_->Reset());
  ASSERT_OK(guest_->Run(*vcpu_));
  ASSERT_OK_AND_ASSIGN(regs, vcpu_->Registers());
  EXPECT_GT(regs->rcx, stuck_at);
}

// While the guest runs, harvested by another thread: an entry may come late,
// none may be wrong, and the last look finds all.
TEST_P(DirtyTrackingTest, RingIsHarvestedWhileTheGuestRuns) {
  Start(/*ring_entries=*/4096);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->vm_memory().StartDirtyTracking(Source::kRing));
  ASSERT_OK_AND_ASSIGN(DirtyRing ring, rings_->Open(*vcpu_));
  const uint16_t slot = guest_->vm_memory().slots()[1].id();
  std::set<uint64_t> pages;
  const auto harvest = [&] {
    ring.Harvest([&](const DirtyPage& page) {
      if (page.slot == slot) pages.insert(page.page);
    });
    EXPECT_OK(rings_->Reset());
  };
  absl::StatusOr<uint32_t> end;
  std::atomic<bool> ended = false;
  std::thread thread([&] {
    end = guest_->RunToPort(*vcpu_);
    ended = true;
  });
  while (!ended && !HasFailure()) harvest();
  thread.join();
  ASSERT_OK(end);
  harvest();
  ExpectWritten(pages);
}

}  // namespace
}  // namespace libvmm
