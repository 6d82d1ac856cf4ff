// SPDX-License-Identifier: Apache-2.0
#include "bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/check.h"

namespace libvmm::bench {
namespace {

std::string Field(absl::string_view key, std::optional<double> value) {
  return value.has_value() ? absl::StrFormat(", \"%s\": %.6g", key, *value)
                           : absl::StrFormat(", \"%s\": null", key);
}

}  // namespace

double Median(std::vector<double> values) {
  LIBVMM_CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

double Percentile(std::vector<double> values, double percent) {
  LIBVMM_CHECK(!values.empty() && percent > 0 && percent <= 100);
  const auto rank = static_cast<size_t>(
      std::ceil(static_cast<double>(values.size()) * percent / 100));
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

Row Summarize(absl::string_view name, const Samples& samples) {
  Row row;
  row.name = std::string(name);
  row.ours_ns = Median(samples.ours_ns);
  if (!samples.raw_ns.empty()) {
    LIBVMM_CHECK(samples.raw_ns.size() == samples.ours_ns.size());
    std::vector<double> ratios;
    std::vector<double> differences;
    for (size_t i = 0; i < samples.raw_ns.size(); ++i) {
      ratios.push_back(samples.ours_ns[i] / samples.raw_ns[i]);
      differences.push_back(samples.ours_ns[i] - samples.raw_ns[i]);
    }
    row.raw_ns = Median(samples.raw_ns);
    row.ratio = Median(std::move(ratios));
    row.diff_ns = Median(std::move(differences));
  }
  if (!samples.single_ns.empty()) {
    row.p99_ns = Percentile(samples.single_ns, 99);
  }
  if (!samples.instructions.empty()) {
    row.instructions = Median(samples.instructions);
  }
  return row;
}

std::string ToJson(const Row& row) {
  return absl::StrCat(
      "{\"name\": \"", row.name, "\"", Field("ours_ns", row.ours_ns),
      Field("raw_ns", row.raw_ns), Field("ratio", row.ratio),
      Field("diff_ns", row.diff_ns), Field("p99_ns", row.p99_ns),
      Field("instructions", row.instructions), "}");
}

}  // namespace libvmm::bench
