// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/fault_injection.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/wrapped_calls.h"

namespace libvmm::testing {
namespace {

using internal::CallObserver;
using internal::ObserveCalls;
using internal::WrappedCall;

constexpr int kNoCall = -1;

// Counts calls and fails the one asked for. Takes no memory while it watches:
// the heap is being counted.
class Injector final : public CallObserver {
 public:
  static constexpr size_t kMostCalls = 10000;

  int OnCall(const WrappedCall& call) override {
    const int index = count_++;
    if (record_ != nullptr && record_->size() < record_->capacity()) {
      record_->push_back(call);
    }
    if (index != target_) return 0;
    failed_ = call.name;
    return error_;
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
  int count_ = 0;
  int target_ = kNoCall;
  int error_ = 0;
  const char* failed_ = nullptr;
  const char* misuse_ = nullptr;
  std::vector<WrappedCall>* record_ = nullptr;
};

// What one run left, in memory that was there before.
struct Outcome {
  bool ok = false;
  std::array<char, 1024> text{};
  HeapUse heap_before;
  HeapUse heap_after;
};

void RunOnce(absl::FunctionRef<absl::Status()> body, Injector& injector,
             Outcome& outcome) {
  outcome.heap_before = HeapUse::Now();
  {
    CallObserver* const before = ObserveCalls(&injector);
    const absl::Status status = body();
    ObserveCalls(before);
    outcome.ok = status.ok();
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

internal::FaultPause::FaultPause() : observer_(ObserveCalls(nullptr)) {}
internal::FaultPause::~FaultPause() {
  ObserveCalls(static_cast<CallObserver*>(observer_));
}

FaultScenario& FaultScenario::Survives(std::string call,
                                       std::vector<int> errnos,
                                       std::string /*reason*/) {
  allowances_.push_back(
      {std::move(call), std::move(errnos), true, false, false});
  return *this;
}

FaultScenario& FaultScenario::MaySurvive(std::string call,
                                         std::vector<int> errnos,
                                         std::string /*reason*/) {
  allowances_.push_back(
      {std::move(call), std::move(errnos), false, false, false});
  return *this;
}

FaultScenario& FaultScenario::Keeps(std::string call, std::vector<int> errnos,
                                    std::string /*reason*/) {
  allowances_.push_back(
      {std::move(call), std::move(errnos), true, true, false});
  return *this;
}

FaultScenario& FaultScenario::Reports(std::string call, std::string words) {
  words_.emplace_back(std::move(call), std::move(words));
  return *this;
}

const FaultScenario::Allowance* FaultScenario::FindAllowance(
    const std::string& call, int error) {
  for (Allowance& allowance : allowances_) {
    if (allowance.call == call &&
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

FaultReport FaultScenario::Run(absl::FunctionRef<absl::Status()> body) {
  KeepHeapInBrk();
  FaultReport report;
  report.scenario = name_;
  Outcome outcome;

  // Once for all that is made at a first use and kept, then once to be counted.
  {
    Injector first;
    RunOnce(body, first, outcome);
  }
  std::vector<WrappedCall> calls;
  calls.reserve(Injector::kMostCalls);
  {
    Injector counter;
    counter.Record(&calls);
    RunOnce(body, counter, outcome);
    report.calls = counter.count();
  }
  if (!outcome.ok) {
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
    Injector first;
    first.Fail(0, calls[0].errnos[0]);
    RunOnce(body, first, outcome);
  }

  ProcessResources before = ProcessResources::Now();
  for (int index = 0; index < report.calls; ++index) {
    const WrappedCall& call = calls[static_cast<size_t>(index)];
    for (const int error : call.errnos) {
      Injector injector;
      injector.Fail(index, error);
      RunOnce(body, injector, outcome);
      ++report.faults;
      const auto wrong = [&](const auto&... what) {
        report.wrong.push_back(absl::StrCat("call ", index, ", ", call.name,
                                            " with ", ErrnoName(error), ": ",
                                            what...));
      };
      bool keeps = false;
      if (injector.failed() == nullptr) {
        wrong("was not made in this run");
      } else if (std::strcmp(injector.failed(), call.name) != 0) {
        wrong("was ", injector.failed(), " in this run");
      } else if (outcome.ok) {
        const Allowance* const allowance = FindAllowance(call.name, error);
        if (allowance == nullptr) {
          wrong("no error came of it");
        } else {
          keeps = allowance->keeps;
        }
      } else if (!IsNamed(call.name, outcome.text.data())) {
        wrong("the error does not name the call: ", outcome.text.data());
      }
      if (injector.misuse() != nullptr) {
        wrong(injector.misuse(), " of something not owned");
      }
      if (!keeps && outcome.heap_after != outcome.heap_before) {
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
        wrong("left behind: ", left);
        // What leaks once leaks every time; comparing on would only repeat it.
        return report;
      }
    }
  }
  for (const Allowance& allowance : allowances_) {
    if (allowance.must_be_used && !allowance.used) {
      report.wrong.push_back(absl::StrCat(
          allowance.keeps ? "Keeps" : "Survives", "(\"", allowance.call,
          "\") is for nothing: no such fault "
          "was survived"));
    }
  }
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
