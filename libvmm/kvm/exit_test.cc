// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/exit.h"

#include <cerrno>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

static_assert(std::is_trivially_copyable_v<Exit>);
static_assert(sizeof(Exit) == 16);

// A run page with whatever a kernel might have left in it.
class ExitTest : public ::testing::Test {
 protected:
  ExitTest() { std::memset(page_, 0xa5, sizeof(page_)); }

  kvm_run& run() { return *reinterpret_cast<kvm_run*>(page_); }
  Exit Make(ExitReason reason, int error = 0) {
    return Exit(&run(), reason, error);
  }
  // The union of payloads, for members that the header may not have.
  uint64_t* words() { return reinterpret_cast<uint64_t*>(run().padding); }

 private:
  alignas(4096) std::byte page_[2 * 4096];
};

TEST_F(ExitTest, PioViewsTheDataBehindTheRunStruct) {
  run().io = {.direction = KVM_EXIT_IO_OUT,
              .size = 2,
              .port = 0xcfc,
              .count = 3,
              .data_offset = 0x1000};
  const PioExit pio = Make(ExitReason::kPio).pio();
  EXPECT_TRUE(pio.is_write);
  EXPECT_EQ(pio.size, 2);
  EXPECT_EQ(pio.port, 0xcfc);
  EXPECT_EQ(pio.count, 3u);
  EXPECT_EQ(pio.data.data(), reinterpret_cast<std::byte*>(&run()) + 0x1000);
  EXPECT_THAT(pio.data, SizeIs(6));
  run().io.direction = KVM_EXIT_IO_IN;
  EXPECT_FALSE(Make(ExitReason::kPio).pio().is_write);
}

TEST_F(ExitTest, MmioIsBoundedByItsBuffer) {
  run().mmio.phys_addr = 0xfee00000;
  run().mmio.len = 3;
  run().mmio.is_write = 1;
  const MmioExit mmio = Make(ExitReason::kMmio).mmio();
  EXPECT_TRUE(mmio.is_write);
  EXPECT_EQ(mmio.gpa, Gpa(0xfee00000));
  EXPECT_THAT(mmio.data, SizeIs(3));
  run().mmio.len = 4000;
  EXPECT_THAT(Make(ExitReason::kMmio).mmio().data, SizeIs(8));
}

TEST_F(ExitTest, HypercallCarriesArgumentsAndTakesAResult) {
  run().hypercall.nr = 12;
  for (uint64_t i = 0; i < 6; ++i) run().hypercall.args[i] = 100 + i;
  words()[8] = 1;
  const Exit exit = Make(ExitReason::kHypercall);
  const HypercallExit call = exit.hypercall();
  EXPECT_EQ(call.number, 12u);
  EXPECT_THAT(call.arguments, ElementsAre(100, 101, 102, 103, 104, 105));
  EXPECT_EQ(call.flags, 1u);
  exit.CompleteHypercall(77);
  EXPECT_EQ(run().hypercall.ret, 77u);
}

TEST_F(ExitTest, InternalErrorKeepsItsWordsAndTheInstruction) {
  run().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  run().internal.ndata = 5;
  run().emulation_failure.flags =
      KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
  run().emulation_failure.insn_size = 3;
  run().emulation_failure.insn_bytes[0] = 0x0f;
  run().emulation_failure.insn_bytes[1] = 0x01;
  run().emulation_failure.insn_bytes[2] = 0xca;
  const InternalErrorExit error =
      Make(ExitReason::kInternalError).internal_error();
  EXPECT_EQ(error.suberror, 1u);
  EXPECT_THAT(error.data, SizeIs(5));
  EXPECT_THAT(error.instruction,
              ElementsAre(std::byte{0x0f}, std::byte{0x01}, std::byte{0xca}));
}

TEST_F(ExitTest, InternalErrorWithoutBytesOrWithTooManyWords) {
  run().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  run().internal.ndata = 0;
  EXPECT_THAT(Make(ExitReason::kInternalError).internal_error().instruction,
              IsEmpty());
  run().internal.suberror = 3;
  run().internal.ndata = 1000;
  EXPECT_THAT(Make(ExitReason::kInternalError).internal_error().data,
              SizeIs(16));
  run().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  run().internal.ndata = 16;
  run().emulation_failure.flags =
      KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
  run().emulation_failure.insn_size = 255;
  EXPECT_THAT(Make(ExitReason::kInternalError).internal_error().instruction,
              SizeIs(15));
}

