// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_state.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(VcpuStateTest, GeneralRegistersComeBackAsSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(kvm_regs regs, GetVcpuState<kvm_regs>(guest.vcpu()));
  regs.rax = 0x1122334455667788;
  regs.r15 = 0x99;
  ASSERT_OK(SetVcpuState(guest.vcpu(), regs));
  ASSERT_OK_AND_ASSIGN(const kvm_regs read,
                       GetVcpuState<kvm_regs>(guest.vcpu()));
  EXPECT_EQ(read.rax, 0x1122334455667788u);
  EXPECT_EQ(read.r15, 0x99u);
}

TEST(VcpuStateTest, SeesAndKeepsChangesThatTheVcpuHoldsBack) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(kvm_regs * held, vcpu.MutableRegisters());
  held->rbx = 0x77;
  ASSERT_OK_AND_ASSIGN(kvm_sregs * held_sregs, vcpu.MutableSpecialRegisters());
  held_sregs->cr2 = 0x5000;

  ASSERT_OK_AND_ASSIGN(kvm_regs regs, GetVcpuState<kvm_regs>(vcpu));
  EXPECT_EQ(regs.rbx, 0x77u);
  regs.rcx = 0x88;
  ASSERT_OK(SetVcpuState(vcpu, regs));

  ASSERT_OK_AND_ASSIGN(const kvm_regs* cached, vcpu.Registers());
  EXPECT_EQ(cached->rbx, 0x77u);
  EXPECT_EQ(cached->rcx, 0x88u);
  ASSERT_OK_AND_ASSIGN(const kvm_sregs sregs, GetVcpuState<kvm_sregs>(vcpu));
  EXPECT_EQ(sregs.cr2, 0x5000u);
}

template <typename T>
void ExpectCachedRegistersStay(Vcpu& vcpu) {
  ASSERT_OK_AND_ASSIGN(kvm_regs * held, vcpu.MutableRegisters());
  held->rax = 0x11;
  ASSERT_OK_AND_ASSIGN(const T state, GetVcpuState<T>(vcpu));
  ASSERT_OK(SetVcpuState(vcpu, state));
  kvm_regs in_kernel = {};
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_REGS), &in_kernel));
  EXPECT_EQ(in_kernel.rax, 0u);  // not written yet
  ASSERT_OK_AND_ASSIGN(const kvm_regs* cached, vcpu.Registers());
  EXPECT_EQ(cached->rax, 0x11u);
}

TEST(VcpuStateTest, StateApartFromTheCachedRegistersLeavesThem) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  ExpectCachedRegistersStay<kvm_fpu>(guest.vcpu());
  ExpectCachedRegistersStay<kvm_xcrs>(guest.vcpu());
  ExpectCachedRegistersStay<kvm_debugregs>(guest.vcpu());
}

TEST(VcpuStateTest, SpecialRegistersComeBackAsSetAndBadOnesAreRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(kvm_sregs sregs, GetVcpuState<kvm_sregs>(guest.vcpu()));
  sregs.gdt.base = 0x4000;
  sregs.gdt.limit = 0x17;
  ASSERT_OK(SetVcpuState(guest.vcpu(), sregs));
  ASSERT_OK_AND_ASSIGN(const kvm_sregs read,
                       GetVcpuState<kvm_sregs>(guest.vcpu()));
  EXPECT_EQ(read.gdt.base, 0x4000u);
  EXPECT_EQ(read.gdt.limit, 0x17u);

  sregs.cr4 = uint64_t{1} << 40;  // reserved
  EXPECT_THAT(SetVcpuState(guest.vcpu(), sregs),
              StatusIs(kInvalid, HasSubstr("KVM_SET_SREGS")));
}

