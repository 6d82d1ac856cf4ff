// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_image.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <ostream>
#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu_clock.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {

// For googletest's messages.
void PrintTo(const VcpuDifference& difference, std::ostream* out) {
  *out << difference.what;
}

namespace {

using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

static_assert(!std::is_copy_constructible_v<VcpuImage>);
static_assert((~VcpuParts::kLapic | VcpuParts::kLapic) == VcpuParts::kAll);
static_assert((~VcpuParts::kLapic & VcpuParts::kLapic) == VcpuParts::kNone);

// Intel SDM volume 4; AMD64 volume 2, appendix A.
constexpr uint32_t kTsc = 0x10;
constexpr uint32_t kSysenterEip = 0x176;
constexpr uint32_t kStar = 0xc0000081;
constexpr uint32_t kLstar = 0xc0000082;
constexpr uint32_t kFmask = 0xc0000084;
constexpr uint32_t kKernelGsBase = 0xc0000102;
// Counters, Hypervisor Top-Level Functional Specification.
constexpr uint32_t kHyperVRuntime = 0x40000010;
constexpr uint32_t kHyperVTime = 0x40000020;
constexpr uint32_t kNoMsr = 0xdeadbeef;

constexpr size_t kXstateBv = 512;

// A VM with a local APIC in the kernel or without, and a vCPU as it comes.
struct Machine {
  Kvm kvm;
  Vm vm;
  std::optional<IrqChip> chip;
  Vcpu vcpu;
  std::vector<uint32_t> msrs;
  uint64_t xcr0 = 0;  // that its CPUID offers
};

Machine MakeMachine(bool with_lapic) {
  const auto make = [=]() -> absl::StatusOr<Machine> {
    absl::StatusOr<Kvm> kvm = Kvm::Open();
    if (!kvm.ok()) return kvm.status();
    absl::StatusOr<Vm> vm = Vm::Create(*kvm);
    if (!vm.ok()) return vm.status();
    std::optional<IrqChip> chip;
    if (with_lapic) {
      absl::StatusOr<IrqChip> made = IrqChip::CreateFull(*vm);
      if (!made.ok()) return made.status();
      chip.emplace(*std::move(made));
    }
    absl::StatusOr<Vcpu> vcpu = Vcpu::Create(*vm, 0);
    if (!vcpu.ok()) return vcpu.status();
    const absl::StatusOr<const Cpuid*> cpuid = kvm->SupportedCpuid();
    if (!cpuid.ok()) return cpuid.status();
    if (absl::Status set = SetCpuid(*vcpu, **cpuid); !set.ok()) return set;
    const kvm_cpuid_entry2* const leaf = (*cpuid)->Find({0xd, 0});
    const uint64_t xcr0 =
        leaf == nullptr ? 0 : leaf->eax | uint64_t{leaf->edx} << 32;
    absl::StatusOr<std::vector<uint32_t>> msrs =
        RestorableMsrs(kvm->fd(), *vcpu);
    if (!msrs.ok()) return msrs.status();
    return Machine{*std::move(kvm),  *std::move(vm),   std::move(chip),
                   *std::move(vcpu), *std::move(msrs), xcr0};
  };
  absl::StatusOr<Machine> machine = make();
  EXPECT_OK(machine);
  return *std::move(machine);
}

auto IsPart(VcpuParts part) {
  return Field("part", &VcpuDifference::part, part);
}
auto Says(const char* text) {
  return Field("what", &VcpuDifference::what, HasSubstr(text));
}

std::vector<VcpuDifference> Differences(const VcpuImage& image, Vcpu& vcpu,
                                        VcpuParts parts = VcpuParts::kAll) {
  absl::StatusOr<std::vector<VcpuDifference>> found =
      image.Compare(vcpu, parts);
  EXPECT_OK(found);
  return found.ok() ? *std::move(found) : std::vector<VcpuDifference>();
}

// Changes a struct that SetVcpuState writes.
template <typename T>
void Change(Vcpu& vcpu, void (*change)(T&)) {
  ASSERT_OK_AND_ASSIGN(T state, GetVcpuState<T>(vcpu));
  change(state);
  ASSERT_OK(SetVcpuState(vcpu, state));
}

void ChangeRegisters(Machine& machine) {
  Change<kvm_regs>(machine.vcpu, [](kvm_regs& regs) {
    regs.rax = 0x1234;
    regs.r15 = 0xffff'ffff'ffff'fff0;
    regs.rsp = 0x77;
    regs.rflags = 0x4'0cd7;  // AC, DF, OF and the arithmetic flags
  });
}

void ChangeSpecial(Machine& machine) {
  Change<kvm_sregs>(machine.vcpu, [](kvm_sregs& sregs) {
    sregs.fs.base = 0x1000;
    sregs.gs.base = 0x2000;
    sregs.ds.selector = 0x2b;
    sregs.gdt.limit = 0x7;
    sregs.idt.base = 0x5000;
    sregs.cr2 = 0x3000;
    sregs.cr3 = 0x4000;
    sregs.cr4 |= 0x200;  // OSFXSR
  });
}

// Every component has another value: the legacy registers and whatever else
// CPUID offers.
void ChangeXsave(Machine& machine) {
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(machine.vm));
  ASSERT_OK(state.ReadFrom(machine.vcpu));
  const std::span<std::byte> bytes = state.bytes();
  bytes[40] = std::byte{0x11};   // ST0
  bytes[170] = std::byte{0x22};  // XMM0
  uint64_t components = 3;
  ASSERT_OK_AND_ASSIGN(const Cpuid* const cpuid, machine.kvm.SupportedCpuid());
  for (unsigned number = 2; number < 63; ++number) {
    // The control registers of MPX and AMX have reserved bits, and AMX wants
    // both of its parts.
    const bool plain = number != 3 && number != 4 && number < 17;
    if ((machine.xcr0 >> number & 1) == 0 || !plain) continue;
    const kvm_cpuid_entry2* const leaf = cpuid->Find({0xd, number});
    ASSERT_NE(leaf, nullptr);
    bytes[leaf->ebx + 2] = std::byte{0x33};
    // The upper half of PKRU's eight bytes is reserved.
    if (number != 9) bytes[leaf->ebx + leaf->eax - 1] = std::byte{0x44};
    components |= uint64_t{1} << number;
  }
  std::memcpy(&bytes[kXstateBv], &components, sizeof components);
  ASSERT_OK(state.WriteTo(machine.vcpu));
}

