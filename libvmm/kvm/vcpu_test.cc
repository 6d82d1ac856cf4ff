// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(VcpuTest, PortWriteComesWithItsBytes) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xb8, 0x34, 0x12,  // mov ax, 0x1234
                           0xe7, 0x60,        // out 0x60, ax
                           0xf4,              // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  const PioExit pio = exit.pio();
  EXPECT_TRUE(pio.is_write);
  EXPECT_EQ(pio.port, 0x60);
  EXPECT_EQ(pio.size, 2);
  EXPECT_EQ(pio.count, 1u);
  EXPECT_THAT(pio.data, ElementsAre(std::byte{0x34}, std::byte{0x12}));
  ASSERT_OK_AND_ASSIGN(Exit halt, guest.vcpu().Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
}

TEST(VcpuTest, PortReadTakesWhatWasPutThere) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xe4, 0x61,        // in al, 0x61
                           0xa2, 0x00, 0x20,  // mov [0x2000], al
                           0xf4,              // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_FALSE(exit.pio().is_write);
  exit.pio().data[0] = std::byte{0x5a};
  ASSERT_OK_AND_ASSIGN(Exit halt, guest.vcpu().Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
  EXPECT_EQ(guest.memory()[0x2000], 0x5a);
}

TEST(VcpuTest, StringPortReadComesWithItsCount) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xbf, 0x00, 0x20,  // mov di, 0x2000
                           0xb9, 0x08, 0x00,  // mov cx, 8
                           0xba, 0x62, 0x00,  // mov dx, 0x62
                           0xf3, 0x6c,        // rep insb
                           0xf4,              // hlt
                       }));
  uint32_t elements = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
    if (exit.reason() == ExitReason::kHalt) break;
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    ASSERT_EQ(exit.pio().data.size(), exit.pio().count);
    for (std::byte& byte : exit.pio().data) {
      byte = static_cast<std::byte>(++elements);
    }
  }
  EXPECT_EQ(elements, 8u);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(guest.memory()[0x2000 + i], i + 1);
}

TEST(VcpuTest, MmioComesWithAddressAndSize) {
  LIBVMM_NEEDS_KVM();
  // ds = 0x1000, so that [0x0010] is gpa 0x10010, behind the memory.
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xb8, 0x00, 0x10,  // mov ax, 0x1000
                           0x8e, 0xd8,        // mov ds, ax
                           0xa3, 0x10, 0x00,  // mov [0x10], ax
                           0xa0, 0x12, 0x00,  // mov al, [0x12]
                           0xe6, 0x60,        // out 0x60, al
                           0xf4,              // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(Exit write, guest.vcpu().Run());
  ASSERT_EQ(write.reason(), ExitReason::kMmio);
  EXPECT_TRUE(write.mmio().is_write);
  EXPECT_EQ(write.mmio().gpa, Gpa(0x10010));
  EXPECT_THAT(write.mmio().data, ElementsAre(std::byte{0x00}, std::byte{0x10}));
  ASSERT_OK_AND_ASSIGN(Exit read, guest.vcpu().Run());
  ASSERT_EQ(read.reason(), ExitReason::kMmio);
  EXPECT_FALSE(read.mmio().is_write);
  EXPECT_EQ(read.mmio().gpa, Gpa(0x10012));
  ASSERT_EQ(read.mmio().data.size(), 1u);
  read.mmio().data[0] = std::byte{0x77};
  ASSERT_OK_AND_ASSIGN(Exit out, guest.vcpu().Run());
  ASSERT_EQ(out.reason(), ExitReason::kPio);
  EXPECT_EQ(out.pio().data[0], std::byte{0x77});
}

TEST(VcpuTest, TripleFaultIsShutdown) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0x0f, 0x0b,  // ud2
                                            }));
  // Flat 32-bit protected mode with an empty interrupt descriptor table.
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs,
                       guest.vcpu().MutableSpecialRegisters());
  const kvm_segment code = {.base = 0,
                            .limit = 0xffffffff,
                            .selector = 8,
                            .type = 11,
                            .present = 1,
                            .dpl = 0,
                            .db = 1,
                            .s = 1,
                            .l = 0,
                            .g = 1,
                            .avl = 0,
                            .unusable = 0,
                            .padding = 0};
  kvm_segment data = code;
  data.selector = 16;
  data.type = 3;
  sregs->cs = code;
  sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
  sregs->cr0 |= 1;
  sregs->idt.limit = 0;
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  EXPECT_EQ(exit.reason(), ExitReason::kShutdown);
}

TEST(VcpuTest, RetireFinishesAReadWithoutRunningOn) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xe4, 0x61,        // in al, 0x61
                           0xa2, 0x00, 0x20,  // mov [0x2000], al
                           0xf4,              // hlt
                       }));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  exit.pio().data[0] = std::byte{0x5a};
  ASSERT_OK_AND_ASSIGN(Exit retired, vcpu.Retire());
  EXPECT_EQ(retired.reason(), ExitReason::kInterrupted);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, vcpu.Registers());
  EXPECT_EQ(regs->rip, RealModeGuest::kEntry + 2u);
  EXPECT_EQ(regs->rax & 0xff, 0x5au);
  EXPECT_EQ(guest.memory()[0x2000], 0);
  ASSERT_OK_AND_ASSIGN(Exit halt, vcpu.Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
  EXPECT_EQ(guest.memory()[0x2000], 0x5a);
}

