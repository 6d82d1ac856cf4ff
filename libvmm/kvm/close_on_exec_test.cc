// SPDX-License-Identifier: Apache-2.0
// A program that the embedder starts must not inherit a VM.
#include <fcntl.h>

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/binary_stats.h"
#include "libvmm/kvm/guest_memfd.h"
#include "libvmm/kvm/kvm_device.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::ProcessResources;
using ::libvmm::testing::TestVm;

// KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_CREATE_DEVICE, KVM_CREATE_GUEST_MEMFD,
// KVM_GET_STATS_FD
TEST(CloseOnExecTest, EveryDescriptorOfKvmHasIt) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(const Vcpu vcpu, test.MakeVcpu());
  size_t expected = 3;  // the system's, the VM's and the vCPU's
  std::optional<BinaryStats> of_vm;
  std::optional<BinaryStats> of_vcpu;
  if (test.vm().CheckExtension(KVM_CAP_BINARY_STATS_FD) != 0) {
    ASSERT_OK_AND_ASSIGN(of_vm, BinaryStats::Open(test.vm()));
    ASSERT_OK_AND_ASSIGN(of_vcpu, BinaryStats::Open(vcpu));
    expected += 2;
  }
  std::optional<KvmDevice> device;
  if (KvmDevice::IsSupported(test.vm(), KVM_DEV_TYPE_VFIO)) {
    ASSERT_OK_AND_ASSIGN(device,
                         KvmDevice::Create(test.vm(), KVM_DEV_TYPE_VFIO));
    ++expected;
  }
  std::optional<GuestMemFd> memory;
  if (test.vm().CheckExtension(KVM_CAP_GUEST_MEMFD) != 0) {
    ASSERT_OK_AND_ASSIGN(memory,
                         GuestMemFd::Create(test.vm(), {.size = 0x10000}));
    ++expected;
  }
  size_t found = 0;
  for (const auto& [fd, file] : ProcessResources::Now().descriptors) {
    const std::string& name = file.name;
    if (name != "/dev/kvm" && (!absl::StartsWith(name, "anon_inode:") ||
                               !absl::StrContains(name, "kvm"))) {
      continue;
    }
    ++found;
    EXPECT_EQ(::fcntl(fd, F_GETFD), FD_CLOEXEC) << name;
  }
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace libvmm
