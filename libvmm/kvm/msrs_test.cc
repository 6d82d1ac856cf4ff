// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/msrs.h"

#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

static_assert(!std::is_copy_constructible_v<MsrList>);

// Intel SDM volume 4: registers that every x86 guest has.
constexpr uint32_t kSysenterCs = 0x174;
constexpr uint32_t kSysenterEsp = 0x175;
constexpr uint32_t kSysenterEip = 0x176;
constexpr uint32_t kFsBase = 0xc0000100;
// No processor has this one.
constexpr uint32_t kNoMsr = 0xdeadbeef;

TEST(MsrsTest, HoldsValuesInOrder) {
  Msrs msrs(std::vector<uint32_t>{3, 1});
  EXPECT_EQ(msrs.size(), 2u);
  msrs.Set({.index = 1, .value = 10});
  msrs.Set({.index = 2, .value = 20});
  EXPECT_THAT(msrs.entries(), ElementsAre(Msr{3, 0}, Msr{1, 10}, Msr{2, 20}));
  EXPECT_EQ(msrs.Find(2), 20u);
  EXPECT_EQ(msrs.Find(9), std::nullopt);
  EXPECT_TRUE(msrs.Remove(1));
  EXPECT_FALSE(msrs.Remove(1));
  EXPECT_THAT(msrs.entries(), ElementsAre(Msr{3, 0}, Msr{2, 20}));
}

TEST(MsrListTest, GrowsFromATooSmallFirstRequest) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const MsrList whole, MsrList::QuerySaved(kvm.fd()));
  ASSERT_OK_AND_ASSIGN(const MsrList grown, MsrList::QuerySaved(kvm.fd(), 0));
  EXPECT_GT(whole.indices().size(), 10u);
  EXPECT_TRUE(std::equal(whole.indices().begin(), whole.indices().end(),
                         grown.indices().begin(), grown.indices().end()));
  EXPECT_TRUE(whole.Contains(kSysenterCs));
  EXPECT_FALSE(whole.Contains(kNoMsr));
}

TEST(MsrListTest, OtherDescriptorIsRefusedWithTheCallsName) {
  EXPECT_THAT(MsrList::QuerySaved(-1),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_GET_MSR_INDEX_LIST")));
}

TEST(MsrListTest, FeatureMsrsAreReadFromTheSystem) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const MsrList list, MsrList::QueryFeatures(kvm.fd(), 1));
  ASSERT_FALSE(list.indices().empty());
  Msrs msrs(list.indices());
  ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> refused,
                       msrs.ReadFeatures(kvm.fd(), OnRefusedMsr::kSkip));
  EXPECT_EQ(msrs.size() + refused.size(), list.indices().size());
  EXPECT_GT(msrs.size(), 0u);

  msrs.Set({.index = kNoMsr});
  EXPECT_THAT(msrs.ReadFeatures(kvm.fd()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("MSR 0xdeadbeef")));
}

class MsrsKvmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
    guest_.emplace(std::move(guest));
  }
  Vcpu& vcpu() { return guest_->vcpu(); }

  std::optional<RealModeGuest> guest_;
};

TEST_F(MsrsKvmTest, OneMsrComesBackAsSet) {
  ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEsp, .value = 0x1234}));
  ASSERT_OK_AND_ASSIGN(const uint64_t value, GetMsr(vcpu(), kSysenterEsp));
  EXPECT_EQ(value, 0x1234u);
  EXPECT_THAT(
      GetMsr(vcpu(), kNoMsr),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("KVM_GET_MSRS"), HasSubstr("0xdeadbeef"))));
  EXPECT_THAT(SetMsr(vcpu(), {.index = kNoMsr, .value = 0x77}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("KVM_SET_MSRS"),
                             HasSubstr("0xdeadbeef value 0x77"))));
}

