// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/plan.h"

#include <set>

#include "gtest/gtest.h"

namespace libvmm::soak {
namespace {

TEST(PlanTest, SameArgumentsGiveTheSameOperation) {
  for (uint64_t step = 0; step < 100; ++step) {
    EXPECT_EQ(PlanOperation({.seed = 7}, 2, step),
              PlanOperation({.seed = 7}, 2, step));
  }
}

TEST(PlanTest, SeedsThreadsAndStepsGiveOthers) {
  const Operation operation = PlanOperation({.seed = 7}, 2, 5);
  EXPECT_NE(PlanOperation({.seed = 8}, 2, 5), operation);
  EXPECT_NE(PlanOperation({.seed = 7}, 3, 5), operation);
  EXPECT_NE(PlanOperation({.seed = 7}, 2, 6), operation);
}

TEST(PlanTest, EveryKindCellVcpuAndShelfComes) {
  const PlanOptions options = {.seed = 1, .cells = 5, .shelves = 3};
  std::set<OperationKind> kinds;
  std::set<uint32_t> cells;
  std::set<uint32_t> vcpus;
  std::set<uint32_t> shelves;
  for (uint64_t step = 0; step < 2000; ++step) {
    const Operation operation = PlanOperation(options, 0, step);
    kinds.insert(operation.kind);
    cells.insert(operation.cell);
    vcpus.insert(operation.vcpu);
    shelves.insert(operation.shelf);
  }
  EXPECT_EQ(kinds.size(), kOperationKindCount);
  EXPECT_EQ(cells, (std::set<uint32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(vcpus, (std::set<uint32_t>{0, 1}));
  EXPECT_EQ(shelves, (std::set<uint32_t>{0, 1, 2}));
}

TEST(PlanTest, DescriptionHasAllOfTheOperation) {
  const Operation operation = {.kind = OperationKind::kCheckIrq,
                               .cell = 3,
                               .vcpu = 1,
                               .shelf = 2,
                               .words = {1, 2, 0xabc, 4}};
  EXPECT_EQ(Describe(operation),
            "check_irq cell=3 vcpu=1 shelf=2 words="
            "00000001 00000002 00000abc 00000004");
}

}  // namespace
}  // namespace libvmm::soak