void ChangeXcrs(Machine& machine) {
  Change<kvm_xcrs>(machine.vcpu, [](kvm_xcrs& xcrs) {
    ASSERT_EQ(xcrs.nr_xcrs, 1u);
    ASSERT_EQ(xcrs.xcrs[0].value, 1u);
    xcrs.xcrs[0].value = 3;
  });
}

void ChangeDebug(Machine& machine) {
  Change<kvm_debugregs>(machine.vcpu, [](kvm_debugregs& regs) {
    for (uint64_t i = 0; i < 4; ++i) regs.db[i] = 0x1000 + i;
    regs.dr6 |= 0x2;
    regs.dr7 |= 0x55;
  });
}

void ChangeEvents(Machine& machine) {
  Change<kvm_vcpu_events>(machine.vcpu, [](kvm_vcpu_events& events) {
    events.exception.injected = 1;
    events.exception.nr = 14;
    events.exception.has_error_code = 1;
    events.exception.error_code = 7;
    events.nmi.masked = 1;
    events.nmi.pending = 1;
  });
}

void ChangeMsrs(Machine& machine) {
  Msrs msrs;
  msrs.Set({.index = kStar, .value = 0x23'0010'0000'0000});
  msrs.Set({.index = kLstar, .value = 0x1111});
  msrs.Set({.index = kFmask, .value = 0x200});
  msrs.Set({.index = kKernelGsBase, .value = 0x2222});
  msrs.Set({.index = kSysenterEip, .value = 0x3333});
  ASSERT_OK(msrs.WriteTo(machine.vcpu));
}

void ChangeTsc(Machine& machine) {
  ASSERT_OK_AND_ASSIGN(const uint64_t offset, GetTscOffset(machine.vcpu));
  ASSERT_OK(SetTscOffset(machine.vcpu, offset + 0x1000));
}

void ChangeMpState(Machine& machine) {
  ASSERT_OK(SetVcpuState(machine.vcpu,
                         kvm_mp_state{.mp_state = KVM_MP_STATE_HALTED}));
}

void ChangeLapic(Machine& machine) {
  Change<kvm_lapic_state>(machine.vcpu, [](kvm_lapic_state& lapic) {
    lapic.regs[0x320] = 0x31;          // timer entry; masked while it is off
    lapic.regs[0x200 + 0x10 * 2] = 4;  // an interrupt waits
  });
}

struct Kind {
  const char* name;
  VcpuParts part;
  void (*change)(Machine&);
  std::vector<const char*> said;
  // Restoring these parts changes this one.
  VcpuParts coupled = VcpuParts::kNone;
};

const Kind kKinds[] = {
    {"registers",
     VcpuParts::kRegisters,
     ChangeRegisters,
     {"regs.rax: 0x1234, expected 0x0", "regs.r15: 0xfffffffffffffff0",
      "regs.rsp: 0x77", "regs.rflags: 0x40cd7, expected 0x2"}},
    {"special registers",
     VcpuParts::kSpecial,
     ChangeSpecial,
     {"sregs.fs.base: 0x1000, expected 0x0", "sregs.gs.base: 0x2000",
      "sregs.ds.selector: 0x2b", "sregs.gdt.limit: 0x7, expected 0xffff",
      "sregs.idt.base: 0x5000", "sregs.cr2: 0x3000", "sregs.cr3: 0x4000",
      "sregs.cr4: 0x200"}},
    {"vector state",
     VcpuParts::kXsave,
     ChangeXsave,
     {"xsave.x87[byte 40]: 0x11, expected 0x0",
      "xsave.sse[byte 168]: 0x220000, expected 0x0", "xsave.header[byte 512]"}},
    {"XCR0", VcpuParts::kXcrs, ChangeXcrs, {"xcrs.xcr0: 0x3, expected 0x1"}},
    {"debug registers",
     VcpuParts::kDebug,
     ChangeDebug,
     {"debugregs.db[0]: 0x1000, expected 0x0", "debugregs.db[3]: 0x1003",
      "debugregs.dr6: 0xffff0ff2, expected 0xffff0ff0",
      "debugregs.dr7: 0x455, expected 0x400"}},
    {"events",
     VcpuParts::kEvents,
     ChangeEvents,
     {"events.exception.injected: 0x1, expected 0x0",
      "events.exception.nr: 0xe", "events.exception.error_code: 0x7",
      "events.nmi.masked: 0x1", "events.nmi.pending: 0x1"},
     VcpuParts::kRegisters},
    {"MSRs",
     VcpuParts::kMsrs,
     ChangeMsrs,
     {"msr 0xc0000081: 0x23001000000000, expected 0x0",
      "msr 0xc0000082: 0x1111", "msr 0xc0000084: 0x200",
      "msr 0xc0000102: 0x2222", "msr 0x176: 0x3333"}},
};
// Where KVM keeps an offset.
const Kind kTscKind = {"TSC", VcpuParts::kTsc, ChangeTsc, {"tsc offset: 0x"}};
// With a local APIC in the kernel.
const Kind kApicKinds[] = {
    {"MP state",
     VcpuParts::kMpState,
     ChangeMpState,
     {"mp_state: 0x3, expected 0x0"},
     VcpuParts::kSpecial},
    {"local APIC",
     VcpuParts::kLapic,
     ChangeLapic,
     {"lapic.0x320: 0x10031, expected 0x10000",
      "lapic.0x220: 0x4, expected 0x0"}},
};

class VcpuImageTest : public ::testing::Test {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }
};

// Restoring all puts it back, and all but this part does not.
void CheckKind(const Kind& kind, Machine& machine) {
  SCOPED_TRACE(kind.name);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
  Vcpu& vcpu = machine.vcpu;
  kind.change(machine);
  std::vector<VcpuDifference> changed = Differences(image, vcpu);
  for (const char* said : kind.said) EXPECT_THAT(changed, Contains(Says(said)));
  EXPECT_THAT(Differences(image, vcpu, ~kind.part), IsEmpty());
  ASSERT_OK(image.Restore(vcpu, ~kind.part & ~kind.coupled));
  std::vector<VcpuDifference> left = Differences(image, vcpu);
  EXPECT_THAT(left, AllOf(Not(IsEmpty()), Each(IsPart(kind.part))));
  for (const char* said : kind.said) EXPECT_THAT(left, Contains(Says(said)));

  ASSERT_OK(image.Restore(vcpu));
  left = Differences(image, vcpu);
  for (const VcpuDifference& difference : left) {
    ADD_FAILURE() << "not restored: " << difference.what;
  }
}

TEST_F(VcpuImageTest, EveryKindOfStateIsRestoredByItsPart) {
  Machine machine = MakeMachine(/*with_lapic=*/false);
  for (const Kind& kind : kKinds) CheckKind(kind, machine);
}

TEST_F(VcpuImageTest, EveryKindOfStateIsRestoredBesideALocalApic) {
  Machine machine = MakeMachine(/*with_lapic=*/true);
  for (const Kind& kind : kKinds) CheckKind(kind, machine);
  for (const Kind& kind : kApicKinds) CheckKind(kind, machine);
}

TEST_F(VcpuImageTest, TscOffsetIsRestoredByItsPart) {
  Machine machine = MakeMachine(false);
  ASSERT_OK_AND_ASSIGN(const bool kept, KeepsTscOffset(machine.vcpu));
  LIBVMM_NEEDS_STOCK_KVM(kept, "keeps no TSC offset");
  CheckKind(kTscKind, machine);
}

TEST_F(VcpuImageTest, TaskPriorityIsRestoredWithAndWithoutALocalApic) {
  for (const bool with_lapic : {false, true}) {
    SCOPED_TRACE(with_lapic);
    Machine machine = MakeMachine(with_lapic);
    ASSERT_OK_AND_ASSIGN(const VcpuImage image,
                         VcpuImage::Save(machine.vm, machine.vcpu, {}));
    Change<kvm_sregs>(machine.vcpu, [](kvm_sregs& sregs) { sregs.cr8 = 5; });
    EXPECT_THAT(Differences(image, machine.vcpu),
                Contains(Says("sregs.cr8: 0x5, expected 0x0")));
    ASSERT_OK(image.Restore(machine.vcpu));
    EXPECT_THAT(Differences(image, machine.vcpu), IsEmpty());
  }
}

TEST_F(VcpuImageTest, EveryVectorComponentIsNamed) {
  Machine machine = MakeMachine(false);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
  ChangeXsave(machine);
  std::vector<VcpuDifference> changed =
      Differences(image, machine.vcpu, VcpuParts::kXsave);
  struct Row {
    unsigned number;
    const char* name;
  };
  for (const Row& row : {Row{2, "xsave.avx["}, Row{5, "xsave.opmask["},
                         Row{6, "xsave.zmm_hi256["}, Row{7, "xsave.hi16_zmm["},
                         Row{9, "xsave.pkru["}}) {
    SCOPED_TRACE(row.name);
    const bool offered = (machine.xcr0 >> row.number & 1) != 0;
    EXPECT_EQ(std::any_of(changed.begin(), changed.end(),
                          [&](const VcpuDifference& difference) {
                            return difference.what.find(row.name) == 0;
                          }),
              offered);
  }
}

TEST_F(VcpuImageTest, AllKindsAtOnceAreRestored) {
  for (const bool with_lapic : {false, true}) {
    SCOPED_TRACE(with_lapic);
    Machine machine = MakeMachine(with_lapic);
    ASSERT_OK_AND_ASSIGN(
        const VcpuImage image,
        VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
    EXPECT_EQ(image.parts(), with_lapic ? VcpuParts::kAll : ~VcpuParts::kLapic);
    for (int round = 0; round < 3; ++round) {
      for (const Kind& kind : kKinds) kind.change(machine);
      if (with_lapic) {
        for (const Kind& kind : kApicKinds) kind.change(machine);
      }
      ASSERT_OK(round % 2 == 0 ? image.Restore(machine.vcpu)
                               : image.RestoreAtEntry(machine.vcpu));
      EXPECT_THAT(Differences(image, machine.vcpu), IsEmpty());
    }
  }
}

TEST_F(VcpuImageTest, RestoringAtEntryGoesInWithTheNextRun) {
  for (const bool with_lapic : {false, true}) {
    SCOPED_TRACE(with_lapic);
    Machine machine = MakeMachine(with_lapic);
    Vcpu& vcpu = machine.vcpu;
    ChangeEvents(machine);
    ASSERT_OK_AND_ASSIGN(
        const VcpuImage image,
        VcpuImage::Save(machine.vm, vcpu, {.msrs = machine.msrs}));
    for (const Kind& kind : kKinds) kind.change(machine);
    Change<kvm_vcpu_events>(vcpu, [](kvm_vcpu_events& events) {
      events.exception = {};
      events.nmi.masked = 0;
    });
    ASSERT_OK(image.RestoreAtEntry(vcpu));
    // Without going into the guest.
    ASSERT_OK_AND_ASSIGN(const Exit exit, vcpu.Retire());
    ASSERT_EQ(exit.reason(), ExitReason::kInterrupted);
    EXPECT_THAT(Differences(image, vcpu), Each(Says("xsave.header")));

    // What the mask leaves out stays.
    ChangeRegisters(machine);
    ChangeSpecial(machine);
    ASSERT_OK(image.RestoreAtEntry(vcpu, VcpuParts::kSpecial));
    ASSERT_OK(vcpu.Retire());
    EXPECT_THAT(
        Differences(image, vcpu, ~VcpuParts::kEvents & ~VcpuParts::kXsave),
        AllOf(Not(IsEmpty()), Each(IsPart(VcpuParts::kRegisters))));
  }
}

// Old kernels leave PKRU alone unless the image names it, and show it only once
// the vCPU has been entered.
TEST_F(VcpuImageTest, ProtectionKeysDoNotSurvive) {
  Machine machine = MakeMachine(false);
  constexpr uint64_t kPkru = 1 << 9;
  if ((machine.xcr0 & kPkru) == 0) GTEST_SKIP() << "there is no PKRU";
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu, {.parts = VcpuParts::kXsave}));
  ChangeXsave(machine);
  ASSERT_OK(machine.vcpu.Retire());
  EXPECT_THAT(Differences(image, machine.vcpu), Contains(Says("xsave.pkru")));
  ASSERT_OK(image.Restore(machine.vcpu));
  ASSERT_OK(machine.vcpu.Retire());
  EXPECT_THAT(Differences(image, machine.vcpu), Each(Says("xsave.header")));
}

