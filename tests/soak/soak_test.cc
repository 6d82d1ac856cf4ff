// SPDX-License-Identifier: Apache-2.0
// A short soak of a fixed number of steps.
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
  const std::optional<std::string> finding =
      RunSoak({.plan = {.seed = 1}, .steps = testing::kSanitized ? 1000 : 1500},
              counts);
  std::fputs(CountsTable(counts).c_str(), stdout);
  EXPECT_FALSE(finding.has_value()) << *finding;
  // Which find something to act on depends on how the threads overlap.
  for (size_t kind = 0; kind < kOperationKindCount; ++kind) {
    const Counts::PerKind& count = counts.operations[kind];
    EXPECT_GT(count.done.load() + count.idle.load(), 0u)
        << OperationName(static_cast<OperationKind>(kind));
  }
}

}  // namespace
}  // namespace libvmm::soak
