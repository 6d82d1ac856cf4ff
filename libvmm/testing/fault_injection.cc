// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/fault_injection.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/wrapped_calls.h"

namespace libvmm::testing {
namespace {

using internal::CallObserver;
using internal::ObserveCalls;
using internal::WrappedCall;

constexpr int kNoCall = -1;

// What one run left, in memory that was there before.
struct Outcome {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::array<char, 1024> text{};
  HeapUse heap_before;
  HeapUse heap_after;
};

void RunOnce(absl::FunctionRef<absl::Status()> body, CallObserver& observer,
             Outcome& outcome) {
  outcome.heap_before = HeapUse::Now();
  {
    CallObserver* const before = ObserveCalls(&observer);
    const absl::Status status = body();
    ObserveCalls(before);
    outcome.code = status.code();
    const auto message = status.message();
    std::snprintf(outcome.text.data(), outcome.text.size(), "%.*s",
                  static_cast<int>(message.size()), message.data());
  }
  outcome.heap_after = HeapUse::Now();
}

std::string ErrnoName(int error) {
  const char* const name = ::strerrorname_np(error);
  return name != nullptr ? name : absl::StrCat("errno ", error);
}

}  // namespace

// Counts calls, fails the one asked for and answers those that are scripted.
// Takes no memory while it watches: the heap is being counted.
class FaultScenario::Injector final : public CallObserver {
 public:
  static constexpr size_t kMostCalls = 10000;

  explicit Injector(FaultScenario& scenario) : scenario_(scenario) {}

  int OnCall(const WrappedCall& call) override {
    const int index = count_++;
    if (record_ != nullptr && record_->size() < record_->capacity()) {
      record_->push_back(call);
    }
    if (index != target_) return 0;
    failed_ = call.name;
    return error_;
  }
  std::optional<int> OnIoctl(const WrappedCall& call,
                             uintptr_t argument) override {
    for (ScriptedIoctl& scripted : scenario_.scripted_) {
      if (scripted.call != call.name) continue;
      const internal::FaultPause pause;
      const std::optional<int> result = scripted.answer(argument);
      if (!result.has_value()) continue;
      scripted.used = true;
      return result;
    }
    return std::nullopt;
  }
  void OnMisuse(const char* name) override { misuse_ = name; }

  void Record(std::vector<WrappedCall>* record) { record_ = record; }
  void Fail(int index, int error) {
    target_ = index;
    error_ = error;
  }

  [[nodiscard]] int count() const { return count_; }
  [[nodiscard]] const char* failed() const { return failed_; }
  [[nodiscard]] const char* misuse() const { return misuse_; }

