// SPDX-License-Identifier: Apache-2.0
// kvm-clock as the guest has it: the MSR that switches it on, the page that KVM
// keeps for it, and what the host does to both (Linux Documentation/virt/kvm/
// x86/msr.rst and arch/x86/include/asm/pvclock-abi.h).
#include <cstring>
#include <memory>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_clock.h"
#include "libvmm/kvm/vm_clock.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;

constexpr uint64_t kClockPage = KernelGuest::kData;
constexpr uint64_t kTscAt = KernelGuest::kData + 0x100;
constexpr uint8_t kGuestStopped = 1 << 1;  // PVCLOCK_GUEST_STOPPED

// struct pvclock_vcpu_time_info.
struct TimeInfo {
  uint32_t version;
  uint32_t pad;
  uint64_t tsc_timestamp;
  uint64_t system_time;
  uint32_t tsc_to_system_mul;
  int8_t tsc_shift;
  uint8_t flags;
  uint8_t pad2[2];
};
static_assert(sizeof(TimeInfo) == 32);

// Switches the clock on (MSR_KVM_SYSTEM_TIME_NEW, page at DATA), then reports
// for ever, with the TSC at DATA + 0x100.
LIBVMM_GUEST_CODE(kReadClock, 64, R"(
  mov $0x4b564d01, %ecx
  mov $DATA + 1, %eax
  xor %edx, %edx
  wrmsr
1:
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  mov %rax, DATA + 0x100
  out %al, $0xf4
  jmp 1b
)");

class KvmClockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, kReadClock);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
  }

  TimeInfo Page() {
    TimeInfo info = {};
    EXPECT_TRUE(guest_->memory().Read(
        Gpa(kClockPage), std::as_writable_bytes(std::span(&info, 1))));
    EXPECT_EQ(info.version % 2, 0u);  // odd while KVM writes
    EXPECT_NE(info.version, 0u);
    return info;
  }

  // Runs to the guest's next report and computes its clock as guests do.
  uint64_t GuestNanoseconds() {
    EXPECT_OK(guest_->RunToPort(*vcpu_));
    const TimeInfo info = Page();
    uint64_t delta = guest_->Word(kTscAt) - info.tsc_timestamp;
    delta =
        info.tsc_shift < 0 ? delta >> -info.tsc_shift : delta << info.tsc_shift;
    // delta * mul / 2^32 without losing bits.
    const uint64_t mul = info.tsc_to_system_mul;
    return info.system_time + (delta >> 32) * mul +
           ((delta & 0xffffffff) * mul >> 32);
  }

  uint64_t HostNanoseconds() {
    const absl::StatusOr<VmClockReading> reading = GetVmClock(guest_->vm());
    EXPECT_OK(reading);
    return reading->nanoseconds;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

TEST_F(KvmClockTest, NeverGoesBackAndLiesBetweenTheHostsReadings) {
  ASSERT_OK(guest_->RunToPort(*vcpu_));  // on
  uint64_t last = 0;
  for (int round = 0; round < 100; ++round) {
    const uint64_t before = HostNanoseconds();
    const uint64_t now = GuestNanoseconds();
    const uint64_t after = HostNanoseconds();
    EXPECT_GE(now, last);
    // The page's rate and the host's clock may drift apart by a little between
    // two updates of the page: parts in a thousand of what was measured.
    const uint64_t slack = 1'000'000 + (after - before) / 1000;
    EXPECT_GE(now + slack, before);
    EXPECT_LE(now, after + slack);
    last = now;
  }
}

TEST_F(KvmClockTest, SettingTheClockIsSeen) {
  const uint64_t before = GuestNanoseconds();
  constexpr uint64_t kHour = 3600'000'000'000;
  ASSERT_OK(SetVmClock(guest_->vm(), {.nanoseconds = before + kHour}));
  const uint64_t later = GuestNanoseconds();
  EXPECT_GE(later, before + kHour);
  EXPECT_LT(later, before + 2 * kHour);
}

TEST_F(KvmClockTest, GuestIsToldOfAPause) {
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(Page().flags & kGuestStopped, 0);
  ASSERT_OK_AND_ASSIGN(const bool told, NotifyGuestPaused(*vcpu_));
  EXPECT_TRUE(told);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(Page().flags & kGuestStopped, kGuestStopped);
}

}  // namespace
}  // namespace libvmm