TEST(VcpuTest, RetireKeepsAPendingKick) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({0xe6, 0x60, 0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(Kicker kicker, vcpu.kicker());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  kicker.Kick();
  ASSERT_OK_AND_ASSIGN(Exit retired, vcpu.Retire());
  EXPECT_EQ(retired.reason(), ExitReason::kInterrupted);
  ASSERT_OK_AND_ASSIGN(Exit kicked, vcpu.Run());
  EXPECT_EQ(kicked.reason(), ExitReason::kKicked);
  ASSERT_OK_AND_ASSIGN(Exit halt, vcpu.Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
}

TEST(VcpuTest, RetireWithNothingPendingDoesNotRun) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({0xe6, 0x60, 0xf4}));
  ASSERT_OK_AND_ASSIGN(Exit retired, guest.vcpu().Retire());
  EXPECT_EQ(retired.reason(), ExitReason::kInterrupted);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, guest.vcpu().Registers());
  EXPECT_EQ(regs->rip, RealModeGuest::kEntry);
}

// The same register behaviour must hold with every set synchronised and with
// none.
class VcpuRegistersTest : public ::testing::TestWithParam<RegisterSet> {};

TEST_P(VcpuRegistersTest, ChangesGoInAndResultsComeOut) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0x40,        // inc ax
                                                0xe6, 0x60,  // out 0x60, al
                                                0xeb, 0xfb,  // jmp to the start
                                            }));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(vcpu.SyncOnExit(GetParam()));
  for (uint64_t value : {0x10, 0x2000, 0x7fff}) {
    ASSERT_OK_AND_ASSIGN(kvm_regs * regs, vcpu.MutableRegisters());
    regs->rax = value;
    regs->rip = RealModeGuest::kEntry;
    ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    ASSERT_OK_AND_ASSIGN(const kvm_regs* now, vcpu.Registers());
    EXPECT_EQ(now->rax & 0xffff, value + 1);
    ASSERT_OK_AND_ASSIGN(const kvm_sregs* sregs, vcpu.SpecialRegisters());
    EXPECT_EQ(sregs->cs.base, 0u);
    EXPECT_EQ(sregs->cr0 & 1, 0u);
    ASSERT_OK(vcpu.Retire());
  }
}

TEST_P(VcpuRegistersTest, SpecialRegistersGoIn) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xa0, 0x00, 0x20,  // mov al, [0x2000]
                           0xe6, 0x60,        // out 0x60, al
                       }));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(vcpu.SyncOnExit(GetParam()));
  guest.memory()[0x2100] = 0x99;
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs, vcpu.MutableSpecialRegisters());
  sregs->ds.base = 0x100;
  sregs->ds.selector = 0x10;
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{0x99});
}

TEST_P(VcpuRegistersTest, EventsCanBeReadAndWrittenBack) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(vcpu.SyncOnExit(GetParam()));
  ASSERT_OK_AND_ASSIGN(kvm_vcpu_events * events, vcpu.MutableEvents());
  EXPECT_EQ(events->exception.injected, 0);
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
  EXPECT_OK(vcpu.Events());
}

TEST_P(VcpuRegistersTest, WholeSetsAreReplaced) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xa0, 0x00, 0x20,  // mov al, [0x2000]
                           0xe6, 0x60,        // out 0x60, al
                           0xe6, 0x61,        // out 0x61, al
                       }));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK(vcpu.SyncOnExit(GetParam()));
  ASSERT_OK_AND_ASSIGN(const kvm_regs* start, vcpu.Registers());
  kvm_regs regs = *start;
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* start_sregs, vcpu.SpecialRegisters());
  kvm_sregs sregs = *start_sregs;
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* start_events, vcpu.Events());
  kvm_vcpu_events events = *start_events;
  guest.memory()[0x2100] = 0x99;
  sregs.ds.base = 0x100;
  sregs.ds.selector = 0x10;
  regs.rbx = 0x1234;
  events.nmi.masked = 1;
  // Both before the first exit and behind one.
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK(vcpu.SetRegisters(regs));
    ASSERT_OK(vcpu.SetSpecialRegisters(sregs));
    ASSERT_OK(vcpu.SetEvents(events));
    // They are what is read before the next Run, too.
    ASSERT_OK_AND_ASSIGN(const kvm_regs* held, vcpu.Registers());
    EXPECT_EQ(held->rbx, 0x1234u);
    ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(exit.pio().port, 0x60);
    EXPECT_EQ(exit.pio().data[0], std::byte{0x99});
    ASSERT_OK_AND_ASSIGN(const kvm_regs* now, vcpu.Registers());
    EXPECT_EQ(now->rbx, 0x1234u);
    ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* now_events, vcpu.Events());
    EXPECT_EQ(now_events->nmi.masked, 1);
    ASSERT_OK(vcpu.Retire());
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, VcpuRegistersTest,
                         ::testing::Values(RegisterSet::kNone,
                                           RegisterSet::kGeneral,
                                           RegisterSet::kGeneral |
                                               RegisterSet::kSpecial |
                                               RegisterSet::kEvents));

