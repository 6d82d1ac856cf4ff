// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/binary_stats.h"

#include <string>
#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

static_assert(!std::is_copy_constructible_v<BinaryStats>);

class BinaryStatsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                  0xe6, 0x70,  // out 0x70, al
                                                  0xeb, 0xfc,  // jmp to the out
                                              }));
    if (!guest.kvm().features().has(Feature::kBinaryStatsFd)) {
      GTEST_SKIP() << "no KVM_CAP_BINARY_STATS_FD";
    }
    guest_.emplace(std::move(guest));
  }

  std::optional<RealModeGuest> guest_;
};

TEST_F(BinaryStatsTest, VmHasNamedStatistics) {
  ASSERT_OK_AND_ASSIGN(const BinaryStats stats,
                       BinaryStats::Open(guest_->vm()));
  EXPECT_THAT(std::string(stats.layout().id()), StartsWith("kvm-"));
  EXPECT_NE(stats.layout().Find("remote_tlb_flush"), nullptr);
  EXPECT_EQ(stats.layout().Find("exits"), nullptr);
  std::vector<uint64_t> values(stats.layout().value_count());
  EXPECT_OK(stats.Read(values));
}

TEST_F(BinaryStatsTest, VcpuCountsItsExits) {
  ASSERT_OK_AND_ASSIGN(const BinaryStats stats,
                       BinaryStats::Open(guest_->vcpu()));
  EXPECT_THAT(std::string(stats.layout().id()), HasSubstr("vcpu-0"));
  const StatDescriptor* const exits = stats.layout().Find("exits");
  ASSERT_NE(exits, nullptr);
  EXPECT_EQ(exits->type, StatType::kCumulative);

  std::vector<uint64_t> values(stats.layout().value_count() + 1, 0xfeed);
  ASSERT_OK(stats.Read(values));
  EXPECT_EQ(values.back(), 0xfeedu);  // room beyond the values is left alone
  const uint64_t before = BinaryStats::Values(*exits, values)[0];
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(Exit exit, guest_->vcpu().Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
  }
  ASSERT_OK(stats.Read(values));
  EXPECT_GE(BinaryStats::Values(*exits, values)[0], before + 3);
}

TEST_F(BinaryStatsTest, HistogramsHaveManyValues) {
  ASSERT_OK_AND_ASSIGN(const BinaryStats stats,
                       BinaryStats::Open(guest_->vcpu()));
  const StatDescriptor* const histogram =
      stats.layout().Find("halt_poll_success_hist");
  ASSERT_NE(histogram, nullptr);
  EXPECT_EQ(histogram->type, StatType::kLogHistogram);
  EXPECT_EQ(histogram->unit, StatUnit::kSeconds);
  EXPECT_EQ(histogram->exponent, -9);
  EXPECT_GT(histogram->count, 1u);
}

TEST_F(BinaryStatsTest, ShortBufferIsRefused) {
  ASSERT_OK_AND_ASSIGN(const BinaryStats stats,
                       BinaryStats::Open(guest_->vm()));
  std::vector<uint64_t> values(stats.layout().value_count() - 1);
  EXPECT_THAT(stats.Read(values),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("room")));
}

TEST_F(BinaryStatsTest, StatisticsOutliveTheVcpu) {
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, guest_->MakeVcpu(1));
  ASSERT_OK_AND_ASSIGN(const BinaryStats stats, BinaryStats::Open(vcpu));
  { const Vcpu gone = std::move(vcpu); }
  std::vector<uint64_t> values(stats.layout().value_count());
  EXPECT_OK(stats.Read(values));
}

}  // namespace
}  // namespace libvmm