// The image holds what was there, not the state of a new vCPU.
TEST_F(VcpuImageTest, ChangedStateComesBackToo) {
  Machine machine = MakeMachine(true);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage fresh,
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
  for (const Kind& kind : kApicKinds) kind.change(machine);
  for (const Kind& kind : kKinds) kind.change(machine);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
  EXPECT_EQ(image.registers().rax, 0x1234u);
  EXPECT_EQ(image.special_registers().fs.base, 0x1000u);
  EXPECT_EQ(image.special_registers().cr3, 0x4000u);
  EXPECT_EQ(image.events().exception.nr, 14);
  ASSERT_OK(fresh.Restore(machine.vcpu));
  EXPECT_THAT(Differences(fresh, machine.vcpu), IsEmpty());
  ASSERT_OK(image.Restore(machine.vcpu));
  EXPECT_THAT(Differences(image, machine.vcpu), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events events,
                       GetVcpuState<kvm_vcpu_events>(machine.vcpu));
  EXPECT_EQ(events.exception.injected, 1);
  EXPECT_EQ(events.exception.nr, 14);
}

TEST_F(VcpuImageTest, AnotherVcpuMadeAlikeTakesTheImage) {
  Machine one = MakeMachine(false);
  Machine two = MakeMachine(false);
  for (const Kind& kind : kKinds) kind.change(one);
  ASSERT_OK_AND_ASSIGN(const VcpuImage image,
                       VcpuImage::Save(one.vm, one.vcpu, {.msrs = one.msrs}));
  ASSERT_OK(image.Restore(two.vcpu));
  EXPECT_THAT(Differences(image, two.vcpu), IsEmpty());
}

