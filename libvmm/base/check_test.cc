// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/check.h"

#include "gtest/gtest.h"

namespace libvmm {
namespace {

TEST(CheckDeathTest, AFailedCheckSaysWhereAndAborts) {
  EXPECT_DEATH(LIBVMM_CHECK(1 + 1 == 3), "check_test.cc:.*1 \\+ 1 == 3");
}

TEST(CheckTest, APassedCheckEvaluatesOnce) {
  int evaluations = 0;
  LIBVMM_CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

#ifdef NDEBUG
TEST(CheckTest, DcheckVanishesWithNdebug) {
  int evaluations = 0;
  LIBVMM_DCHECK(++evaluations == 99);
  EXPECT_EQ(evaluations, 0);
}
#else
TEST(CheckDeathTest, DcheckAbortsWithoutNdebug) {
  EXPECT_DEATH(LIBVMM_DCHECK(false), "check failed");
}
#endif

}  // namespace
}  // namespace libvmm
