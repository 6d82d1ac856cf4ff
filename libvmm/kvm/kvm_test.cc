// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/kvm.h"

#include <fcntl.h>

#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<Kvm>);

TEST(KvmTest, MissingDeviceSaysWhatToDo) {
  EXPECT_THAT(
      Kvm::Open("/dev/no-such-kvm"),
      StatusIs(absl::StatusCode::kNotFound,
               AllOf(HasSubstr("/dev/no-such-kvm"), HasSubstr("modprobe"))));
}

// KVM_GET_API_VERSION is refused by whatever is not KVM.
TEST(KvmTest, OtherDeviceIsInvalid) {
  EXPECT_THAT(Kvm::Open("/dev/null"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("/dev/null: not a KVM device"),
                             HasSubstr("KVM_GET_API_VERSION"))));
}

TEST(KvmTest, AdoptedDescriptorWorksAsAnOpenedOne) {
  LIBVMM_NEEDS_KVM();
  UniqueFd fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  const int number = fd.get();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Adopt(std::move(fd)));
  EXPECT_EQ(kvm.fd(), number);
  EXPECT_EQ(kvm.CheckExtension(KVM_CAP_USER_MEMORY), 1);
  EXPECT_EQ(kvm.CheckExtension(KVM_CAP_S390_PSW), 0);
  EXPECT_GE(kvm.vcpu_mmap_size(), sizeof(kvm_run));
}

TEST(KvmTest, SupportedCpuidIsAskedOnceAndStays) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const Cpuid* first, kvm.SupportedCpuid());
  Kvm moved = std::move(kvm);
  ASSERT_OK_AND_ASSIGN(const Cpuid* second, moved.SupportedCpuid());
  EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace libvmm