TEST_F(VcpuImageTest, ChangesThatTheVcpuHoldsBackAreSavedAndOverwritten) {
  Machine machine = MakeMachine(false);
  Vcpu& vcpu = machine.vcpu;
  ASSERT_OK_AND_ASSIGN(kvm_regs * held, vcpu.MutableRegisters());
  held->rbx = 0x77;
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, vcpu, {.msrs = machine.msrs}));
  EXPECT_EQ(image.registers().rbx, 0x77u);

  for (const VcpuParts parts : {VcpuParts::kAll, VcpuParts::kRegisters}) {
    ASSERT_OK_AND_ASSIGN(held, vcpu.MutableRegisters());
    held->rbx = 0x88;
    ASSERT_OK(image.Restore(vcpu, parts));
    ASSERT_OK_AND_ASSIGN(const kvm_regs* now, vcpu.Registers());
    EXPECT_EQ(now->rbx, 0x77u);
  }
  // What the mask leaves out stays.
  ASSERT_OK_AND_ASSIGN(held, vcpu.MutableRegisters());
  held->rbx = 0x99;
  ASSERT_OK(image.Restore(vcpu, VcpuParts::kXsave | VcpuParts::kMsrs));
  EXPECT_THAT(Differences(image, vcpu),
              ElementsAre(Says("regs.rbx: 0x99, expected 0x77")));
}

