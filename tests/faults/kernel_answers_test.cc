// SPDX-License-Identifier: Apache-2.0
// What libvmm makes of answers that KVMs at hand do not give: capabilities that
// are absent, failures in the middle of a call, and nonsense.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/binary_stats.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/kvm/dirty_ring.h"
#include "libvmm/kvm/guest_debug.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/memory_attributes.h"
#include "libvmm/kvm/memory_encryption.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/nested_state.h"
#include "libvmm/kvm/one_reg.h"
#include "libvmm/kvm/vcpu_image.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/kvm/vm_clock.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/kvm/xen.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/scripted_ioctls.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::HasCapability;
using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::ScriptedIoctls;
using ::libvmm::testing::SharedKvm;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

constexpr char kCheck[] = "KVM_CHECK_EXTENSION";

class KernelAnswersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    SharedKvm();
  }
};

template <typename T>
T& At(uintptr_t argument) {
  return *reinterpret_cast<T*>(argument);
}

TEST_F(KernelAnswersTest, AnotherApiVersionIsNamed) {
  ScriptedIoctls scripted;
  scripted.Answer("KVM_GET_API_VERSION", [](uintptr_t) { return 11; });
  EXPECT_THAT(Kvm::Open(), StatusIs(Code::kUnimplemented, HasSubstr("11")));
}

TEST_F(KernelAnswersTest, ARunPageTooSmallIsRefused) {
  ScriptedIoctls scripted;
  scripted.Answer("KVM_GET_VCPU_MMAP_SIZE", [](uintptr_t) { return 64; });
  EXPECT_THAT(Kvm::Open(), StatusIs(Code::kInternal, HasSubstr("64")));
}

TEST_F(KernelAnswersTest, MoreThanThereWasRoomForIsNotRead) {
  ScriptedIoctls scripted;
  scripted.Answer("KVM_GET_SUPPORTED_CPUID", [](uintptr_t argument) {
    At<kvm_cpuid2>(argument).nent = 2;
    return 0;
  });
  EXPECT_THAT(Cpuid::QuerySupported(SharedKvm().fd(), 1),
              StatusIs(Code::kInternal, HasSubstr("room for 1")));

  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({}));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_NESTED_STATE, 4096));
  scripted.Answer("KVM_GET_NESTED_STATE", [](uintptr_t argument) {
    At<kvm_nested_state>(argument).size = 1 << 20;
    return 0;
  });
  ASSERT_OK_AND_ASSIGN(NestedState state, NestedState::Create(guest.vm()));
  EXPECT_THAT(state.ReadFrom(guest.vcpu()),
              StatusIs(Code::kInternal, HasSubstr("past its buffer")));
}

// Statistics are read from the descriptor that the kernel gives.
absl::Status OpenStatsOf(std::span<const uint32_t> words) {
  absl::StatusOr<TestVm> test = TestVm::Create();
  if (!test.ok()) return test.status();
  ScriptedIoctls scripted;
  scripted.Answer("KVM_GET_STATS_FD", [words](uintptr_t) {
    const int fd = ::memfd_create("stats", MFD_CLOEXEC);
    return ::write(fd, words.data(), words.size_bytes()) < 0 ? -1 : fd;
  });
  return BinaryStats::Open(test->vm()).status();
}

TEST_F(KernelAnswersTest, MalformedStatisticsAreDataLoss) {
  EXPECT_THAT(OpenStatsOf({}),
              StatusIs(Code::kDataLoss, HasSubstr("0 of 24 bytes")));
  // flags, name_size, num_desc, id_offset, desc_offset, data_offset
  constexpr uint32_t kNoName[] = {0, 0, 0, 24, 24, 24};
  EXPECT_THAT(OpenStatsOf(kNoName),
              StatusIs(Code::kDataLoss, HasSubstr("name_size 0")));
  constexpr uint32_t kEndlessId[] = {0, 4, 0, 24, 24, 24, 0x41414141};
  EXPECT_THAT(OpenStatsOf(kEndlessId),
              StatusIs(Code::kDataLoss, HasSubstr("has no end")));
}

