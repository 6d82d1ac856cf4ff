// SPDX-License-Identifier: Apache-2.0
#include "bench/statistics.h"

#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::bench {
namespace {

using ::testing::DoubleEq;
using ::testing::Optional;

TEST(StatisticsTest, MedianOfOddCountIsTheMiddleValue) {
  EXPECT_DOUBLE_EQ(Median({9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(Median({7}), 7);
}

TEST(StatisticsTest, MedianOfEvenCountIsTheMeanOfTheMiddleTwo) {
  EXPECT_DOUBLE_EQ(Median({1, 100, 2, 4}), 3);
}

TEST(StatisticsTest, PercentileIsTheNearestRank) {
  std::vector<double> values;
  for (int i = 200; i >= 1; --i) values.push_back(i);
  EXPECT_DOUBLE_EQ(Percentile(values, 99), 198);
  EXPECT_DOUBLE_EQ(Percentile(values, 99.1), 199);
  EXPECT_DOUBLE_EQ(Percentile(values, 100), 200);
  EXPECT_DOUBLE_EQ(Percentile(values, 0.1), 1);
  EXPECT_DOUBLE_EQ(Percentile({3}, 99), 3);
}

TEST(StatisticsTest, RatioAndDifferenceAreMediansOverPairs) {
  // The machine became ten times slower after the first pair: both sides of
  // each pair saw it, so neither figure notices.
  const Row row = Summarize("x", {.ours_ns = {11, 120, 105, 110, 130},
                                  .raw_ns = {10, 100, 100, 100, 100},
                                  .single_ns = {},
                                  .instructions = {}});
  EXPECT_DOUBLE_EQ(row.ours_ns, 110);
  EXPECT_THAT(row.raw_ns, Optional(DoubleEq(100)));
  EXPECT_THAT(row.ratio, Optional(DoubleEq(1.1)));
  EXPECT_THAT(row.diff_ns, Optional(DoubleEq(10)));
  EXPECT_EQ(row.p99_ns, std::nullopt);
  EXPECT_EQ(row.instructions, std::nullopt);
}

TEST(StatisticsTest, WithoutTwinThereIsNoRatio) {
  const Row row = Summarize("x", {.ours_ns = {1, 2, 3},
                                  .raw_ns = {},
                                  .single_ns = {5, 50},
                                  .instructions = {40, 42, 41}});
  EXPECT_EQ(row.raw_ns, std::nullopt);
  EXPECT_EQ(row.ratio, std::nullopt);
  EXPECT_EQ(row.diff_ns, std::nullopt);
  EXPECT_THAT(row.p99_ns, Optional(DoubleEq(50)));
  EXPECT_THAT(row.instructions, Optional(DoubleEq(41)));
}

TEST(StatisticsTest, JsonHasEveryFieldAndNullForNothing) {
  Row row;
  row.name = "pio/out";
  row.ours_ns = 10.5;
  row.p99_ns = 12345.25;
  EXPECT_EQ(ToJson(row),
            "{\"name\": \"pio/out\", \"ours_ns\": 10.5, \"raw_ns\": null, "
            "\"ratio\": null, \"diff_ns\": null, \"p99_ns\": 12345.2, "
            "\"instructions\": null}");
}

}  // namespace
}  // namespace libvmm::bench
