// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/translate.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;

TEST(TranslateTest, WithoutPagingAddressesAreTheSame) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const std::optional<Gpa> gpa,
                       Translate(guest.vcpu(), Gva(0x1234)));
  EXPECT_EQ(gpa, Gpa(0x1234));
}

TEST(TranslateTest, FollowsPageTablesOfRegistersNotYetWritten) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  // Four-level tables at 0x2000, 0x3000 and 0x4000 that map the 2 MiB page at 4
  // MiB to gpa 0, and nothing else.
  const auto put = [&](size_t gpa, uint64_t entry) {
    std::memcpy(guest.memory() + gpa, &entry, sizeof(entry));
  };
  constexpr uint64_t kPresentWritable = 3;
  constexpr uint64_t kLarge = 0x80;
  put(0x2000, 0x3000 | kPresentWritable);
  put(0x3000, 0x4000 | kPresentWritable);
  put(0x4000 + 2 * 8, 0 | kPresentWritable | kLarge);
  ASSERT_OK_AND_ASSIGN(kvm_sregs * sregs,
                       guest.vcpu().MutableSpecialRegisters());
  sregs->cr0 = 0x80000011;  // PG, ET, PE
  sregs->cr3 = 0x2000;
  sregs->cr4 = 0x20;    // PAE
  sregs->efer = 0x500;  // LMA, LME
  sregs->cs.l = 1;
  sregs->cs.type = 11;
  sregs->cs.s = 1;
  sregs->cs.present = 1;

  ASSERT_OK_AND_ASSIGN(const std::optional<Gpa> mapped,
                       Translate(guest.vcpu(), Gva(0x401234)));
  EXPECT_EQ(mapped, Gpa(0x1234));
  ASSERT_OK_AND_ASSIGN(const std::optional<Gpa> unmapped,
                       Translate(guest.vcpu(), Gva(0x1234)));
  EXPECT_EQ(unmapped, std::nullopt);
}

}  // namespace
}  // namespace libvmm
