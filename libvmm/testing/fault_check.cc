// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/fault_check.h"

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

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

void AddRow(std::initializer_list<std::string> cells) {
  const char* const path = std::getenv("LIBVMM_FAULT_ROWS");
  if (path == nullptr) return;
  std::FILE* const file = std::fopen(path, "ae");
  ASSERT_NE(file, nullptr) << path;
  std::fprintf(file, "%s\n", absl::StrJoin(cells, "\t").c_str());
  std::fclose(file);
}

}  // namespace

void Check(FaultScenario scenario, absl::FunctionRef<absl::Status()> body) {
  AddRow({"start", scenario.name()});
  const FaultReport report = scenario.Run(body);
  const int other =
      static_cast<int>(report.wrong.size()) - report.leaks - report.wrong_codes;
  AddRow({"end", report.scenario, absl::StrCat(report.calls),
          absl::StrCat(report.faults), absl::StrJoin(report.errnos, " "),
          absl::StrCat(report.leaks), absl::StrCat(report.wrong_codes),
          absl::StrCat(other)});
  std::printf("%s\n", report.ToString().c_str());
  TheTotals().Add(report);
  for (const std::string& sentence : report.wrong) {
    ADD_FAILURE() << report.scenario << ": " << sentence;
  }
}

absl::Status Expect(bool condition, const char* what) {
  return condition ? absl::OkStatus()
                   : absl::InternalError(absl::StrCat("not true: ", what));
}

}  // namespace libvmm::testing