// The number and the error code of an exception that is over are left behind.
TEST_F(VcpuImageTest, WhatHasNoMeaningIsNotCompared) {
  Machine machine = MakeMachine(false);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = machine.msrs}));
  Change<kvm_vcpu_events>(machine.vcpu, [](kvm_vcpu_events& events) {
    events.exception.nr = 13;
    events.exception.error_code = 5;
    events.interrupt.nr = 0x20;
  });
  EXPECT_THAT(Differences(image, machine.vcpu), IsEmpty());
}

TEST_F(VcpuImageTest, RestoreDoesNotTouchTheHeap) {
  if (!libvmm::testing::kHeapCallsCounted) {
    GTEST_SKIP() << "under a sanitizer calls of malloc are not counted";
  }
  for (const TscPolicy tsc : {TscPolicy::kKeepRunning, TscPolicy::kTurnBack}) {
    Machine machine = MakeMachine(true);
    ASSERT_OK_AND_ASSIGN(
        const VcpuImage image,
        VcpuImage::Save(
            machine.vm, machine.vcpu,
            {.msrs = machine.msrs, .tsc = tsc, .skip_missing = true}));
    ASSERT_OK(image.Restore(machine.vcpu));
    const uint64_t before = libvmm::testing::ThreadHeapCalls();
    const absl::Status status = image.Restore(machine.vcpu);
    const absl::Status at_entry = image.RestoreAtEntry(machine.vcpu);
    EXPECT_EQ(libvmm::testing::ThreadHeapCalls() - before, 0u);
    EXPECT_OK(status);
    EXPECT_OK(at_entry);
  }
}

