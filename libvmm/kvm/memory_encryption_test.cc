// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_encryption.h"

#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<EncryptedRegion>);

// A machine of the default type has no encryption: the kernel answers ENOTTY,
// or EINVAL where its host could have made another type.
template <typename T>
void ExpectRefused(const T& result, const char* call) {
  const absl::StatusCode code = testing::GetStatus(result).code();
  EXPECT_TRUE(code == absl::StatusCode::kUnimplemented ||
              code == absl::StatusCode::kInvalidArgument)
      << testing::GetStatus(result);
  EXPECT_THAT(testing::GetStatus(result).message(), HasSubstr(call));
}

// KVM_MEMORY_ENCRYPT_OP
TEST(MemoryEncryptionTest, PlainVmRefusesSevCommands) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  kvm_sev_cmd command = {};
  command.id = KVM_SEV_GUEST_STATUS;
  command.error = 7;
  ExpectRefused(SevCommand(test.vm(), command),
                "KVM_MEMORY_ENCRYPT_OP, SEV command 16");
  EXPECT_EQ(command.error, 0u);
  ExpectRefused(MemoryEncryptOp(test.vm().fd(), &command),
                "KVM_MEMORY_ENCRYPT_OP");
}

// KVM_MEMORY_ENCRYPT_REG_REGION; KVM_MEMORY_ENCRYPT_UNREG_REGION is its
// destructor.
TEST(MemoryEncryptionTest, PlainVmRefusesEncryptedRegions) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Mapping memory, Mapping::Create({.size = PageSize()}));
  ExpectRefused(EncryptedRegion::Create(test.vm(), memory.bytes()),
                "KVM_MEMORY_ENCRYPT_REG_REGION");
}

TEST(MemoryEncryptionTest, ContextOfAPlainVmCannotBeTaken) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(TestVm source, TestVm::Create());
  ExpectRefused(CopyEncryptionContext(test.vm(), source.vm()),
                "KVM_CAP_VM_COPY_ENC_CONTEXT_FROM");
  ExpectRefused(MoveEncryptionContext(test.vm(), source.vm()),
                "KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM");
}

}  // namespace
}  // namespace libvmm