TEST_F(KernelAnswersTest, AbsentCapabilitiesAreNamed) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const Vm& vm = test.vm();
  ScriptedIoctls scripted;
  // The questions are answered with "no", or with "yes, but not that".
  scripted.Answer(kCheck, HasCapability(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 0));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_DIRTY_LOG_RING, 0));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 1));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_DISABLE_QUIRKS2, 0));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_ADJUST_CLOCK, 1));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_XEN_HVM, 1));
  const auto lacks = [](const char* what) {
    return StatusIs(Code::kUnimplemented, HasSubstr(what));
  };
  EXPECT_THAT(DirtyRings::Enable(vm, 4096), lacks("KVM_CAP_DIRTY_LOG_RING"));
  EXPECT_THAT(EnableManualDirtyLog(vm, true),
              lacks("KVM_DIRTY_LOG_INITIALLY_SET"));
  EXPECT_THAT(DisableQuirks(vm, uint64_t{1} << 40),
              lacks("KVM_CAP_DISABLE_QUIRKS2"));
  EXPECT_THAT(SetVmClock(vm, {.nanoseconds = 1, .host_realtime = uint64_t{1}}),
              lacks("KVM_CLOCK_REALTIME"));
  EXPECT_THAT(SendXenEvent(vm, {.port = 1, .vcpu_id = 0}),
              lacks("KVM_XEN_HVM_CONFIG_EVTCHN_SEND"));
}

TEST_F(KernelAnswersTest, AttributesOutsideTheOfferedOnesAreRefused) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ScriptedIoctls scripted;
  scripted.Answer(kCheck, HasCapability(KVM_CAP_MEMORY_ATTRIBUTES,
                                        KVM_MEMORY_ATTRIBUTE_PRIVATE));
  EXPECT_THAT(SetMemoryAttributes(test.vm(), {Gpa(0), 0x1000}, 1),
              StatusIs(Code::kInvalidArgument, HasSubstr("0x1 are not")));
}

TEST_F(KernelAnswersTest, TheFirmwaresErrorIsReported) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ScriptedIoctls scripted;
  scripted.Answer("KVM_MEMORY_ENCRYPT_OP", [](uintptr_t argument) {
    At<kvm_sev_cmd>(argument).error = 21;
    errno = EIO;
    return -1;
  });
  kvm_sev_cmd command = {};
  EXPECT_THAT(SevCommand(test.vm(), command),
              StatusIs(Code::kInternal, HasSubstr("firmware error 21")));
}

TEST_F(KernelAnswersTest, SlotsThatAreAllInUseAreExhausted) {
  ScriptedIoctls scripted;
  scripted.Answer(kCheck, HasCapability(KVM_CAP_NR_MEMSLOTS, 1));
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRam(Gpa(0), 0x1000));
  EXPECT_THAT(test.AddRam(Gpa(0x1000), 0x1000),
              StatusIs(Code::kResourceExhausted, HasSubstr("all 1 memory")));
  EXPECT_THAT(test.AddRam(Gpa(0), 0x1000), StatusIs(Code::kAlreadyExists));
}

TEST_F(KernelAnswersTest, MemoryThatDevicesAlreadyHaveThereIsNotMadeTheGuests) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 0x1000}));
  ASSERT_OK(test.guest().Add(Gpa(0), region));
  EXPECT_THAT(test.memory().Add(Gpa(0), region),
              StatusIs(Code::kAlreadyExists));
  EXPECT_TRUE(test.memory().slots().empty());
  ASSERT_OK(test.guest().Remove(Gpa(0)));
  EXPECT_OK(test.memory().Add(Gpa(0), region));
}