TEST_F(VcpuImageTest, PartsThatWereNotSavedAreNeitherRestoredNorCompared) {
  Machine machine = MakeMachine(false);
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(machine.vm, machine.vcpu,
                      {.parts = VcpuParts::kDebug | VcpuParts::kEvents}));
  EXPECT_EQ(image.parts(), VcpuParts::kDebug | VcpuParts::kEvents);
  EXPECT_EQ(image.registers().rflags, 0u);
  ChangeRegisters(machine);
  ChangeDebug(machine);
  ASSERT_OK(image.Restore(machine.vcpu));
  EXPECT_THAT(Differences(image, machine.vcpu), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const kvm_regs regs,
                       GetVcpuState<kvm_regs>(machine.vcpu));
  EXPECT_EQ(regs.rax, 0x1234u);
}

TEST_F(VcpuImageTest, TheTscKeepsRunningOrIsTurnedBack) {
  Machine machine = MakeMachine(false);
  Vcpu& vcpu = machine.vcpu;
  ASSERT_OK_AND_ASSIGN(const bool kept_at_all, KeepsTscOffset(vcpu));
  if (!kept_at_all) {
    EXPECT_THAT(
        VcpuImage::Save(machine.vm, vcpu, {.tsc = TscPolicy::kTurnBack}),
        StatusIs(absl::StatusCode::kUnimplemented,
                 HasSubstr("KVM_VCPU_TSC_OFFSET")));
    ASSERT_OK_AND_ASSIGN(
        const VcpuImage without,
        VcpuImage::Save(machine.vm, vcpu,
                        {.tsc = TscPolicy::kTurnBack, .skip_missing = true}));
    EXPECT_EQ(without.parts(), ~VcpuParts::kTsc & ~VcpuParts::kLapic);
  }
  LIBVMM_NEEDS_STOCK_KVM(kept_at_all, "keeps no TSC offset");
  // Far from zero, and far ahead at the time of restoring.
  constexpr uint64_t kAhead = uint64_t{1} << 50;
  ASSERT_OK_AND_ASSIGN(const uint64_t offset, GetTscOffset(vcpu));
  ASSERT_OK(SetTscOffset(vcpu, offset + kAhead));
  ASSERT_OK_AND_ASSIGN(const uint64_t before, GetMsr(vcpu, kTsc));
  ASSERT_OK_AND_ASSIGN(const VcpuImage running,
                       VcpuImage::Save(machine.vm, vcpu, {}));
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage turned,
      VcpuImage::Save(machine.vm, vcpu, {.tsc = TscPolicy::kTurnBack}));
  ASSERT_OK_AND_ASSIGN(const uint64_t saved, GetMsr(vcpu, kTsc));

  ASSERT_OK(SetTscOffset(vcpu, offset + 3 * kAhead));
  ASSERT_OK(running.Restore(vcpu));
  ASSERT_OK_AND_ASSIGN(const uint64_t kept, GetMsr(vcpu, kTsc));
  EXPECT_GT(kept, saved);
  EXPECT_LT(kept, 2 * kAhead);
  ASSERT_OK_AND_ASSIGN(uint64_t now, GetTscOffset(vcpu));
  EXPECT_EQ(now, offset + kAhead);

  ASSERT_OK(SetTscOffset(vcpu, offset + 3 * kAhead));
  ASSERT_OK(turned.Restore(vcpu));
  ASSERT_OK_AND_ASSIGN(const uint64_t turned_back, GetMsr(vcpu, kTsc));
  EXPECT_GE(turned_back, before);
  EXPECT_LT(turned_back, 2 * kAhead);
  // The time since then is taken away from the distance.
  ASSERT_OK_AND_ASSIGN(now, GetTscOffset(vcpu));
  EXPECT_LT(now, offset + kAhead);
  EXPECT_THAT(Differences(turned, vcpu), IsEmpty());
}

