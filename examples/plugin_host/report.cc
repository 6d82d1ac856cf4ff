// SPDX-License-Identifier: Apache-2.0
#include "examples/plugin_host/report.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_format.h"

namespace plugin_host {
namespace {

double Microseconds(absl::Duration time) {
  return absl::ToDoubleMicroseconds(time);
}

}  // namespace

absl::Duration Quantile(std::vector<absl::Duration> times, double share) {
  if (times.empty()) return absl::ZeroDuration();
  const size_t index =
      std::min(static_cast<size_t>(share * static_cast<double>(times.size())),
               times.size() - 1);
  std::nth_element(times.begin(),
                   times.begin() + static_cast<std::ptrdiff_t>(index),
                   times.end());
  return times[index];
}

std::string FormatReport(const std::vector<Row>& rows,
                         const std::vector<absl::Duration>& resets) {
  std::string text = absl::StrFormat("%-16s %10s %12s %12s  %s\n", "request",
                                     "calls", "median us", "p99 us", "end");
  for (const Row& row : rows) {
    absl::StrAppendFormat(&text, "%-16s %10d %12.1f %12.1f  %s%s%s\n", row.name,
                          row.calls, Microseconds(Quantile(row.times, 0.5)),
                          Microseconds(Quantile(row.times, 0.99)),
                          libvmm::sandbox::EndName(row.expected),
                          row.fault.empty() ? "" : ": ", row.fault);
    if (row.surprises == 0) continue;
    absl::StrAppendFormat(&text,
                          "  %d of these came back otherwise, the last: %s\n",
                          row.surprises, row.surprise);
  }
  absl::StrAppendFormat(&text, "%-16s %10d %12.1f %12.1f\n", "reset",
                        resets.size(), Microseconds(Quantile(resets, 0.5)),
                        Microseconds(Quantile(resets, 0.99)));
  return text;
}

}  // namespace plugin_host
