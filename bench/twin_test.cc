// SPDX-License-Identifier: Apache-2.0
#include "bench/twin.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TwinBench BenchWith(std::vector<std::string> flags) {
  std::vector<char*> argv = {const_cast<char*>("bench")};
  for (std::string& flag : flags) argv.push_back(flag.data());
  return TwinBench(static_cast<int>(argv.size()), argv.data());
}

std::string ReadFile(const std::string& path) {
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

TEST(TwinBenchTest, InterleavesBatchesAndAlternatesTheOrder) {
  TwinBench bench = BenchWith({});
  std::string calls;
  bench.Run(
      "x", {.batch = 2, .batches = 2}, [&] { calls += 'o'; },
      [&] { calls += 'r'; });
  // Per round: the pair in either order, then ours one by one for p99. The
  // first round warms up.
  EXPECT_EQ(calls,
            "oorroo"
            "rroooo"
            "oorroo");
}

TEST(TwinBenchTest, SelfTimedOperationsReportTheirOwnTime) {
  const std::string out = ::testing::TempDir() + "/self_timed.json";
  TwinBench bench = BenchWith({"--out=" + out});
  // The 1000s come from the warm-up round and must not count.
  int ours_calls = 0;
  int raw_calls = 0;
  bench.Run(
      "x", {.batch = 1, .batches = 3},
      [&] { return ours_calls++ == 0 ? 1000 : 30; },
      [&] { return raw_calls++ == 0 ? 1000.0 : 20.0; });
  EXPECT_EQ(bench.Finish(), 0);
  EXPECT_THAT(ReadFile(out),
              StartsWith("{\"name\": \"x\", \"ours_ns\": 30, \"raw_ns\": 20, "
                         "\"ratio\": 1.5, \"diff_ns\": 10, \"p99_ns\": 30,"));
}

TEST(TwinBenchTest, RunAloneHasNoTwin) {
  const std::string out = ::testing::TempDir() + "/alone.json";
  TwinBench bench = BenchWith({"--out=" + out});
  bench.RunAlone("x", {.batch = 1, .batches = 3}, [] { return 7; });
  EXPECT_EQ(bench.Finish(), 0);
  EXPECT_THAT(ReadFile(out),
              HasSubstr("\"ours_ns\": 7, \"raw_ns\": null, \"ratio\": null"));
}

TEST(TwinBenchTest, FilterSelectsByRegex) {
  TwinBench bench = BenchWith({"--filter=^pio/(in|out)$"});
  EXPECT_TRUE(bench.Wants("pio/out"));
  EXPECT_FALSE(bench.Wants("mmio/out"));
  int calls = 0;
  bench.RunAlone("pio/out/8", {}, [&] { ++calls; });
  EXPECT_EQ(calls, 0);
}

TEST(TwinBenchTest, BatchesFlagReplacesTheNumberOfRounds) {
  TwinBench bench = BenchWith({"--batches=4"});
  int calls = 0;
  bench.RunAlone("x", {.batch = 1, .batches = 1000}, [&] { ++calls; });
  EXPECT_EQ(calls, 5);
}

TEST(TwinBenchDeathTest, UnknownFlagEndsTheProcess) {
  EXPECT_EXIT(BenchWith({"--batches=none"}), ::testing::ExitedWithCode(2),
              "cannot read --batches=none");
  EXPECT_EXIT(BenchWith({"--fliter=x"}), ::testing::ExitedWithCode(2),
              "cannot read --fliter=x");
}

TEST(TwinBenchDeathTest, UnwritableResultFileEndsTheProcess) {
  TwinBench bench = BenchWith({"--out=/nonexistent/x.json"});
  EXPECT_EXIT(bench.Finish(), ::testing::ExitedWithCode(2),
              "cannot write /nonexistent/x.json");
}

}  // namespace
}  // namespace libvmm::bench