TEST(VcpuTest, RefusedRegistersAreReportedAndDropped) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs, vcpu.MutableSpecialRegisters());
  // Paging without protection is no processor state.
  sregs->cr0 |= 0x80000000;
  EXPECT_THAT(vcpu.Run(), StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr("KVM_RUN")));
}

TEST(VcpuTest, TheTaskPriorityGoesInWithSpecialRegisters) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs, vcpu.MutableSpecialRegisters());
  sregs->cr8 = 5;
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
  EXPECT_EQ(exit.cr8(), 5u);
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* now, vcpu.SpecialRegisters());
  EXPECT_EQ(now->cr8, 5u);
}

TEST(VcpuTest, ChangesOnAParkedVcpuDoNotReturnOverLaterState) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK(CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_IRQCHIP), 0));
  ASSERT_OK_AND_ASSIGN(Vcpu boot, Vcpu::Create(vm, 0));
  // With an in-kernel controller every other vCPU waits for INIT and SIPI.
  ASSERT_OK_AND_ASSIGN(Vcpu parked, Vcpu::Create(vm, 1));
  ASSERT_OK_AND_ASSIGN(kvm_regs * regs, parked.MutableRegisters());
  regs->rbx = 0x1111;
  ASSERT_OK_AND_ASSIGN(Kicker kicker, parked.kicker());
  kicker.Kick();
  ASSERT_OK_AND_ASSIGN(Exit kicked, parked.Run());
  ASSERT_EQ(kicked.reason(), ExitReason::kKicked);
  // The entry ended before the changes were taken over: they are still known.
  ASSERT_OK_AND_ASSIGN(const kvm_regs* kept, parked.Registers());
  EXPECT_EQ(kept->rbx, 0x1111u);

  // Other state, as from a snapshot, that the next entry must leave alone.
  kvm_regs restored = *kept;
  restored.rbx = 0x2222;
  parked.DropRegisters();
  ASSERT_OK(CallIoctl(parked.fd(), LIBVMM_IOCTL(KVM_SET_REGS), &restored));
  const kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
  ASSERT_OK(CallIoctl(parked.fd(), LIBVMM_IOCTL(KVM_SET_MP_STATE), &runnable));
  kicker.Kick();
  ASSERT_OK_AND_ASSIGN(Exit again, parked.Run());
  ASSERT_EQ(again.reason(), ExitReason::kKicked);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* now, parked.Registers());
  EXPECT_EQ(now->rbx, 0x2222u);
}

TEST(VcpuTest, UnknownRegisterSetsAreUnimplemented) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_THAT(guest.vcpu().SyncOnExit(static_cast<RegisterSet>(1 << 20)),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("KVM_CAP_SYNC_REGS")));
}

TEST(VcpuTest, CreateNamesTheIdThatIsTaken) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_THAT(Vcpu::Create(guest.vm(), 0),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("ioctl(KVM_CREATE_VCPU, id 0)")));
}

TEST(VcpuTest, CreateRefusesAnIdBehindTheLimit) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  const int limit = guest.vm().CheckExtension(KVM_CAP_MAX_VCPU_ID);
  ASSERT_GT(limit, 0);
  EXPECT_THAT(Vcpu::Create(guest.vm(), static_cast<uint32_t>(limit)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(VcpuTest, MovedVcpusRunOn) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({0xe6, 0x60, 0xf4}));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  Vcpu moved = std::move(guest.vcpu());
  ASSERT_OK_AND_ASSIGN(Exit halt, moved.Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
  ASSERT_OK_AND_ASSIGN(Vcpu other, guest.MakeVcpu(1));
  moved = std::move(other);
  EXPECT_EQ(moved.id(), 1u);
  ASSERT_OK_AND_ASSIGN(Exit first, moved.Run());
  EXPECT_EQ(first.reason(), ExitReason::kPio);
}

TEST(VcpuTest, RunReportsADescriptorThatIsNoVcpu) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK(guest.vcpu().run_page());
  // The descriptor number now names another file, as after a stray close.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(::dup3(null, guest.vcpu().fd(), O_CLOEXEC), 0);
  ::close(null);
  EXPECT_THAT(guest.vcpu().Run(),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_RUN")));
}

TEST(KickerTest, OutlivesItsVcpu) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, guest.MakeVcpu(1));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, vcpu.kicker());
  { Vcpu gone = std::move(vcpu); }
  kicker.Kick();
  const Kicker copy = kicker;
  copy.Kick();
}

TEST(KickerTest, AKickBeforeRunEndsTheNextOneOnce) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, guest.vcpu().kicker());
  kicker.Kick();
  kicker.Kick();
  ASSERT_OK_AND_ASSIGN(Exit kicked, guest.vcpu().Run());
  EXPECT_EQ(kicked.reason(), ExitReason::kKicked);
  ASSERT_OK_AND_ASSIGN(Exit halt, guest.vcpu().Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
}

}  // namespace
}  // namespace libvmm
