// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/cell.h"

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kSize = 1 << 20;

class CellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(engine_, Engine::Open());
    ASSERT_OK_AND_ASSIGN(MemoryRegion memory,
                         MemoryRegion::Memfd({.size = kSize}));
    ASSERT_OK_AND_ASSIGN(
        cell_, Cell::Create({engine_->kvm(), engine_->cpuid(), engine_->cpu(),
                             engine_->syscall_entry()},
                            std::move(memory)));
  }

  std::vector<uint64_t> Dirty() {
    std::vector<uint64_t> pages;
    EXPECT_OK(
        cell_->CollectDirty([&](Gpa page) { pages.push_back(page.value()); }));
    return pages;
  }

  std::optional<Engine> engine_;
  std::optional<Cell> cell_;
};

TEST_F(CellTest, VcpuHasTheRuntimesRegisters) {
  for (const Msr& msr : RuntimeMsrs(engine_->syscall_entry())) {
    ASSERT_OK_AND_ASSIGN(const uint64_t value,
                         GetMsr(cell_->vcpu(), msr.index));
    EXPECT_EQ(value, msr.value) << msr.index;
  }
  if (!engine_->cpu().xsave) return;
  ASSERT_OK_AND_ASSIGN(const kvm_xcrs xcrs,
                       GetVcpuState<kvm_xcrs>(cell_->vcpu()));
  EXPECT_EQ(xcrs.xcrs[0].value, engine_->cpu().xcr0);
}

TEST_F(CellTest, WritesOfTheHostAreDirtyOnce) {
  EXPECT_THAT(Dirty(), IsEmpty());
  ASSERT_TRUE(cell_->memory().Store<uint64_t>(Gpa(0x5008), 1));
  ASSERT_TRUE(cell_->memory().Store<uint64_t>(Gpa(0x1000), 1));
  ASSERT_TRUE(cell_->memory().Store<uint64_t>(Gpa(kSize - 8), 1));
  EXPECT_THAT(Dirty(), ElementsAre(0x1000, 0x5000, kSize - 0x1000));
  EXPECT_THAT(Dirty(), IsEmpty());
  ASSERT_TRUE(cell_->memory().Store<uint64_t>(Gpa(0x5008), 1));
  cell_->ForgetHostWrites();
  EXPECT_THAT(Dirty(), IsEmpty());
}

TEST_F(CellTest, OtherMemoryStartsClean) {
  GuestMemory& before = cell_->memory();
  ASSERT_TRUE(before.Store<uint64_t>(Gpa(0x5000), 7));
  ASSERT_OK_AND_ASSIGN(MemoryRegion other,
                       MemoryRegion::Memfd({.size = kSize}));
  ASSERT_OK(cell_->ReplaceMemory(std::move(other)));
  EXPECT_EQ(&cell_->memory(), &before);
  EXPECT_THAT(Dirty(), IsEmpty());
  EXPECT_EQ(cell_->memory().Load<uint64_t>(Gpa(0x5000)), 0u);
  EXPECT_EQ(cell_->bytes().size(), kSize);
  ASSERT_TRUE(cell_->memory().Store<uint64_t>(Gpa(0x6000), 7));
  EXPECT_EQ(cell_->bytes()[0x6000], std::byte{7});
  EXPECT_THAT(Dirty(), ElementsAre(0x6000));
}

TEST_F(CellTest, DescriptorOfTheMemory) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, cell_->DuplicateMemoryFd());
  EXPECT_EQ(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  ASSERT_OK_AND_ASSIGN(MemoryRegion anonymous,
                       MemoryRegion::Anonymous({.size = kSize}));
  ASSERT_OK(cell_->ReplaceMemory(std::move(anonymous)));
  EXPECT_THAT(cell_->DuplicateMemoryFd(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace libvmm::sandbox