 private:
  FaultScenario& scenario_;
  int count_ = 0;
  int target_ = kNoCall;
  int error_ = 0;
  const char* failed_ = nullptr;
  const char* misuse_ = nullptr;
  std::vector<WrappedCall>* record_ = nullptr;
};

internal::FaultPause::FaultPause() : observer_(ObserveCalls(nullptr)) {}
internal::FaultPause::~FaultPause() {
  ObserveCalls(static_cast<CallObserver*>(observer_));
}

FaultScenario& FaultScenario::Survives(std::string call,
                                       std::vector<int> errnos,
                                       std::string /*reason*/) {
  allowances_.push_back({std::move(call), std::move(errnos),
                         absl::StatusCode::kOk, true, false, false});
  return *this;
}

FaultScenario& FaultScenario::MaySurvive(std::string call,
                                         std::vector<int> errnos,
                                         std::string /*reason*/) {
  allowances_.push_back({std::move(call), std::move(errnos),
                         absl::StatusCode::kOk, false, false, false});
  return *this;
}

FaultScenario& FaultScenario::Keeps(std::string call, std::vector<int> errnos,
                                    std::string /*reason*/) {
  allowances_.push_back({std::move(call), std::move(errnos),
                         absl::StatusCode::kOk, true, true, false});
  return *this;
}

FaultScenario& FaultScenario::GivesCode(std::string call,
                                        std::vector<int> errnos,
                                        absl::StatusCode code,
                                        std::string /*reason*/) {
  allowances_.push_back(
      {std::move(call), std::move(errnos), code, true, false, false});
  return *this;
}

FaultScenario& FaultScenario::MayGiveCode(std::string call,
                                          std::vector<int> errnos,
                                          absl::StatusCode code,
                                          std::string /*reason*/) {
  allowances_.push_back(
      {std::move(call), std::move(errnos), code, false, false, false});
  return *this;
}

FaultScenario& FaultScenario::Answers(std::string call, Answer answer) {
  scripted_.push_back({std::move(call), std::move(answer), false});
  return *this;
}

FaultScenario& FaultScenario::Answers(std::string call, int result) {
  return Answers(std::move(call), [result](uintptr_t) { return result; });
}

FaultScenario& FaultScenario::Reports(std::string call, std::string words) {
  words_.emplace_back(std::move(call), std::move(words));
  return *this;
}

const FaultScenario::Allowance* FaultScenario::FindAllowance(
    const std::string& call, int error, absl::StatusCode code) {
  for (Allowance& allowance : allowances_) {
    if (allowance.call == call && allowance.code == code &&
        (allowance.errnos.empty() ||
         std::ranges::count(allowance.errnos, error) != 0)) {
      allowance.used = true;
      return &allowance;
    }
  }
  return nullptr;
}

bool FaultScenario::IsNamed(const std::string& call,
                            const std::string& message) const {
  return absl::StrContains(message, call) ||
         std::ranges::any_of(words_, [&](const auto& words) {
           return words.first == call &&
                  absl::StrContains(message, words.second);
         });
}

void FaultScenario::ReportStaleEntries(FaultReport& report) const {
  for (const Allowance& allowance : allowances_) {
    if (!allowance.must_be_used || allowance.used) continue;
    const bool ok = allowance.code == absl::StatusCode::kOk;
    report.wrong.push_back(absl::StrCat(allowance.keeps ? "Keeps"
                                        : ok            ? "Survives"
                                                        : "GivesCode",
                                        "(\"", allowance.call,
                                        "\") is for nothing: no such fault "
                                        "came out so"));
  }
  for (const ScriptedIoctl& scripted : scripted_) {
    if (scripted.used) continue;
    report.wrong.push_back(absl::StrCat("Answers(\"", scripted.call,
                                        "\") is for nothing: never asked"));
  }
}

FaultReport FaultScenario::Run(absl::FunctionRef<absl::Status()> body) {
  KeepHeapInBrk();
  FaultReport report;
  report.scenario = name_;
  Outcome outcome;

  // Once for all that is made at a first use and kept, then once to be counted.
  {
    Injector first(*this);
    RunOnce(body, first, outcome);
  }
  std::vector<WrappedCall> calls;
  calls.reserve(Injector::kMostCalls);
  {
    Injector counter(*this);
    counter.Record(&calls);
    RunOnce(body, counter, outcome);
    report.calls = counter.count();
  }
  if (outcome.code != absl::StatusCode::kOk) {
    report.wrong.push_back(
        absl::StrCat("without a fault: ", outcome.text.data()));
    return report;
  }
  if (calls.size() == calls.capacity()) {
    report.wrong.push_back("makes too many calls for this harness");
    return report;
  }
  if (!calls.empty()) {
    // What an error path makes at its first use.
    Injector first(*this);
    first.Fail(0, calls[0].errnos[0]);
    RunOnce(body, first, outcome);
  }

  std::set<std::string> errnos;
  ProcessResources before = ProcessResources::Now();
  for (int index = 0; index < report.calls; ++index) {
    const WrappedCall& call = calls[static_cast<size_t>(index)];
    for (const int error : call.errnos) {
      Injector injector(*this);
      injector.Fail(index, error);
      RunOnce(body, injector, outcome);
      ++report.faults;
      const std::string error_name = ErrnoName(error);
      errnos.insert(error_name);
      const auto wrong = [&](const auto&... what) {
        report.wrong.push_back(absl::StrCat("call ", index, ", ", call.name,
                                            " with ", error_name, ": ",
                                            what...));
      };
      const absl::StatusCode expected = ErrnoStatus(error, "").code();
      bool keeps = false;
      if (injector.failed() == nullptr) {
        wrong("was not made in this run");
      } else if (std::strcmp(injector.failed(), call.name) != 0) {
        wrong("was ", injector.failed(), " in this run");
      } else if (outcome.code == absl::StatusCode::kOk) {
        const Allowance* const allowance =
            FindAllowance(call.name, error, outcome.code);
        if (allowance == nullptr) {
          wrong("no error came of it");
        } else {
          keeps = allowance->keeps;
        }
      } else if (!IsNamed(call.name, outcome.text.data())) {
        wrong("the error does not name the call: ", outcome.text.data());
      } else if (outcome.code != expected &&
                 FindAllowance(call.name, error, outcome.code) == nullptr) {
        ++report.wrong_codes;
        wrong("the code is ", absl::StatusCodeToString(outcome.code), ", not ",
              absl::StatusCodeToString(expected), ": ", outcome.text.data());
      }
      if (injector.misuse() != nullptr) {
        ++report.leaks;
        wrong(injector.misuse(), " of something not owned");
      }
      if (!keeps && outcome.heap_after != outcome.heap_before) {
        ++report.leaks;
        wrong("the heap has ",
              outcome.heap_after.bytes - outcome.heap_before.bytes,
              " bytes more in ",
              outcome.heap_after.blocks - outcome.heap_before.blocks,
              " blocks");
      }
      const ProcessResources after = ProcessResources::Now();
      const std::string left = after.Since(before);
      if (keeps) {
        if (left.empty()) wrong("nothing was kept");
        before = after;
      } else if (!left.empty()) {
        ++report.leaks;
        wrong("left behind: ", left);
        // What leaks once leaks every time; comparing on would only repeat it.
        report.errnos.assign(errnos.begin(), errnos.end());
        return report;
      }
    }
  }
  report.errnos.assign(errnos.begin(), errnos.end());
  ReportStaleEntries(report);
  return report;
}

std::string FaultReport::ToString() const {
  std::string text = absl::StrFormat("%-34s %5d calls %6d faults %4d wrong",
                                     scenario, calls, faults, wrong.size());
  for (const std::string& sentence : wrong) {
    absl::StrAppend(&text, "\n    ", sentence);
  }
  return text;
}

}  // namespace libvmm::testing
