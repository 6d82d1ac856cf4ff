// SPDX-License-Identifier: Apache-2.0
#include "examples/exit_profile.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"

using libvmm::Exit;
using libvmm::ExitReason;

void ExitProfile::Histogram::Add(std::chrono::nanoseconds time) {
  const double ns = std::max<double>(1, static_cast<double>(time.count()));
  const auto bucket = static_cast<size_t>(4 * std::log2(ns));
  ++buckets_[std::min(bucket, buckets_.size() - 1)];
  ++count_;
}

double ExitProfile::Histogram::Quantile(double fraction) const {
  uint64_t below = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    below += buckets_[i];
    if (static_cast<double>(below) >= fraction * static_cast<double>(count_)) {
      return std::exp2((static_cast<double>(i) + 0.5) / 4);
    }
  }
  return 0;
}

void ExitProfile::Handled(const Exit& exit) {
  const Clock::time_point now = Clock::now();
  Key key{exit.reason(), false, 0};
  if (exit.reason() == ExitReason::kPio) {
    key.is_write = exit.pio().is_write;
    key.address = exit.pio().port;
  } else if (exit.reason() == ExitReason::kMmio) {
    key.is_write = exit.mmio().is_write;
    key.address = exit.mmio().gpa.value();
  }
  Row& row = rows_[key];
  ++row.count;
  row.run.Add(leave_ - enter_);
  row.handle.Add(now - leave_);
}

void ExitProfile::Print() const {
  std::printf("\n%-32s %8s  %21s  %21s\n%-32s %8s  %10s %10s  %10s %10s\n", "",
              "", "in KVM_RUN, us", "handled in, us", "exit", "count", "median",
              "p99", "median", "p99");
  for (const auto& [key, row] : rows_) {
    std::string name(ExitReasonName(key.reason));
    if (key.reason == ExitReason::kPio || key.reason == ExitReason::kMmio) {
      absl::StrAppend(&name, key.is_write ? " write" : " read", " 0x",
                      absl::Hex(key.address));
    }
    std::printf("%-32s %8llu  %10.1f %10.1f  %10.2f %10.2f\n", name.c_str(),
                static_cast<unsigned long long>(row.count),
                row.run.Quantile(0.5) / 1000, row.run.Quantile(0.99) / 1000,
                row.handle.Quantile(0.5) / 1000,
                row.handle.Quantile(0.99) / 1000);
  }
}
