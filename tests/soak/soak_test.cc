// SPDX-License-Identifier: Apache-2.0
// A short soak of a fixed number of steps, and that its checks can fail.
#include "tests/soak/soak.h"

#include <cstdio>

#include "gtest/gtest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/sanitizers.h"

namespace libvmm::soak {
namespace {

TEST(SoakTest, AShortSoakFindsNothing) {
  LIBVMM_NEEDS_KVM();
  Counts counts;
  const std::optional<std::string> finding = RunSoak(
      {.plan = {.seed = 1}, .steps = testing::kSanitized ? 300 : 800}, counts);
  std::fputs(CountsTable(counts).c_str(), stdout);
  EXPECT_FALSE(finding.has_value()) << *finding;
  for (size_t kind = 0; kind < kOperationKindCount; ++kind) {
    EXPECT_GT(counts.operations[kind].done.load(), 0u)
        << OperationName(static_cast<OperationKind>(kind));
  }
}

}  // namespace
}  // namespace libvmm::soak