TEST_F(MsrsKvmTest, AgreesWithTheRegistersThatTheVcpuHolds) {
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs, vcpu().MutableSpecialRegisters());
  sregs->fs.base = 0x4000;
  ASSERT_OK_AND_ASSIGN(const uint64_t value, GetMsr(vcpu(), kFsBase));
  EXPECT_EQ(value, 0x4000u);
  ASSERT_OK(SetMsr(vcpu(), {.index = kFsBase, .value = 0x8000}));
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* read, vcpu().SpecialRegisters());
  EXPECT_EQ(read->fs.base, 0x8000u);
}

TEST_F(MsrsKvmTest, EveryListedMsrCanBeSavedAndRestored) {
  ASSERT_OK_AND_ASSIGN(const MsrList list,
                       MsrList::QuerySaved(guest_->kvm().fd()));
  Msrs msrs(list.indices());
  ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> unread,
                       msrs.ReadFrom(vcpu(), OnRefusedMsr::kSkip));
  EXPECT_EQ(msrs.size() + unread.size(), list.indices().size());
  EXPECT_LT(unread.size(), list.indices().size() / 2);
  ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> unwritten,
                       msrs.WriteTo(vcpu(), OnRefusedMsr::kSkip));
  EXPECT_LT(unwritten.size(), msrs.size() / 2);
}

TEST_F(MsrsKvmTest, FailStopsAtTheRefusedMsrAndNamesIt) {
  ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEip, .value = 1}));
  Msrs msrs;
  msrs.Set({.index = kSysenterEsp, .value = 0x2222});
  msrs.Set({.index = kNoMsr, .value = 5});
  msrs.Set({.index = kSysenterEip, .value = 0x3333});
  EXPECT_THAT(msrs.WriteTo(vcpu()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("MSR 0xdeadbeef value 0x5 is refused, after "
                                 "1 of 3")));
  Msrs read(std::vector<uint32_t>{kSysenterEsp, kSysenterEip});
  ASSERT_OK(read.ReadFrom(vcpu()));
  EXPECT_EQ(read.Find(kSysenterEsp), 0x2222u);
  EXPECT_EQ(read.Find(kSysenterEip), 1u);

  // Reading under kFail leaves the set as it was.
  EXPECT_THAT(
      msrs.ReadFrom(vcpu()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("after 1 of 3")));
  EXPECT_EQ(msrs.Find(kSysenterEip), 0x3333u);
}

TEST_F(MsrsKvmTest, SkipGoesOnBehindTheRefusedMsr) {
  Msrs msrs;
  msrs.Set({.index = kNoMsr, .value = 5});
  msrs.Set({.index = kSysenterEsp, .value = 0x2222});
  msrs.Set({.index = kNoMsr + 1, .value = 6});
  msrs.Set({.index = kSysenterEip, .value = 0x3333});
  msrs.Set({.index = kNoMsr + 2, .value = 7});
  ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> unwritten,
                       msrs.WriteTo(vcpu(), OnRefusedMsr::kSkip));
  EXPECT_THAT(unwritten, ElementsAre(kNoMsr, kNoMsr + 1, kNoMsr + 2));
  EXPECT_EQ(msrs.size(), 5u);

  msrs.Set({.index = kSysenterEsp, .value = 0});
  ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> unread,
                       msrs.ReadFrom(vcpu(), OnRefusedMsr::kSkip));
  EXPECT_THAT(unread, ElementsAre(kNoMsr, kNoMsr + 1, kNoMsr + 2));
  EXPECT_THAT(msrs.entries(), ElementsAre(Msr{kSysenterEsp, 0x2222},
                                          Msr{kSysenterEip, 0x3333}));
}