TEST(VcpuStateTest, SpecialRegisters2ComeBackOrNameTheirCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  if (!guest.kvm().features().has(Feature::kSregs2)) {
    EXPECT_THAT(GetVcpuState<kvm_sregs2>(guest.vcpu()),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_SREGS2")));
    EXPECT_THAT(SetVcpuState(guest.vcpu(), kvm_sregs2{}),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_SREGS2")));
    return;
  }
  ASSERT_OK_AND_ASSIGN(kvm_sregs2 sregs,
                       GetVcpuState<kvm_sregs2>(guest.vcpu()));
  sregs.idt.base = 0x6000;
  ASSERT_OK(SetVcpuState(guest.vcpu(), sregs));
  ASSERT_OK_AND_ASSIGN(const kvm_sregs2 read,
                       GetVcpuState<kvm_sregs2>(guest.vcpu()));
  EXPECT_EQ(read.idt.base, 0x6000u);
  sregs.flags = ~uint64_t{0};
  EXPECT_THAT(SetVcpuState(guest.vcpu(), sregs), StatusIs(kInvalid));
}

TEST(VcpuStateTest, FpuComesBackAsSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(kvm_fpu fpu, GetVcpuState<kvm_fpu>(guest.vcpu()));
  fpu.fcw = 0x27f;
  fpu.xmm[3][5] = 0xab;
  ASSERT_OK(SetVcpuState(guest.vcpu(), fpu));
  ASSERT_OK_AND_ASSIGN(const kvm_fpu read, GetVcpuState<kvm_fpu>(guest.vcpu()));
  EXPECT_EQ(read.fcw, 0x27f);
  EXPECT_EQ(read.xmm[3][5], 0xab);
}

TEST(VcpuStateTest, ExtendedControlRegisterComesBackAsSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  kvm_xcrs xcrs = {};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = 3;  // x87 and SSE
  ASSERT_OK(SetVcpuState(guest.vcpu(), xcrs));
  ASSERT_OK_AND_ASSIGN(const kvm_xcrs read,
                       GetVcpuState<kvm_xcrs>(guest.vcpu()));
  ASSERT_EQ(read.nr_xcrs, 1u);
  EXPECT_EQ(read.xcrs[0].xcr, 0u);
  EXPECT_EQ(read.xcrs[0].value, 3u);

  xcrs.xcrs[0].value = 2;  // SSE without x87 cannot be
  EXPECT_THAT(SetVcpuState(guest.vcpu(), xcrs),
              StatusIs(kInvalid, HasSubstr("KVM_SET_XCRS")));
}

TEST(VcpuStateTest, DebugRegistersComeBackAndFlagsAreRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(kvm_debugregs regs,
                       GetVcpuState<kvm_debugregs>(guest.vcpu()));
  regs.db[2] = 0x1234;
  ASSERT_OK(SetVcpuState(guest.vcpu(), regs));
  ASSERT_OK_AND_ASSIGN(const kvm_debugregs read,
                       GetVcpuState<kvm_debugregs>(guest.vcpu()));
  EXPECT_EQ(read.db[2], 0x1234u);
  regs.flags = 1;
  EXPECT_THAT(SetVcpuState(guest.vcpu(), regs),
              StatusIs(kInvalid, HasSubstr("KVM_SET_DEBUGREGS")));
}

TEST(VcpuStateTest, EventsComeBackAsSetAndReachTheCache) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(vcpu.Events());
  ASSERT_OK_AND_ASSIGN(kvm_vcpu_events events,
                       GetVcpuState<kvm_vcpu_events>(vcpu));
  events.nmi.masked = 1;
  ASSERT_OK(SetVcpuState(vcpu, events));
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* cached, vcpu.Events());
  EXPECT_EQ(cached->nmi.masked, 1);
  events.flags = ~0u;
  EXPECT_THAT(SetVcpuState(vcpu, events),
              StatusIs(kInvalid, HasSubstr("KVM_SET_VCPU_EVENTS")));
}

TEST(VcpuStateTest, WithoutAnInKernelLocalApicThereIsNoLapicState) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_THAT(GetVcpuState<kvm_lapic_state>(guest.vcpu()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("no in-kernel local APIC")));
  EXPECT_THAT(SetVcpuState(guest.vcpu(), kvm_lapic_state{}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("no in-kernel local APIC")));
}

TEST(VcpuStateTest, WithoutAnInKernelLocalApicAVcpuIsOnlyRunnable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const kvm_mp_state state,
                       GetVcpuState<kvm_mp_state>(guest.vcpu()));
  EXPECT_EQ(state.mp_state, unsigned{KVM_MP_STATE_RUNNABLE});
  EXPECT_OK(SetVcpuState(guest.vcpu(), state));
  EXPECT_THAT(
      SetVcpuState(guest.vcpu(), kvm_mp_state{.mp_state = KVM_MP_STATE_HALTED}),
      StatusIs(kInvalid, HasSubstr("KVM_SET_MP_STATE")));
}

TEST(VcpuStateTest, InKernelLocalApicAndMpStateComeBackAsSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(vm));
  ASSERT_OK_AND_ASSIGN(Vcpu boot, Vcpu::Create(vm, 0));
  ASSERT_OK_AND_ASSIGN(Vcpu second, Vcpu::Create(vm, 1));

  ASSERT_OK_AND_ASSIGN(kvm_lapic_state lapic,
                       GetVcpuState<kvm_lapic_state>(boot));
  constexpr int kTaskPriority = 0x80;  // SDM volume 3, table 11-1
  lapic.regs[kTaskPriority] = 0x20;
  ASSERT_OK(SetVcpuState(boot, lapic));
  ASSERT_OK_AND_ASSIGN(lapic, GetVcpuState<kvm_lapic_state>(boot));
  EXPECT_EQ(lapic.regs[kTaskPriority], 0x20);

  ASSERT_OK_AND_ASSIGN(kvm_mp_state state, GetVcpuState<kvm_mp_state>(second));
  EXPECT_EQ(state.mp_state, unsigned{KVM_MP_STATE_UNINITIALIZED});
  state.mp_state = KVM_MP_STATE_HALTED;
  ASSERT_OK(SetVcpuState(second, state));
  ASSERT_OK_AND_ASSIGN(state, GetVcpuState<kvm_mp_state>(second));
  EXPECT_EQ(state.mp_state, unsigned{KVM_MP_STATE_HALTED});
}

}  // namespace
}  // namespace libvmm
