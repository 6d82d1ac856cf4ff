// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/guest_debug.h"

#include <array>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

using Kind = HardwareBreakpoint::Kind;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(EncodeGuestDebugTest, DefaultSwitchesEverythingOff) {
  ASSERT_OK_AND_ASSIGN(const kvm_guest_debug out, EncodeGuestDebug({}));
  EXPECT_EQ(out.control, 0u);
  for (const uint64_t value : out.arch.debugreg) EXPECT_EQ(value, 0u);
}

TEST(EncodeGuestDebugTest, EachWishHasItsControlBit) {
  const struct {
    GuestDebug debug;
    uint32_t bit;
  } rows[] = {
      {{.single_step = true}, KVM_GUESTDBG_SINGLESTEP},
      {{.block_interrupts = true}, KVM_GUESTDBG_BLOCKIRQ},
      {{.software_breakpoints = true}, KVM_GUESTDBG_USE_SW_BP},
      {{.inject_debug_exception = true}, KVM_GUESTDBG_INJECT_DB},
      {{.inject_breakpoint_exception = true}, KVM_GUESTDBG_INJECT_BP},
  };
  for (const auto& row : rows) {
    ASSERT_OK_AND_ASSIGN(const kvm_guest_debug out,
                         EncodeGuestDebug(row.debug));
    EXPECT_EQ(out.control, KVM_GUESTDBG_ENABLE | row.bit);
  }
}

TEST(EncodeGuestDebugTest, HardwareBreakpointsFillTheDebugRegisters) {
  const std::array<HardwareBreakpoint, 4> breakpoints = {{
      {.address = Gva(0x1001)},
      {.address = Gva(0x2002), .kind = Kind::kWrite, .size = 2},
      {.address = Gva(0x3004), .kind = Kind::kReadWrite, .size = 4},
      {.address = Gva(0xffff800000000008), .kind = Kind::kWrite, .size = 8},
  }};
  ASSERT_OK_AND_ASSIGN(const kvm_guest_debug out,
                       EncodeGuestDebug({.hardware_breakpoints = breakpoints}));
  EXPECT_EQ(out.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
  EXPECT_EQ(out.arch.debugreg[0], 0x1001u);
  EXPECT_EQ(out.arch.debugreg[1], 0x2002u);
  EXPECT_EQ(out.arch.debugreg[2], 0x3004u);
  EXPECT_EQ(out.arch.debugreg[3], 0xffff800000000008u);
  // Fields 3 to 0 (length, kind): 8 bytes write, 4 read-write, 2 write,
  // execute; then bits 10 and 9, then the four global enables.
  EXPECT_EQ(out.arch.debugreg[7], 0x9f50'06aau);
}

TEST(EncodeGuestDebugTest, WhatTheHardwareCannotDoIsNamed) {
  const auto encode = [](const HardwareBreakpoint& breakpoint) {
    return EncodeGuestDebug({.hardware_breakpoints = {&breakpoint, 1}});
  };
  EXPECT_THAT(encode({.address = Gva(0x1000), .size = 2}),
              StatusIs(kInvalid, HasSubstr("execution breakpoint")));
  EXPECT_THAT(encode({.address = Gva(0x1000), .kind = Kind::kWrite, .size = 3}),
              StatusIs(kInvalid, HasSubstr("size 3 is not")));
  EXPECT_THAT(encode({.address = Gva(0x1001), .kind = Kind::kWrite, .size = 2}),
              StatusIs(kInvalid, HasSubstr("0x1001 is not a multiple")));
  const std::vector<HardwareBreakpoint> five(5);
  EXPECT_THAT(EncodeGuestDebug({.hardware_breakpoints = five}),
              StatusIs(kInvalid, HasSubstr("5 elements")));
  EXPECT_THAT(EncodeGuestDebug({.inject_debug_exception = true,
                                .inject_breakpoint_exception = true}),
              StatusIs(kInvalid, HasSubstr("both")));
}

TEST(SetGuestDebugTest, SingleStepStopsAfterEachInstruction) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0x40,  // inc ax
                                                0x40,  // inc ax
                                                0xf4,  // hlt
                                            }));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(SetGuestDebug(vcpu, {.single_step = true}));
  for (uint64_t step = 1; step <= 2; ++step) {
    ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kDebug);
    ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, vcpu.Registers());
    EXPECT_EQ(regs->rip, RealModeGuest::kEntry + step);
  }
  ASSERT_OK(SetGuestDebug(vcpu, GuestDebug{}));
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
}

TEST(SetGuestDebugTest, ChangesThatTheVcpuHoldsBackAreNotLost) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(kvm_regs * regs, guest.vcpu().MutableRegisters());
  regs->rax = 0x99;
  ASSERT_OK(SetGuestDebug(guest.vcpu(), {.single_step = true}));
  ASSERT_OK_AND_ASSIGN(const kvm_regs* read, guest.vcpu().Registers());
  EXPECT_EQ(read->rax, 0x99u);
}

}  // namespace
}  // namespace libvmm
