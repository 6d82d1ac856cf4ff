// SPDX-License-Identifier: Apache-2.0
#include "tests/fault_scenarios.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"

namespace libvmm::testing {
namespace {

class Totals : public ::testing::Environment {
 public:
  void Add(const FaultReport& report) {
    ++scenarios_;
    calls_ += report.calls;
    faults_ += report.faults;
    wrong_ += static_cast<int>(report.wrong.size());
  }
  void TearDown() override {
    std::printf(
        "%d scenarios, %d calls failed, with %d errnos in all, %d wrong "
        "results\n",
        scenarios_, calls_, faults_, wrong_);
  }

 private:
  int scenarios_ = 0;
  int calls_ = 0;
  int faults_ = 0;
  int wrong_ = 0;
};

// gtest owns and outlives it.
Totals& TheTotals() {
  static Totals* const totals = new Totals;
  return *totals;
}
[[maybe_unused]] const ::testing::Environment* const registered =
    ::testing::AddGlobalTestEnvironment(&TheTotals());

}  // namespace

void Check(FaultScenario scenario, absl::FunctionRef<absl::Status()> body) {
  const FaultReport report = scenario.Run(body);
  std::printf("%s\n", report.ToString().c_str());
  TheTotals().Add(report);
  for (const std::string& sentence : report.wrong) {
    ADD_FAILURE() << report.scenario << ": " << sentence;
  }
}

FaultScenario KvmScenario(const char* name) {
  return FaultScenario(name)
      .MaySurvive("KVM_CHECK_EXTENSION", {}, "counts as absent")
      .MaySurvive("membarrier", {}, "full fences instead");
}

const Kvm& SharedKvm() {
  static const Kvm* const kvm =
      WithoutFaults([] { return new Kvm(std::move(Kvm::Open()).value()); });
  return *kvm;
}

absl::StatusOr<Exit> RunToExit(Vcpu& vcpu) {
  for (int i = 0; i < 10; ++i) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
    if (exit.reason() == ExitReason::kRetry) {
      return absl::UnavailableError("KVM_RUN: the vCPU was parked");
    }
    if (exit.reason() != ExitReason::kInterrupted) return exit;
  }
  return absl::InternalError("no exit in ten runs");
}

absl::Status Expect(bool condition, const char* what) {
  return condition ? absl::OkStatus()
                   : absl::InternalError(absl::StrCat("not true: ", what));
}

}  // namespace libvmm::testing
