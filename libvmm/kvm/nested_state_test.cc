// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/nested_state.h"

#include <cstring>
#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<NestedState>);

std::vector<std::byte> Image(uint32_t size_field, size_t size) {
  kvm_nested_state header = {};
  header.size = size_field;
  std::vector<std::byte> bytes(size);
  std::memcpy(bytes.data(), &header, std::min(size, sizeof(header)));
  return bytes;
}

TEST(NestedStateTest, BytesOfAnEarlierStateAreKept) {
  const std::vector<std::byte> image = Image(200, 200);
  ASSERT_OK_AND_ASSIGN(const NestedState state, NestedState::FromBytes(image));
  EXPECT_EQ(state.get()->size, 200u);
  EXPECT_TRUE(std::equal(image.begin(), image.end(), state.bytes().begin(),
                         state.bytes().end()));
}

TEST(NestedStateTest, BytesThatCannotBeAStateAreRefused) {
  EXPECT_THAT(NestedState::FromBytes({}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("shorter than its header")));
  EXPECT_THAT(NestedState::FromBytes(Image(127, 127)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("shorter than its header")));
  EXPECT_THAT(NestedState::FromBytes(Image(4096, 128)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("kvm_nested_state.size 4096")));
}

TEST(NestedStateTest, ComesBackOrNamesItsCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  absl::StatusOr<NestedState> state = NestedState::Create(guest.vm());
  if (guest.vm().CheckExtension(KVM_CAP_NESTED_STATE) == 0) {
    const auto missing = StatusIs(absl::StatusCode::kUnimplemented,
                                  HasSubstr("KVM_CAP_NESTED_STATE"));
    EXPECT_THAT(state, missing);
    ASSERT_OK_AND_ASSIGN(NestedState given,
                         NestedState::FromBytes(Image(128, 128)));
    EXPECT_THAT(given.WriteTo(guest.vcpu()), missing);
    EXPECT_THAT(given.ReadFrom(guest.vcpu()), missing);
    EXPECT_EQ(given.bytes().size(), 128u);
    return;
  }
  ASSERT_OK(state);
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  ASSERT_OK(state->ReadFrom(guest.vcpu()));
  EXPECT_GE(state->bytes().size(), 128u);
  EXPECT_OK(state->WriteTo(guest.vcpu()));
  std::vector<std::byte> broken(state->bytes().begin(), state->bytes().end());
  broken[0] = std::byte{0xff};  // unknown flags
  broken[1] = std::byte{0xff};
  ASSERT_OK_AND_ASSIGN(NestedState refused, NestedState::FromBytes(broken));
  EXPECT_THAT(refused.WriteTo(guest.vcpu()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_SET_NESTED_STATE")));
}

}  // namespace
}  // namespace libvmm