TEST_F(MsrsKvmTest, AnyNumberOfMsrsPassesTheLimitOfOneCall) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{255}, size_t{256},
                             size_t{510}, size_t{511}}) {
    SCOPED_TRACE(count);
    const uint64_t mark = 0x100 + count;
    ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEsp, .value = mark}));
    Msrs msrs(std::vector<uint32_t>(count, kSysenterEsp));
    EXPECT_THAT(msrs.ReadFrom(vcpu()), libvmm::testing::IsOk());
    ASSERT_EQ(msrs.size(), count);
    for (const Msr& msr : msrs.entries()) EXPECT_EQ(msr.value, mark);
    ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> refused,
                         msrs.WriteTo(vcpu()));
    EXPECT_THAT(refused, IsEmpty());
  }
}

TEST_F(MsrsKvmTest, PreparedMsrsAreWrittenInOrderAnyNumberOfTimes) {
  for (const size_t count : {size_t{0}, size_t{1}, size_t{255}, size_t{256},
                             size_t{510}, size_t{511}}) {
    SCOPED_TRACE(count);
    Msrs msrs(std::vector<uint32_t>(count, kSysenterEsp));
    // The last one has a value of its own: all are written, in order.
    const uint64_t mark = 0x100 + count;
    msrs.Set({.index = kSysenterEip, .value = mark});
    const PreparedMsrs prepared(msrs);
    msrs.Set({.index = kSysenterEip, .value = 1});
    for (int round = 0; round < 2; ++round) {
      ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEip, .value = 7}));
      ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEsp, .value = 7}));
      ASSERT_OK(prepared.WriteTo(vcpu()));
      ASSERT_OK_AND_ASSIGN(const uint64_t eip, GetMsr(vcpu(), kSysenterEip));
      EXPECT_EQ(eip, mark);
      ASSERT_OK_AND_ASSIGN(const uint64_t esp, GetMsr(vcpu(), kSysenterEsp));
      EXPECT_EQ(esp, count == 0 ? 7u : 0u);
    }
  }
}

TEST_F(MsrsKvmTest, PreparedMsrsStopAtTheRefusedOne) {
  Msrs msrs(std::vector<uint32_t>(299, kSysenterEsp));
  msrs.Set({.index = kNoMsr, .value = 5});
  msrs.Set({.index = kSysenterEip, .value = 0x3333});
  ASSERT_OK(SetMsr(vcpu(), {.index = kSysenterEip, .value = 1}));
  EXPECT_THAT(PreparedMsrs(msrs).WriteTo(vcpu()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_SET_MSRS): MSR 0xdeadbeef value 0x5")));
  ASSERT_OK_AND_ASSIGN(const uint64_t eip, GetMsr(vcpu(), kSysenterEip));
  EXPECT_EQ(eip, 1u);
}

TEST_F(MsrsKvmTest, PreparedMsrsAgreeWithTheRegistersThatTheVcpuHolds) {
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs, vcpu().MutableSpecialRegisters());
  sregs->fs.base = 0x4000;
  Msrs msrs;
  msrs.Set({.index = kFsBase, .value = 0x8000});
  ASSERT_OK(PreparedMsrs(msrs).WriteTo(vcpu()));
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* read, vcpu().SpecialRegisters());
  EXPECT_EQ(read->fs.base, 0x8000u);
}

TEST_F(MsrsKvmTest, RefusedMsrAtTheEdgeOfACallIsFound) {
  for (const size_t position :
       {size_t{0}, size_t{254}, size_t{255}, size_t{256}, size_t{299}}) {
    SCOPED_TRACE(position);
    std::vector<uint32_t> indices(300, kSysenterEsp);
    indices[position] = kNoMsr;
    Msrs msrs(indices);
    ASSERT_OK_AND_ASSIGN(const std::vector<uint32_t> refused,
                         msrs.ReadFrom(vcpu(), OnRefusedMsr::kSkip));
    EXPECT_THAT(refused, ElementsAre(kNoMsr));
    EXPECT_EQ(msrs.size(), 299u);
    EXPECT_EQ(msrs.Find(kNoMsr), std::nullopt);
  }
}

}  // namespace
}  // namespace libvmm