TEST_F(VcpuImageTest, SaveRefusesTheTscAmongTheMsrsAndUnknownOnes) {
  Machine machine = MakeMachine(false);
  const std::vector<uint32_t> with_tsc = {kStar, kTsc};
  EXPECT_THAT(
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = with_tsc}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("IA32_TSC")));
  const std::vector<uint32_t> unknown = {kStar, kNoMsr};
  EXPECT_THAT(
      VcpuImage::Save(machine.vm, machine.vcpu, {.msrs = unknown}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0xdeadbeef")));
}

TEST_F(VcpuImageTest, RestorableMsrsAreReadAndWrittenAndStay) {
  Machine machine = MakeMachine(true);
  EXPECT_THAT(machine.msrs, AllOf(Contains(kStar), Contains(kLstar),
                                  Contains(kFmask), Contains(kKernelGsBase),
                                  Contains(kSysenterEip), Not(Contains(kTsc))));
  ASSERT_OK_AND_ASSIGN(const MsrList list,
                       MsrList::QuerySaved(machine.kvm.fd()));
  for (const uint32_t index : machine.msrs) EXPECT_TRUE(list.Contains(index));
  Msrs msrs(machine.msrs);
  ASSERT_OK(msrs.ReadFrom(machine.vcpu));
  ASSERT_OK(msrs.WriteTo(machine.vcpu));
  Msrs again(machine.msrs);
  ASSERT_OK(again.ReadFrom(machine.vcpu));
  EXPECT_THAT(again.entries(), ::testing::ElementsAreArray(msrs.entries()));
}

}  // namespace
}  // namespace libvmm
