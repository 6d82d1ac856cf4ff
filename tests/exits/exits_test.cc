// SPDX-License-Identifier: Apache-2.0
// Every reason for which KVM_RUN returns on x86, made by a guest and checked
// with its payload, or the reason why no guest here can.
#include <cstdint>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"
#include "tests/exits/exit_guests.h"

namespace libvmm::testing {
namespace {

// Which of the two KVMs that the suite knows gives an exit: a stock kvm_amd
// (Linux 6.1, in tools/stock_kvm_lab), or any other, such as one that emulates
// the guest's kernel mode.
enum class On {
  kEvery,  // each of them
  kStock,  // a stock kvm_amd; elsewhere where it turns out so
  kSome,   // one that has what the row names
  kNone,   // neither
};

struct Row {
  ExitReason reason;
  On on;
  absl::Status (*produce)();
  // Why not everywhere.
  const char* otherwise;
};

constexpr Row kRows[] = {
    {ExitReason::kHardwareUnknown, On::kNone, nullptr,
     "KVM answers hardware exits that it does not know with an internal error"},
    {ExitReason::kException, On::kNone, nullptr,
     "only VMX gives it, for an exception that KVM does not expect"},
    {ExitReason::kPio, On::kEvery, &ExitByPio, ""},
    {ExitReason::kHypercall, On::kStock, &ExitByHypercall,
     "emulated kernel mode has no VMMCALL"},
    {ExitReason::kDebug, On::kEvery, &ExitByDebug, ""},
    {ExitReason::kHalt, On::kEvery, &ExitByHalt, ""},
    {ExitReason::kMmio, On::kEvery, &ExitByMmio, ""},
    {ExitReason::kInterruptWindow, On::kEvery, &ExitByInterruptWindow, ""},
    {ExitReason::kShutdown, On::kEvery, &ExitByShutdown, ""},
    {ExitReason::kFailEntry, On::kStock, &ExitByFailEntry,
     "no hardware looks at the state of emulated kernel mode"},
    {ExitReason::kSignal, On::kEvery, &ExitBySignal, ""},
    {ExitReason::kSetTpr, On::kStock, &ExitBySetTpr,
     "emulated kernel mode does not report CR8"},
    {ExitReason::kTprAccess, On::kEvery, &ExitByTprAccess, ""},
    {ExitReason::kInternalError, On::kEvery, &ExitByInternalError, ""},
    {ExitReason::kSystemEvent, On::kStock, &ExitBySystemEvent,
     "without Hyper-V's crash MSR only encrypted guests give it"},
    {ExitReason::kIoapicEoi, On::kStock, &ExitByIoapicEoi,
     "emulated kernel mode ends the interrupt without an exit"},
    {ExitReason::kHyperV, On::kStock, &ExitByHyperV, "no Hyper-V"},
    {ExitReason::kRdmsr, On::kEvery, &ExitByRdmsr, ""},
    {ExitReason::kWrmsr, On::kEvery, &ExitByWrmsr, ""},
    {ExitReason::kDirtyRingFull, On::kEvery, &ExitByDirtyRingFull, ""},
    {ExitReason::kApResetHold, On::kNone, nullptr,
     "only an SEV-ES guest gives it, which needs its processor"},
    {ExitReason::kBusLock, On::kSome, &ExitByBusLock,
     "a processor with bus-lock detection is needed"},
    {ExitReason::kXen, On::kSome, &ExitByXen, "a KVM built with Xen"},
    {ExitReason::kNotify, On::kNone, nullptr,
     "only VMX gives it, for a guest that keeps the processor from exiting"},
    {ExitReason::kMemoryFault, On::kSome, &ExitByMemoryFault,
     "before Linux 6.8, and with some shadow page tables, the errno is all"},
    {ExitReason::kTdx, On::kNone, nullptr,
     "only a TDX guest gives it, which needs its processor"},
    {ExitReason::kSnpRequestCerts, On::kNone, nullptr,
     "only an SEV-SNP guest gives it, which needs its processor"},
};

class ExitsTest : public ::testing::TestWithParam<Row> {};

TEST_P(ExitsTest, ComesWithItsPayload) {
  LIBVMM_NEEDS_KVM();
  const Row& row = GetParam();
  if (row.produce == nullptr) {
    GTEST_SKIP() << "no KVM here gives this exit: " << row.otherwise;
  }
  const absl::Status status = row.produce();
  if (!absl::IsUnimplemented(status)) {
    EXPECT_OK(status);
    return;
  }
  // This KVM cannot. That is right only where the row says so.
  EXPECT_NE(row.on, On::kEvery) << status;
  if (StockKvmRequired()) {
    EXPECT_NE(row.on, On::kStock) << status;
  }
  GTEST_SKIP() << row.otherwise << ": " << status.message();
}

std::string Name(const ::testing::TestParamInfo<Row>& info) {
  return std::string(ExitReasonName(info.param.reason));
}
INSTANTIATE_TEST_SUITE_P(Reasons, ExitsTest, ::testing::ValuesIn(kRows), Name);

// exit.h names every x86-relevant reason of the kernel (kvm_coverage_test).
TEST(ExitRowsTest, EveryReasonOfTheKernelHasOneRow) {
  std::multiset<uint32_t> rows;
  for (const Row& row : kRows) rows.insert(static_cast<uint32_t>(row.reason));
  for (uint32_t number = 0; number < 0x10000; ++number) {
    const auto name = ExitReasonName(static_cast<ExitReason>(number));
    EXPECT_EQ(rows.count(number), name.empty() ? 0u : 1u)
        << number << " " << name;
  }
}

TEST(ExitRowsTest, WhatIsNotGivenEverywhereHasItsReason) {
  for (const Row& row : kRows) {
    EXPECT_EQ(row.on == On::kEvery, *row.otherwise == '\0')
        << ExitReasonName(row.reason);
    EXPECT_EQ(row.on == On::kNone, row.produce == nullptr)
        << ExitReasonName(row.reason);
  }
}

}  // namespace
}  // namespace libvmm::testing
