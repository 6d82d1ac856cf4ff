// SPDX-License-Identifier: Apache-2.0
#include "bench/twin.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <regex>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "bench/statistics.h"

namespace libvmm::bench {
namespace {

std::string Column(std::optional<double> value, int digits) {
  return value.has_value() ? absl::StrFormat("%12.*f", digits, *value)
                           : absl::StrFormat("%12s", "-");
}

void Print(const Row& row) {
  absl::PrintF("%-40s ours %s  raw %s  ratio %s  diff %s  p99 %s\n", row.name,
               Column(row.ours_ns, 1), Column(row.raw_ns, 1),
               Column(row.ratio, 4), Column(row.diff_ns, 1),
               Column(row.p99_ns, 1));
  std::fflush(stdout);
}

}  // namespace

TwinBench::TwinBench(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    if (absl::ConsumePrefix(&flag, "--filter=")) {
      filter_ = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--out=")) {
      out_ = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--batches=") &&
               absl::SimpleAtoi(flag, &batches_) && batches_ > 0) {
      continue;
    } else {
      absl::FPrintF(stderr,
                    "%s: cannot read %s; known are --filter=REGEX, "
                    "--out=FILE and --batches=N with N > 0\n",
                    argv[0], argv[i]);
      std::exit(2);
    }
  }
}

bool TwinBench::Wants(absl::string_view name) const {
  return std::regex_search(std::string(name), std::regex(filter_));
}

void TwinBench::Measure(absl::string_view name, Options options, BatchRef ours,
                        const BatchRef* raw) {
  if (!Wants(name)) return;
  const int batches = batches_ > 0 ? batches_ : options.batches;
  Samples samples;
  const auto run_raw = [&] {
    if (raw != nullptr) samples.raw_ns.push_back((*raw)(options.batch));
  };
  for (int i = 0; i <= batches; ++i) {
    if (i == 1) samples = Samples();  // round 0 was the warm-up
    const bool raw_first = i % 2 == 1;
    if (raw_first) run_raw();
    const std::optional<uint64_t> before = instructions_.Read();
    samples.ours_ns.push_back(ours(options.batch));
    const std::optional<uint64_t> after = instructions_.Read();
    if (before.has_value() && after.has_value()) {
      samples.instructions.push_back(static_cast<double>(*after - *before) /
                                     options.batch);
    }
    if (!raw_first) run_raw();
    for (int j = 0; j < options.batch && options.batch > 1; ++j) {
      samples.single_ns.push_back(ours(1));
    }
  }
  if (options.batch == 1) samples.single_ns = samples.ours_ns;
  rows_.push_back(Summarize(name, samples));
  Print(rows_.back());
}

int TwinBench::Finish() {
  if (out_.empty()) return 0;
  std::ofstream file(out_);
  for (const Row& row : rows_) file << ToJson(row) << '\n';
  file.close();
  if (!file) {
    absl::FPrintF(stderr, "cannot write %s\n", out_);
    std::exit(2);
  }
  return 0;
}

}  // namespace libvmm::bench