TEST_F(ExitTest, SystemEventGivesOnlyTheWordsThatCount) {
  run().system_event.type = KVM_SYSTEM_EVENT_CRASH;
  run().system_event.ndata = 2;
  const SystemEventExit event = Make(ExitReason::kSystemEvent).system_event();
  EXPECT_EQ(event.type, 3u);
  EXPECT_THAT(event.data, SizeIs(2));
  run().system_event.ndata = 99;
  EXPECT_THAT(Make(ExitReason::kSystemEvent).system_event().data, SizeIs(16));
}

TEST_F(ExitTest, MsrExitsTakeAValueOrAFault) {
  run().msr.index = 0xc0000080;
  run().msr.reason = KVM_MSR_EXIT_REASON_FILTER;
  run().msr.data = 5;
  const Exit read = Make(ExitReason::kRdmsr);
  EXPECT_EQ(read.msr().index, 0xc0000080u);
  EXPECT_EQ(read.msr().reason, 4u);
  EXPECT_EQ(Make(ExitReason::kWrmsr).msr().value, 5u);
  read.CompleteRdmsr(0x1234);
  EXPECT_EQ(run().msr.error, 0);
  EXPECT_EQ(run().msr.data, 0x1234u);
  read.FailMsr();
  EXPECT_EQ(run().msr.error, 1);
}

TEST_F(ExitTest, MemoryFaultHasItsRangeAndErrno) {
  words()[0] = 8;
  words()[1] = 0x7000;
  words()[2] = 0x2000;
  const MemoryFaultExit fault =
      Make(ExitReason::kMemoryFault, EHWPOISON).memory_fault();
  EXPECT_EQ(fault.flags, 8u);
  EXPECT_EQ(fault.range, (GpaRange{Gpa(0x7000), 0x2000}));
  EXPECT_EQ(fault.error, EHWPOISON);
}

TEST_F(ExitTest, TdxWordsAreWrittenInPlace) {
  words()[0] = 1;
  words()[1] = 0x10002;
  words()[3] = 42;
  const TdxExit tdx = Make(ExitReason::kTdx).tdx();
  EXPECT_EQ(tdx.flags, 1u);
  EXPECT_EQ(tdx.number, 0x10002u);
  EXPECT_EQ(tdx.words[1], 42u);
  tdx.words[0] = 7;
  EXPECT_EQ(words()[2], 7u);
}

TEST_F(ExitTest, SnpCertificatesAreAnsweredInPlace) {
  words()[0] = 0x9000;
  words()[1] = 4;
  const Exit exit = Make(ExitReason::kSnpRequestCerts);
  EXPECT_EQ(exit.snp_request_certs().gpa, Gpa(0x9000));
  EXPECT_EQ(exit.snp_request_certs().pages, 4u);
  exit.CompleteSnpRequestCerts(ENOSPC, 9);
  EXPECT_EQ(words()[1], 9u);
  EXPECT_EQ(words()[2], static_cast<uint64_t>(ENOSPC));
}

TEST_F(ExitTest, SmallPayloads) {
  run().ex = {.exception = 14, .error_code = 6};
  EXPECT_EQ(Make(ExitReason::kException).exception().vector, 14u);
  EXPECT_EQ(Make(ExitReason::kException).exception().error_code, 6u);
  run().fail_entry = {.hardware_entry_failure_reason = 0x80000021, .cpu = 3};
  EXPECT_EQ(Make(ExitReason::kFailEntry).fail_entry().hardware_reason,
            0x80000021u);
  EXPECT_EQ(Make(ExitReason::kFailEntry).fail_entry().host_cpu, 3u);
  run().tpr_access = {.rip = 0xfff0, .is_write = 1, .pad = 0};
  EXPECT_EQ(Make(ExitReason::kTprAccess).tpr_access().rip, Gva(0xfff0));
  EXPECT_TRUE(Make(ExitReason::kTprAccess).tpr_access().is_write);
  run().hw.hardware_exit_reason = 77;
  EXPECT_EQ(Make(ExitReason::kHardwareUnknown).hardware_reason(), 77u);
  run().eoi.vector = 0x31;
  EXPECT_EQ(Make(ExitReason::kIoapicEoi).eoi_vector(), 0x31);
  run().notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
  EXPECT_TRUE(Make(ExitReason::kNotify).notify_context_invalid());
  run().notify.flags = 0;
  EXPECT_FALSE(Make(ExitReason::kNotify).notify_context_invalid());
  run().debug.arch.pc = 0x1234;
  EXPECT_EQ(Make(ExitReason::kDebug).debug().pc, 0x1234u);
  run().hyperv.type = KVM_EXIT_HYPERV_HCALL;
  EXPECT_EQ(Make(ExitReason::kHyperV).hyperv().type, 2u);
  run().xen.type = 1;
  EXPECT_EQ(Make(ExitReason::kXen).xen().type, 1u);
}

