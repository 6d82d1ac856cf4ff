// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_topology.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;

std::vector<uint32_t> ApicIds(const CpuTopology& topology) {
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < topology.vcpu_count(); ++i) {
    ids.push_back(topology.ApicId(i));
  }
  return ids;
}

TEST(CpuTopologyTest, OneCpuIsTheDefault) {
  const CpuTopology topology;
  EXPECT_OK(topology.Validate());
  EXPECT_THAT(ApicIds(topology), ElementsAre(0));
  EXPECT_EQ(topology.thread_bits(), 0u);
  EXPECT_EQ(topology.socket_bits(), 0u);
  EXPECT_EQ(topology.max_apic_id(), 0u);
}

TEST(CpuTopologyTest, PowersOfTwoHaveIdsWithoutGaps) {
  const CpuTopology topology = {
      .sockets = 2, .cores_per_socket = 2, .threads_per_core = 2};
  EXPECT_THAT(ApicIds(topology), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(topology.thread_bits(), 1u);
  EXPECT_EQ(topology.socket_bits(), 2u);
}

TEST(CpuTopologyTest, OtherCountsArePaddedToThem) {
  EXPECT_THAT(ApicIds({.sockets = 2, .cores_per_socket = 3}),
              ElementsAre(0, 1, 2, 4, 5, 6));
  EXPECT_THAT(ApicIds({.cores_per_socket = 2, .threads_per_core = 3}),
              ElementsAre(0, 1, 2, 4, 5, 6));
  EXPECT_THAT(
      ApicIds({.sockets = 2, .cores_per_socket = 3, .threads_per_core = 2}),
      ElementsAre(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13));
  EXPECT_THAT(ApicIds({.sockets = 3}), ElementsAre(0, 1, 2));
}

TEST(CpuTopologyTest, PlacesCountThreadsFirst) {
  const CpuTopology topology = {
      .sockets = 2, .cores_per_socket = 3, .threads_per_core = 2};
  EXPECT_EQ(topology.PlaceOf(0), (CpuTopology::Place{}));
  EXPECT_EQ(topology.PlaceOf(1), (CpuTopology::Place{.thread = 1}));
  EXPECT_EQ(topology.PlaceOf(5), (CpuTopology::Place{.core = 2, .thread = 1}));
  EXPECT_EQ(topology.PlaceOf(8), (CpuTopology::Place{.socket = 1, .core = 1}));
  EXPECT_EQ(topology.max_apic_id(), 13u);
}

struct Refusal {
  CpuTopology topology;
  const char* message;
};

TEST(CpuTopologyTest, RefusalsNameTheField) {
  for (const Refusal& refusal : {
           Refusal{{.sockets = 0}, "sockets is 0, expected at least 1"},
           Refusal{{.cores_per_socket = 0},
                   "cores_per_socket is 0, expected at least 1"},
           Refusal{{.threads_per_core = 0},
                   "threads_per_core is 0, expected at least 1"},
           Refusal{{.threads_per_core = 4097},
                   "threads_per_core is 4097, expected at most 4096"},
           Refusal{{.cores_per_socket = 2049, .threads_per_core = 2},
                   "cores_per_socket is 2049, expected at most 2048 with 2 "
                   "threads_per_core"},
           Refusal{{.cores_per_socket = 0xffffffff},
                   "cores_per_socket is 4294967295, expected at most 4096 with "
                   "1 threads_per_core"},
           Refusal{{.sockets = 9, .cores_per_socket = 4096},
                   "sockets is 9, expected at most 8 for APIC ids of 15 bits"},
           Refusal{{.sockets = 0xffffffff, .cores_per_socket = 2},
                   "sockets is 4294967295, expected at most 16384 for APIC ids "
                   "of 15 bits"},
       }) {
    EXPECT_THAT(refusal.topology.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, refusal.message));
  }
}

TEST(CpuTopologyTest, TheLimitsThemselvesAreValid) {
  for (const CpuTopology& topology : {
           CpuTopology{.sockets = 32768},
           CpuTopology{.sockets = 8, .cores_per_socket = 4096},
           CpuTopology{.cores_per_socket = 1024, .threads_per_core = 3},
           CpuTopology{.threads_per_core = 4096},
       }) {
    EXPECT_OK(topology.Validate());
    EXPECT_LT(topology.max_apic_id(), 1u << CpuTopology::kMaxApicIdBits);
  }
}

}  // namespace
}  // namespace libvmm
