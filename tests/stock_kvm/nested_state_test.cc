// SPDX-License-Identifier: Apache-2.0
// Saving and restoring the state of nested virtualization: what KVM refuses for
// which vCPU, and a state that comes back. (A KVM without it at all is the
// subject of //libvmm/kvm:nested_state_test.)
#include "libvmm/kvm/nested_state.h"

#include <cstring>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint32_t kSvmBit = 1 << 2;  // CPUID leaf 8000_0001h, ECX
constexpr uint32_t kVmxBit = 1 << 5;  // CPUID leaf 1, ECX
constexpr uint64_t kEferSvmEnable = 1 << 12;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class NestedStateRefusalTest : public ::testing::Test {
 protected:
  // `with_svm` leaves virtualization in the vCPU's CPUID.
  void Start(bool with_svm) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_, KernelGuest::Create({.edit_cpuid = [=](Cpuid& cpuid) {
          if (with_svm) return;
          cpuid.ClearBits({.function = 0x80000001}, CpuidRegister::kEcx,
                          kSvmBit);
          cpuid.ClearBits({.function = 1}, CpuidRegister::kEcx, kVmxBit);
        }}));
    LIBVMM_NEEDS_STOCK_KVM(guest_->kvm().features().has(Feature::kNestedState),
                           "no KVM_CAP_NESTED_STATE");
    ASSERT_OK_AND_ASSIGN(const Cpuid* const supported,
                         guest_->kvm().SupportedCpuid());
    const kvm_cpuid_entry2* const leaf =
        supported->Find({.function = 0x80000001});
    if (leaf == nullptr || (leaf->ecx & kSvmBit) == 0) {
      GTEST_SKIP() << "the states here are SVM's, and this host has none";
    }
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
  }

  // The state of a vCPU outside guest mode, as bytes to be changed.
  std::vector<std::byte> Bytes() {
    absl::StatusOr<NestedState> state = NestedState::Create(guest_->vm());
    EXPECT_OK(state);
    EXPECT_OK(state->ReadFrom(*vcpu_));
    return {state->bytes().begin(), state->bytes().end()};
  }

  absl::Status Write(std::span<const std::byte> bytes) {
    absl::StatusOr<NestedState> state = NestedState::FromBytes(bytes);
    if (!state.ok()) return state.status();
    return state->WriteTo(*vcpu_);
  }

  static kvm_nested_state Header(std::span<const std::byte> bytes) {
    kvm_nested_state header = {};
    std::memcpy(&header, bytes.data(), sizeof header);
    return header;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

// Puts one field of the header into `bytes`.
template <typename Change>
std::vector<std::byte> With(std::vector<std::byte> bytes, Change change) {
  kvm_nested_state header = {};
  std::memcpy(&header, bytes.data(), sizeof header);
  change(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

TEST_F(NestedStateRefusalTest, StateOutsideGuestModeComesBack) {
  Start(/*with_svm=*/true);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs,
                       vcpu_->MutableSpecialRegisters());
  sregs->efer |= kEferSvmEnable;
  ASSERT_OK(vcpu_->FlushRegisters());
  const std::vector<std::byte> state = Bytes();
  const kvm_nested_state header = Header(state);
  EXPECT_EQ(header.format, KVM_STATE_NESTED_FORMAT_SVM);
  EXPECT_EQ(header.size, sizeof header);
  EXPECT_EQ(header.flags, KVM_STATE_NESTED_GIF_SET);
  ASSERT_OK(Write(state));
  EXPECT_EQ(Bytes(), state);
  // The global interrupt flag is a state of its own.
  const std::vector<std::byte> cleared =
      With(state, [](kvm_nested_state& h) { h.flags = 0; });
  ASSERT_OK(Write(cleared));
  EXPECT_EQ(Header(Bytes()).flags, 0);
  ASSERT_OK(Write(state));
  EXPECT_EQ(Header(Bytes()).flags, KVM_STATE_NESTED_GIF_SET);
}

// Guest mode brings the inner guest's VMCB of 4 KiB with it.
TEST_F(NestedStateRefusalTest, GuestModeIsRefusedToAVcpuWithoutSvm) {
  Start(/*with_svm=*/false);
  if (IsSkipped() || HasFatalFailure()) return;
  std::vector<std::byte> state = Bytes();
  state.resize(sizeof(kvm_nested_state) + KVM_STATE_NESTED_SVM_VMCB_SIZE);
  EXPECT_THAT(Write(With(state,
                         [&](kvm_nested_state& h) {
                           h.size = static_cast<uint32_t>(state.size());
                           h.flags = KVM_STATE_NESTED_GUEST_MODE |
                                     KVM_STATE_NESTED_GIF_SET;
                           h.hdr.svm.vmcb_pa = KernelGuest::kData;
                         })),
              StatusIs(kInvalid, HasSubstr("KVM_SET_NESTED_STATE")));
}

TEST_F(NestedStateRefusalTest, GuestModeIsRefusedWithoutTheVmcb) {
  Start(/*with_svm=*/true);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs,
                       vcpu_->MutableSpecialRegisters());
  sregs->efer |= kEferSvmEnable;
  ASSERT_OK(vcpu_->FlushRegisters());
  const std::vector<std::byte> state = Bytes();
  EXPECT_THAT(Write(With(state,
                         [](kvm_nested_state& h) {
                           h.flags = KVM_STATE_NESTED_GUEST_MODE |
                                     KVM_STATE_NESTED_GIF_SET;
                           h.hdr.svm.vmcb_pa = KernelGuest::kData;
                         })),
              StatusIs(kInvalid, HasSubstr("KVM_SET_NESTED_STATE")));
  // The vCPU is as it was.
  EXPECT_EQ(Bytes(), state);
}

TEST_F(NestedStateRefusalTest, CorruptedHeaderIsRefused) {
  Start(/*with_svm=*/true);
  if (IsSkipped() || HasFatalFailure()) return;
  const std::vector<std::byte> state = Bytes();
  EXPECT_THAT(Write(With(state,
                         [](kvm_nested_state& h) {
                           h.format = KVM_STATE_NESTED_FORMAT_VMX;
                         })),
              StatusIs(kInvalid, HasSubstr("KVM_SET_NESTED_STATE")));
  EXPECT_THAT(Write(With(state, [](kvm_nested_state& h) { h.flags = 0xfe00; })),
              StatusIs(kInvalid, HasSubstr("KVM_SET_NESTED_STATE")));
  EXPECT_EQ(Bytes(), state);
}

TEST_F(NestedStateRefusalTest, SizeThatIsTooSmallNeverReachesTheKernel) {
  Start(/*with_svm=*/true);
  if (IsSkipped() || HasFatalFailure()) return;
  const std::vector<std::byte> state = Bytes();
  EXPECT_THAT(Write(With(state, [](kvm_nested_state& h) { h.size = 127; })),
              StatusIs(kInvalid, HasSubstr("kvm_nested_state")));
}

}  // namespace
}  // namespace libvmm