TEST_F(KernelAnswersTest, ARefusedRegisterMayBeAKernelWithoutTheCall) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({}));
  ScriptedIoctls scripted;
  scripted.Fail("KVM_GET_ONE_REG", EINVAL);
  scripted.Fail("KVM_GET_REG_LIST", ENOTTY);
  EXPECT_THAT(GetOneReg(guest.vcpu(), KvmMsrRegisterId(0x10)),
              StatusIs(Code::kUnimplemented, HasSubstr("KVM_CAP_ONE_REG")));
  scripted.Fail("KVM_GET_MSRS", ENOTTY);
  Msrs msrs(std::array<uint32_t, 1>{0x10});
  EXPECT_THAT(
      msrs.ReadFeatures(SharedKvm().fd(), OnRefusedMsr::kFail),
      StatusIs(Code::kUnimplemented, HasSubstr("KVM_CAP_GET_MSR_FEATURES")));
  scripted.Answer(kCheck, HasCapability(KVM_CAP_XSAVE2, 8192));
  scripted.Fail("KVM_GET_XSAVE2", EINVAL);
  ASSERT_OK_AND_ASSIGN(XsaveState xsave, XsaveState::Create(guest.vm()));
  EXPECT_THAT(xsave.ReadFrom(guest.vcpu()),
              StatusIs(Code::kFailedPrecondition, HasSubstr("8192 bytes")));
}

// Registers that the Vcpu holds back go in before each of these calls; when
// they do not, the call is not made.
TEST_F(KernelAnswersTest, AFlushThatFailsEndsTheCall) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({}));
  Vcpu& vcpu = guest.vcpu();
  ScriptedIoctls scripted;
  scripted.Answer(kCheck, HasCapability(KVM_CAP_NESTED_STATE, 4096));
  ASSERT_OK_AND_ASSIGN(NestedState nested, NestedState::Create(guest.vm()));
  Msrs msrs(std::array<uint32_t, 1>{0x10});
  const auto refused = [&](const auto& call) {
    EXPECT_OK(vcpu.MutableRegisters().status());
    scripted.Fail("KVM_SET_REGS", EIO);
    EXPECT_THAT(call(), StatusIs(Code::kInternal, HasSubstr("KVM_SET_REGS")));
  };
  refused([&] { return QueueInterrupt(vcpu, 32).status(); });
  refused([&] { return QueueNmi(vcpu); });
  refused([&] { return msrs.ReadFrom(vcpu, OnRefusedMsr::kSkip).status(); });
  refused([&] { return msrs.WriteTo(vcpu, OnRefusedMsr::kSkip).status(); });
  refused([&] { return GetMsr(vcpu, 0x10).status(); });
  refused([&] { return SetMsr(vcpu, {.index = 0x10, .value = 0}); });
  refused([&] { return nested.ReadFrom(vcpu); });
  refused([&] { return GetVcpuState<kvm_regs>(vcpu).status(); });
}

// Without KVM_CAP_SYNC_REGS an entry flushes as well.
TEST_F(KernelAnswersTest, AnEntryWhoseFlushFailsIsNotMade) {
  ScriptedIoctls scripted;
  scripted.Answer(kCheck, HasCapability(KVM_CAP_SYNC_REGS, 0));
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  scripted.Fail("KVM_SET_SREGS", EINVAL);
  ASSERT_OK(guest.vcpu().MutableSpecialRegisters().status());
  EXPECT_THAT(guest.vcpu().Run(),
              StatusIs(Code::kInvalidArgument, HasSubstr("KVM_SET_SREGS")));
  // Refused values are dropped, so that they are not refused for ever.
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest.vcpu().Run());
  EXPECT_NE(exit.reason(), ExitReason::kInterrupted);
  ASSERT_OK(guest.vcpu().MutableSpecialRegisters().status());
  EXPECT_THAT(guest.vcpu().Retire(), StatusIs(Code::kInvalidArgument));
}

