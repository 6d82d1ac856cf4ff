// SPDX-License-Identifier: Apache-2.0
// A deadline in CPU time ends a guest that spins without exits, in user mode as
// in kernel mode: its time is the thread's.
#include <signal.h>
#include <time.h>

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;

LIBVMM_GUEST_CODE(kCount, 64, R"(
1:
  inc %rbx
  jmp 1b
)");

absl::Duration ThreadTime() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

class CpuTimeTest : public ::testing::TestWithParam<Privilege> {};

TEST_P(CpuTimeTest, GuestThatSpinsIsEndedAndRunsOn) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  ASSERT_OK_AND_ASSIGN(const auto guest, KernelGuest::Create({}));
  guest->Put(KernelGuest::kCode, kCount);
  ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest->AddVcpu(0));
  ASSERT_OK(guest->Start(*vcpu, {.privilege = GetParam()}));
  uint64_t count = 0;
  for (int slice = 0; slice < 3; ++slice) {
    const absl::Duration start = ThreadTime();
    ASSERT_OK_AND_ASSIGN(
        const Deadline deadline,
        thread.StartDeadline(
            {.after = absl::Minutes(5), .cpu_time = absl::Milliseconds(20)}));
    ASSERT_OK_AND_ASSIGN(const Exit exit, thread.Run(*vcpu));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
    EXPECT_EQ(deadline.reached(), DeadlineBound::kCpuTime);
    EXPECT_GE(ThreadTime() - start, absl::Milliseconds(20));
    RecordProperty(
        "used_us",
        static_cast<int>(absl::ToInt64Microseconds(ThreadTime() - start)));
    ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, vcpu->Registers());
    EXPECT_GT(regs->rbx, count);
    count = regs->rbx;
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, CpuTimeTest,
                         ::testing::Values(Privilege::kUser,
                                           Privilege::kKernel));

}  // namespace
}  // namespace libvmm
