// SPDX-License-Identifier: Apache-2.0
#include "tests/lab/job.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::lab {
namespace {

using ::testing::ElementsAre;

TEST(JobTest, EachLineSaysOneThing) {
  const auto jobs = ParseJobs(
      "job one\nargument /bin/a\nargument with spaces\nargument \n"
      "environment A=b=c\nfolder /programs\noutput /out/0\nlimit 7\nexclusive\n"
      "job two\nargument /bin/b\n");
  ASSERT_TRUE(jobs.has_value());
  ASSERT_EQ(jobs->size(), 2u);
  const Job& one = jobs->front();
  EXPECT_EQ(one.name, "one");
  EXPECT_THAT(one.arguments, ElementsAre("/bin/a", "with spaces", ""));
  EXPECT_THAT(one.environment, ElementsAre("A=b=c"));
  EXPECT_EQ(one.folder, "/programs");
  EXPECT_EQ(one.output_folder, "/out/0");
  EXPECT_EQ(one.limit, std::chrono::seconds(7));
  EXPECT_TRUE(one.exclusive);
  EXPECT_FALSE(jobs->back().exclusive);
}

TEST(JobTest, WhatIsNoJobListIsRefused) {
  for (const char* const text :
       {"argument /bin/a\n", "job a\n", "job a\nargument b\nlimit 0\n",
        "job a\nargument b\nlimit 5s\n", "job a\nargument b\nnonsense\n"}) {
    EXPECT_FALSE(ParseJobs(text).has_value()) << text;
  }
  EXPECT_TRUE(ParseJobs("").has_value());
}

}  // namespace
}  // namespace libvmm::lab