TEST_F(KernelAnswersTest, ArgumentsAreRefusedByName) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const Vm& vm = test.vm();
  EXPECT_THAT(SetVmTscKhz(vm, 0), StatusIs(Code::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 0x1000}));
  ASSERT_OK_AND_ASSIGN(MemorySlot slot,
                       MemorySlot::Create(vm, region, {.gpa = Gpa(0)}));
  const uint64_t words[1] = {};
  EXPECT_THAT(ClearDirtyLog(slot, {.first = 0, .count = 1}, words),
              StatusIs(Code::kFailedPrecondition, HasSubstr("slot 0")));
  ASSERT_OK(slot.SetDirtyLogging(true));
  EXPECT_THAT(ClearDirtyLog(slot, {.first = 0, .count = 1}, {}),
              StatusIs(Code::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
  EXPECT_THAT(
      SetGuestDebug(vcpu, GuestDebug{.inject_debug_exception = true,
                                     .inject_breakpoint_exception = true}),
      StatusIs(Code::kInvalidArgument, HasSubstr("both")));
}

TEST_F(KernelAnswersTest, InterruptPinsAndChipsThatAreNotThereAreRefused) {
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (test.vm().CheckExtension(KVM_CAP_IRQCHIP) == 0) {
    GTEST_SKIP() << "this KVM lacks KVM_CAP_IRQCHIP";
  }
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  kvm_irqchip state = {};
  state.chip_id = KVM_NR_IRQCHIPS;
  EXPECT_THAT(chip.SetState(state), StatusIs(Code::kInvalidArgument));
  // The PIC's pins end at 16, the IOAPIC's at 24.
  for (const uint32_t limit : {4, 20}) {
    ScriptedIoctls scripted;
    scripted.Answer(
        kCheck, HasCapability(KVM_CAP_IRQ_ROUTING, static_cast<int>(limit)));
    ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
    EXPECT_THAT(routing.AddPin(limit, {.chip = KVM_IRQCHIP_IOAPIC, .pin = 4}),
                StatusIs(Code::kOutOfRange));
    EXPECT_THAT(routing.AddDefaultRoutes(), StatusIs(Code::kOutOfRange));
    // What had been added before the refusal is taken back.
    EXPECT_OK(routing.AddPin(0, {.chip = KVM_IRQCHIP_IOAPIC, .pin = 0}));
  }
}

TEST_F(KernelAnswersTest, AWholeImageDoesWithoutSregs2) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ScriptedIoctls scripted;
  scripted.Fail("KVM_GET_SREGS2", ENOTTY);
  scripted.Fail("KVM_SET_SREGS2", ENOTTY);
  ASSERT_OK_AND_ASSIGN(kvm_sregs sregs, GetVcpuState<kvm_sregs>(guest.vcpu()));
  sregs.fs.base = 0x1000;
  sregs.cr2 = 0x2000;
  // The older struct has an interrupt on its way beside the events.
  sregs.interrupt_bitmap[0] = uint64_t{1} << 0x21;
  ASSERT_OK(SetVcpuState(guest.vcpu(), sregs));
  ASSERT_OK_AND_ASSIGN(const VcpuImage image,
                       VcpuImage::Save(guest.vm(), guest.vcpu(), {}));
  EXPECT_EQ(image.special_registers().fs.base, 0x1000u);
  EXPECT_EQ(image.special_registers().cr2, 0x2000u);
  EXPECT_EQ(image.events().interrupt.injected, 1);
  ASSERT_OK_AND_ASSIGN(kvm_vcpu_events events,
                       GetVcpuState<kvm_vcpu_events>(guest.vcpu()));
  events.interrupt.injected = 0;
  ASSERT_OK(SetVcpuState(guest.vcpu(), events));
  sregs.fs.base = 0;
  sregs.cr2 = 0;
  sregs.interrupt_bitmap[0] = 0;
  ASSERT_OK(SetVcpuState(guest.vcpu(), sregs));

  ASSERT_OK_AND_ASSIGN(std::vector<VcpuDifference> differences,
                       image.Compare(guest.vcpu()));
  ASSERT_EQ(differences.size(), 4u);
  EXPECT_EQ(differences[0].what,
            "events.interrupt.injected: 0x0, expected 0x1");
  EXPECT_EQ(differences[1].what, "events.interrupt.nr: 0x0, expected 0x21");
  EXPECT_EQ(differences[2].what, "sregs.fs.base: 0x0, expected 0x1000");
  EXPECT_EQ(differences[3].what, "sregs.cr2: 0x0, expected 0x2000");
  // The special registers bring no interrupt.
  ASSERT_OK(image.Restore(guest.vcpu(), VcpuParts::kSpecial));
  ASSERT_OK_AND_ASSIGN(differences, image.Compare(guest.vcpu()));
  EXPECT_EQ(differences.size(), 2u);
  ASSERT_OK(image.Restore(guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(differences, image.Compare(guest.vcpu()));
  EXPECT_TRUE(differences.empty());
}

TEST_F(KernelAnswersTest, AWholeImageNamesWhatIsMissingOrGoesWithout) {
  struct Row {
    VcpuParts part;
    const char* call;
    ::libvmm::testing::FaultScenario::Answer answer;
    const char* named;
  };
  const auto fail = [](uintptr_t) {
    errno = EINVAL;
    return -1;
  };
  const Row rows[] = {
      {VcpuParts::kXcrs, "KVM_GET_XCRS", fail, "KVM_CAP_XCRS"},
      {VcpuParts::kXcrs, "KVM_GET_XCRS",
       [](uintptr_t argument) {
         At<kvm_xcrs>(argument) = {};
         return 0;
       },
       "KVM_CAP_XCRS"},
      {VcpuParts::kXsave, kCheck, HasCapability(KVM_CAP_XSAVE, 0),
       "KVM_CAP_XSAVE"},
      {VcpuParts::kDebug, "KVM_GET_DEBUGREGS", fail, "KVM_CAP_DEBUGREGS"},
      {VcpuParts::kEvents, "KVM_GET_VCPU_EVENTS", fail, "KVM_CAP_VCPU_EVENTS"},
      {VcpuParts::kMpState, "KVM_GET_MP_STATE", fail, "KVM_CAP_MP_STATE"},
      {VcpuParts::kTsc, "KVM_HAS_DEVICE_ATTR", fail, "KVM_CAP_VCPU_ATTRIBUTES"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.named);
    ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
    ScriptedIoctls scripted;
    scripted.Answer(row.call, row.answer);
    EXPECT_THAT(VcpuImage::Save(guest.vm(), guest.vcpu(), {}),
                StatusIs(Code::kUnimplemented, HasSubstr(row.named)));
    EXPECT_OK(VcpuImage::Save(guest.vm(), guest.vcpu(), {.parts = ~row.part}));
    ASSERT_OK_AND_ASSIGN(
        const VcpuImage image,
        VcpuImage::Save(guest.vm(), guest.vcpu(), {.skip_missing = true}));
    EXPECT_EQ(image.parts() & row.part, VcpuParts::kNone);
    EXPECT_EQ(image.parts() | row.part | VcpuParts::kLapic, VcpuParts::kAll);
    EXPECT_OK(image.Restore(guest.vcpu()));
    EXPECT_OK(image.Compare(guest.vcpu()));
  }
}

// The run page has no page-directory pointers.
TEST_F(KernelAnswersTest, AnImageWithPageDirectoryPointersIsWrittenByIoctl) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ScriptedIoctls scripted;
  scripted.Answer("KVM_GET_SREGS2", [](uintptr_t argument) {
    At<kvm_sregs2>(argument).flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    return 0;
  });
  int written = 0;
  scripted.Answer("KVM_SET_SREGS2", [&written](uintptr_t argument) {
    written += At<kvm_sregs2>(argument).flags == KVM_SREGS2_FLAGS_PDPTRS_VALID;
    return 0;
  });
  ASSERT_OK_AND_ASSIGN(const VcpuImage image,
                       VcpuImage::Save(guest.vm(), guest.vcpu(),
                                       {.parts = VcpuParts::kSpecial}));
  ASSERT_OK(image.RestoreAtEntry(guest.vcpu()));
  EXPECT_EQ(written, 1);
}

// Each vCPU ioctl can cost as much as an exit: none too many.
TEST_F(KernelAnswersTest, RestoringAWholeImageMakesOneCallForEachPart) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  constexpr uint32_t kMsrs[] = {0x174, 0x175};
  ASSERT_OK_AND_ASSIGN(
      const VcpuImage image,
      VcpuImage::Save(guest.vm(), guest.vcpu(), {.msrs = kMsrs}));
  // What is held back is not written only to be overwritten.
  ASSERT_OK(guest.vcpu().MutableRegisters());
  ASSERT_OK(guest.vcpu().MutableSpecialRegisters());
  ASSERT_OK(guest.vcpu().MutableEvents());
  std::map<std::string, int> calls;
  ScriptedIoctls scripted;
  for (const char* call :
       {"KVM_GET_REGS",        "KVM_SET_REGS",       "KVM_GET_SREGS",
        "KVM_SET_SREGS",       "KVM_GET_SREGS2",     "KVM_SET_SREGS2",
        "KVM_SET_XSAVE",       "KVM_SET_XCRS",       "KVM_SET_DEBUGREGS",
        "KVM_SET_MSRS",        "KVM_GET_MSRS",       "KVM_GET_VCPU_EVENTS",
        "KVM_SET_MP_STATE",    "KVM_GET_MP_STATE",   "KVM_SET_VCPU_EVENTS",
        "KVM_GET_LAPIC",       "KVM_SET_LAPIC",      "KVM_HAS_DEVICE_ATTR",
        "KVM_GET_DEVICE_ATTR", "KVM_SET_DEVICE_ATTR"}) {
    scripted.Answer(call, [&calls, call](uintptr_t) -> std::optional<int> {
      ++calls[call];
      return std::nullopt;
    });
  }
  ASSERT_OK(image.Restore(guest.vcpu()));
  const char* const sregs =
      calls.contains("KVM_SET_SREGS2") ? "KVM_SET_SREGS2" : "KVM_SET_SREGS";
  const std::map<std::string, int> expected = {
      {"KVM_SET_REGS", 1},        {sregs, 1},
      {"KVM_SET_XSAVE", 1},       {"KVM_SET_XCRS", 1},
      {"KVM_SET_DEBUGREGS", 1},   {"KVM_SET_MSRS", 1},
      {"KVM_SET_VCPU_EVENTS", 1}, {"KVM_SET_DEVICE_ATTR", 1},
  };
  EXPECT_EQ(calls, expected);
  calls.clear();
  ASSERT_OK(image.Restore(guest.vcpu(), VcpuParts::kXsave));
  EXPECT_EQ(calls, (std::map<std::string, int>{{"KVM_SET_XSAVE", 1}}));

  // Three of them go in with KVM_RUN where it takes registers.
  if (guest.vm().CheckExtension(KVM_CAP_SYNC_REGS) == 0) return;
  ASSERT_OK(guest.vcpu().MutableRegisters());
  calls.clear();
  ASSERT_OK(image.RestoreAtEntry(guest.vcpu()));
  ASSERT_OK(guest.vcpu().Retire());
  std::map<std::string, int> fewer = expected;
  for (const char* call : {"KVM_SET_REGS", sregs, "KVM_SET_VCPU_EVENTS"}) {
    fewer.erase(call);
  }
  EXPECT_EQ(calls, fewer);
}

}  // namespace
}  // namespace libvmm
