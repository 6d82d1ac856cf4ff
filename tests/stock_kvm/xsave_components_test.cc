// SPDX-License-Identifier: Apache-2.0
// Every component that XCR0 can name here, in the XSAVE image of KVM_GET_XSAVE2
// at the offset that CPUID leaf 0xD gives: what the guest wrote is there, and
// what the host writes the guest sees (Intel SDM volume 1, chapter 13).
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;

// The guest's own XSAVE areas, 64-byte aligned.
constexpr uint64_t kGiven = 0x50000;  // loaded by XRSTOR
constexpr uint64_t kTaken = 0x58000;  // stored by XSAVE
constexpr size_t kAreaSize = 0x4000;
constexpr size_t kXstateBv = 512;
constexpr uint64_t kCr4OsXsave = 1 << 18;

// At CPL 3, where every KVM runs these on the processor: loads all components
// from 0x50000, reports, stores all to 0x58000, reports.
LIBVMM_GUEST_CODE(kLoadAndStore, 64, R"(
  mov $0x50000, %ebx
  mov $0x58000, %ecx
  mov $-1, %eax
  mov $-1, %edx
  xrstor64 (%rbx)
  out %al, $0xf4
  mov $-1, %eax
  mov $-1, %edx
  xsave64 (%rcx)
  out %al, $0xf4
)");

struct Component {
  unsigned number;
  size_t offset;
  size_t size;
};

class XsaveComponentsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, kLoadAndStore);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_, {.privilege = Privilege::kUser}));
    ASSERT_OK_AND_ASSIGN(const Cpuid* const cpuid,
                         guest_->kvm().SupportedCpuid());
    const kvm_cpuid_entry2* const leaf = cpuid->Find({0xd, 0});
    if (leaf == nullptr || leaf->eax == 0) {
      GTEST_SKIP() << "this processor has no XSAVE";
    }
    xcr0_ = leaf->eax | uint64_t{leaf->edx} << 32;
    for (unsigned number = 2; number < 63; ++number) {
      if ((xcr0_ >> number & 1) == 0) continue;
      const kvm_cpuid_entry2* const sub = cpuid->Find({0xd, number});
      ASSERT_NE(sub, nullptr) << number;
      components_.push_back({number, sub->ebx, sub->eax});
      ASSERT_LE(sub->ebx + sub->eax, kAreaSize);
    }
    ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs,
                         vcpu_->MutableSpecialRegisters());
    sregs->cr4 |= kCr4OsXsave;
    ASSERT_OK(vcpu_->FlushRegisters());
    kvm_xcrs xcrs = {};
    xcrs.nr_xcrs = 1;
    xcrs.xcrs[0].xcr = 0;
    xcrs.xcrs[0].value = xcr0_;
    ASSERT_OK(SetVcpuState(*vcpu_, xcrs));
  }

  // An image in which every component holds bytes that depend on `seed`: legacy
  // registers, and the rest as wholes, with what may not be any value kept
  // legal.
  std::vector<std::byte> Image(uint8_t seed) const {
    std::vector<std::byte> image(kAreaSize);
    const auto fill = [&](size_t offset, size_t size, unsigned number) {
      for (size_t i = 0; i < size; ++i) {
        image[offset + i] = static_cast<std::byte>(seed + 31 * number + 7 * i);
      }
    };
    const uint16_t fcw = 0x37f;
    const uint32_t mxcsr = 0x1f80;
    std::memcpy(&image[0], &fcw, sizeof fcw);
    std::memcpy(&image[24], &mxcsr, sizeof mxcsr);
    for (size_t i = 0; i < 8; ++i) fill(32 + 16 * i, 10, 0);  // ST0 to ST7
    fill(160, 256, 1);                                        // XMM0 to XMM15
    for (const Component& component : components_) {
      fill(component.offset, component.size, component.number);
      if (component.number == 3) {  // bounds: 4 registers of any value
        continue;
      }
      if (component.number == 4 || component.number == 17) {
        // BNDCSR and TILECFG have reserved bits.
        std::memset(&image[component.offset], 0, component.size);
      }
      if (component.number == 9) {  // PKRU has 32 bits; zero opens all pages
        std::memset(&image[component.offset], 0, component.size);
        image[component.offset + 3] = static_cast<std::byte>(seed);
      }
    }
    std::memcpy(&image[kXstateBv], &xcr0_, sizeof xcr0_);
    return image;
  }

  // `image` has what Image(seed) has, component by component.
  void ExpectImage(std::span<const std::byte> image, uint8_t seed) const {
    const std::vector<std::byte> expected = Image(seed);
    const auto same = [&](size_t offset, size_t size) {
      return offset + size <= image.size() &&
             std::memcmp(&image[offset], &expected[offset], size) == 0;
    };
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_TRUE(same(32 + 16 * i, 10)) << "ST" << i;
    }
    EXPECT_TRUE(same(0, 2)) << "FCW";
    EXPECT_TRUE(same(24, 4)) << "MXCSR";
    for (size_t i = 0; i < 16; ++i) {
      EXPECT_TRUE(same(160 + 16 * i, 16)) << "XMM" << i;
    }
    for (const Component& component : components_) {
      EXPECT_TRUE(same(component.offset, component.size))
          << "component " << component.number;
    }
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
  uint64_t xcr0_ = 0;
  std::vector<Component> components_;
};

TEST_F(XsaveComponentsTest, GuestsValuesAreReadAndTheHostsAreSeen) {
  ASSERT_TRUE(guest_->memory().Write(Gpa(kGiven), Image(0x11)));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest_->vm()));
  ASSERT_OK(state.ReadFrom(*vcpu_));
  ExpectImage(state.bytes(), 0x11);
  RecordProperty("xcr0", std::to_string(xcr0_));

  const std::vector<std::byte> other = Image(0x77);
  ASSERT_GE(other.size(), state.bytes().size());
  std::memcpy(state.bytes().data(), other.data(), state.bytes().size());
  ASSERT_OK(state.WriteTo(*vcpu_));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  std::vector<std::byte> taken(kAreaSize);
  ASSERT_TRUE(guest_->memory().Read(Gpa(kTaken), taken));
  ExpectImage(taken, 0x77);
}

}  // namespace
}  // namespace libvmm
