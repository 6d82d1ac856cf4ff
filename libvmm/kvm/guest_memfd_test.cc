// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/guest_memfd.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<GuestMemFd>);

TEST(GuestMemFdTest, SizeOfPartPagesIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  for (const uint64_t size : {uint64_t{0}, uint64_t{0x800}}) {
    EXPECT_THAT(GuestMemFd::Create(test.vm(), {.size = size}),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

// KVM_CREATE_GUEST_MEMFD
TEST(GuestMemFdTest, FileIsMadeOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::StatusOr<GuestMemFd> memory =
      GuestMemFd::Create(test.vm(), {.size = 0x10000});
  if (test.vm().CheckExtension(KVM_CAP_GUEST_MEMFD) == 0) {
    EXPECT_THAT(memory, StatusIs(absl::StatusCode::kUnimplemented,
                                 HasSubstr("KVM_CAP_GUEST_MEMFD")));
    return;
  }
  ASSERT_OK(memory);
  EXPECT_GE(memory->fd(), 0);
  EXPECT_EQ(memory->size(), 0x10000u);
  // The host cannot map what was not made mappable.
  ASSERT_OK_AND_ASSIGN(UniqueFd fd, memory->Duplicate());
  EXPECT_THAT(MemoryRegion::GuestMemfd(std::move(fd), {.size = 0x10000}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(GuestMemFdTest, GuestRunsFromAMappedFile) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::StatusOr<GuestMemFd> memory = GuestMemFd::Create(
      test.vm(), {.size = 0x10000, .mappable = true, .initially_shared = true});
  if (absl::IsUnimplemented(memory.status())) {
    EXPECT_THAT(memory.status().message(), HasSubstr("KVM_CAP_GUEST_MEMFD"));
    GTEST_SKIP() << memory.status().message();
  }
  ASSERT_OK(memory);
  ASSERT_OK_AND_ASSIGN(UniqueFd fd, memory->Duplicate());
  ASSERT_OK_AND_ASSIGN(
      MemoryRegion region,
      MemoryRegion::GuestMemfd(std::move(fd), {.size = 0x10000}));
  // mov byte [0x2000], 0x5a; hlt
  const uint8_t code[] = {0xc6, 0x06, 0x00, 0x20, 0x5a, 0xf4};
  ASSERT_OK(test.memory().Add(Gpa(0), region));
  EXPECT_TRUE(test.memory().slots()[0].has_guest_memfd());
  ASSERT_TRUE(
      test.guest().Write(Gpa(TestVm::kEntry), std::as_bytes(std::span(code))));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  EXPECT_EQ(test.guest().Load<uint8_t>(Gpa(0x2000)), 0x5a);
}

}  // namespace
}  // namespace libvmm