TEST_F(ExitTest, FlagsThatComeWithAnyReason) {
  run().flags = 0;
  EXPECT_FALSE(Make(ExitReason::kPio).bus_lock());
  EXPECT_TRUE(Make(ExitReason::kBusLock).bus_lock());
  run().flags = KVM_RUN_X86_BUS_LOCK;
  EXPECT_TRUE(Make(ExitReason::kPio).bus_lock());
  run().ready_for_interrupt_injection = 1;
  run().if_flag = 0;
  EXPECT_TRUE(Make(ExitReason::kInterruptWindow).ready_for_interrupt());
  EXPECT_FALSE(Make(ExitReason::kInterruptWindow).interrupt_flag());
  run().cr8 = 9;
  EXPECT_EQ(Make(ExitReason::kSetTpr).cr8(), 9u);
  EXPECT_EQ(&Make(ExitReason::kApResetHold).raw(), &run());
}

// The kernel's number and name for every reason that concerns x86.
TEST(ExitReasonTest, NumbersAndNamesAreTheKernels) {
  const struct {
    ExitReason reason;
    uint32_t number;
    const char* name;
  } rows[] = {
#define ROW(reason, name) {ExitReason::reason, name, #name}
      ROW(kHardwareUnknown, KVM_EXIT_UNKNOWN),
      ROW(kException, KVM_EXIT_EXCEPTION),
      ROW(kPio, KVM_EXIT_IO),
      ROW(kHypercall, KVM_EXIT_HYPERCALL),
      ROW(kDebug, KVM_EXIT_DEBUG),
      ROW(kHalt, KVM_EXIT_HLT),
      ROW(kMmio, KVM_EXIT_MMIO),
      ROW(kInterruptWindow, KVM_EXIT_IRQ_WINDOW_OPEN),
      ROW(kShutdown, KVM_EXIT_SHUTDOWN),
      ROW(kFailEntry, KVM_EXIT_FAIL_ENTRY),
      ROW(kSignal, KVM_EXIT_INTR),
      ROW(kSetTpr, KVM_EXIT_SET_TPR),
      ROW(kTprAccess, KVM_EXIT_TPR_ACCESS),
      ROW(kInternalError, KVM_EXIT_INTERNAL_ERROR),
      ROW(kSystemEvent, KVM_EXIT_SYSTEM_EVENT),
      ROW(kIoapicEoi, KVM_EXIT_IOAPIC_EOI),
      ROW(kHyperV, KVM_EXIT_HYPERV),
      ROW(kRdmsr, KVM_EXIT_X86_RDMSR),
      ROW(kWrmsr, KVM_EXIT_X86_WRMSR),
      ROW(kDirtyRingFull, KVM_EXIT_DIRTY_RING_FULL),
      ROW(kApResetHold, KVM_EXIT_AP_RESET_HOLD),
      ROW(kBusLock, KVM_EXIT_X86_BUS_LOCK),
      ROW(kXen, KVM_EXIT_XEN),
      ROW(kNotify, KVM_EXIT_NOTIFY),
      ROW(kMemoryFault, KVM_EXIT_MEMORY_FAULT),
      ROW(kTdx, KVM_EXIT_TDX),
      ROW(kSnpRequestCerts, KVM_EXIT_SNP_REQ_CERTS),
#undef ROW
  };
  std::set<uint32_t> numbers;
  for (const auto& row : rows) {
    EXPECT_EQ(static_cast<uint32_t>(row.reason), row.number) << row.name;
    EXPECT_EQ(ExitReasonName(row.reason), row.name);
    EXPECT_TRUE(numbers.insert(row.number).second) << row.name;
  }
  for (ExitReason reason : {ExitReason::kInterrupted, ExitReason::kKicked,
                            ExitReason::kRetry, ExitReason::kDeadline}) {
    EXPECT_GT(static_cast<uint32_t>(reason), 0xffffu);
    EXPECT_FALSE(ExitReasonName(reason).empty());
  }
  EXPECT_TRUE(ExitReasonName(static_cast<ExitReason>(13)).empty());
}

}  // namespace
}  // namespace libvmm
