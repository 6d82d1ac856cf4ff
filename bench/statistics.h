// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_STATISTICS_H_
#define LIBVMM_BENCH_STATISTICS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace libvmm::bench {

// The value in the middle; the mean of the two in the middle of an even number.
// `values` is not empty.
double Median(std::vector<double> values);

// Nearest rank: the smallest value that at least `percent` per cent of `values`
// do not exceed. `values` is not empty, 0 < percent <= 100.
double Percentile(std::vector<double> values, double percent);

// One row of a table: nanoseconds per operation, nothing where a field does not
// apply or could not be measured.
struct Row {
  std::string name;
  double ours_ns = 0;
  std::optional<double> raw_ns;
  std::optional<double> ratio;
  std::optional<double> diff_ns;
  std::optional<double> p99_ns;
  std::optional<double> instructions;
};

// What a benchmark measured. Entry i of `ours_ns` and of `raw_ns` belong to the
// same pair of batches; `raw_ns` is empty when there is no twin. The others are
// empty when not measured.
struct Samples {
  std::vector<double> ours_ns;
  std::vector<double> raw_ns;
  std::vector<double> single_ns;
  std::vector<double> instructions;
};

// Medians of each side, and the medians over pairs of ours / raw and of ours -
// raw, in which drift that hits both batches of a pair cancels. Hence `ratio`
// is not exactly `ours_ns / raw_ns`.
Row Summarize(absl::string_view name, const Samples& samples);

// The row as a JSON object on one line, without the newline; null for nothing.
std::string ToJson(const Row& row);

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_STATISTICS_H_
