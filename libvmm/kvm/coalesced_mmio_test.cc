// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/coalesced_mmio.h"

#include <optional>
#include <type_traits>
#include <utility>
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
using ::testing::ElementsAre;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<CoalescedMmio>);
static_assert(!std::is_copy_constructible_v<CoalescedMmio::Zone>);

std::vector<CoalescedWrite> Drain(CoalescedMmio& coalesced) {
  std::vector<CoalescedWrite> writes;
  coalesced.Drain(
      [&](const CoalescedWrite& write) { writes.push_back(write); });
  return writes;
}

// KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO
TEST(CoalescedMmioTest, WritesWaitInTheRingUntilTheZoneEnds) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(
      RealModeGuest guest,
      RealModeGuest::Create({
          0xb8, 0x00, 0x10,                 // mov ax, 0x1000
          0x8e, 0xd8,                       // mov ds, ax
          0xc6, 0x06, 0x04, 0, 0x05,        // mov byte [4], 5
          0xc7, 0x06, 0x08, 0, 0x34, 0x12,  // mov word [8], 0x1234
          0xf4,                             // hlt
          0xc6, 0x06, 0x04, 0, 0x06,        // mov byte [4], 6
          0xf4,                             // hlt
      }));
  ASSERT_OK_AND_ASSIGN(CoalescedMmio coalesced,
                       CoalescedMmio::Create(guest.vm(), guest.vcpu()));
  {
    ASSERT_OK_AND_ASSIGN(
        CoalescedMmio::Zone zone,
        coalesced.AddZone(
            {.space = IoSpace::kMmio, .start = 0x10000, .size = 0x100}));
    ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
    ASSERT_EQ(exit.reason(), ExitReason::kHalt);
    const std::vector<CoalescedWrite> writes = Drain(coalesced);
    ASSERT_EQ(writes.size(), 2u);
    EXPECT_EQ(writes[0].space, IoSpace::kMmio);
    EXPECT_EQ(writes[0].address, 0x10004u);
    EXPECT_THAT(writes[0].bytes(), ElementsAre(std::byte{5}));
    EXPECT_EQ(writes[1].address, 0x10008u);
    EXPECT_THAT(writes[1].bytes(),
                ElementsAre(std::byte{0x34}, std::byte{0x12}));
    EXPECT_TRUE(Drain(coalesced).empty());
  }
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  EXPECT_EQ(exit.reason(), ExitReason::kMmio);
}

TEST(CoalescedMmioTest, PortWritesAreToldApart) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xb0, 0x41,  // mov al, 0x41
                                                0xe6, 0x70,  // out 0x70, al
                                                0xf4,        // hlt
                                            }));
  ASSERT_OK_AND_ASSIGN(CoalescedMmio coalesced,
                       CoalescedMmio::Create(guest.vm(), guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(
      CoalescedMmio::Zone zone,
      coalesced.AddZone({.space = IoSpace::kPio, .start = 0x70, .size = 2}));
  // The same numbers as memory are another zone.
  ASSERT_OK_AND_ASSIGN(
      CoalescedMmio::Zone memory,
      coalesced.AddZone({.space = IoSpace::kMmio, .start = 0x70, .size = 2}));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  const std::vector<CoalescedWrite> writes = Drain(coalesced);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].space, IoSpace::kPio);
  EXPECT_EQ(writes[0].address, 0x70u);
  EXPECT_THAT(writes[0].bytes(), ElementsAre(std::byte{0x41}));
}

// KVM would take the outer zone away with the inner one.
TEST(CoalescedMmioTest, OverlappingZonesAreRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(CoalescedMmio coalesced,
                       CoalescedMmio::Create(guest.vm(), guest.vcpu()));
  std::optional<CoalescedMmio::Zone> zone;
  {
    ASSERT_OK_AND_ASSIGN(CoalescedMmio::Zone made,
                         coalesced.AddZone({.start = 0x10000, .size = 0x1000}));
    zone.emplace(std::move(made));
  }
  EXPECT_THAT(coalesced.AddZone({.start = 0x10800, .size = 0x10}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("0x10800")));
  EXPECT_OK(coalesced.AddZone({.start = 0x11000, .size = 0x10}));
  zone.reset();
  EXPECT_OK(coalesced.AddZone({.start = 0x10800, .size = 0x10}));
}

TEST(CoalescedMmioTest, ZoneOutsideItsSpaceIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(CoalescedMmio coalesced,
                       CoalescedMmio::Create(guest.vm(), guest.vcpu()));
  const CoalescedMmio::ZoneOptions bad[] = {
      {.start = 0x10000, .size = 0},
      {.start = ~uint64_t{0}, .size = 2},
      {.space = IoSpace::kPio, .start = 0xffff, .size = 2},
      {.space = IoSpace::kPio, .start = 0x10000, .size = 1},
  };
  for (const CoalescedMmio::ZoneOptions& options : bad) {
    EXPECT_THAT(coalesced.AddZone(options),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << options.start;
  }
}

TEST(CoalescedMmioTest, ZoneOutlivesTheRing) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  std::optional<CoalescedMmio::Zone> zone;
  {
    ASSERT_OK_AND_ASSIGN(CoalescedMmio coalesced,
                         CoalescedMmio::Create(guest.vm(), guest.vcpu()));
    ASSERT_OK_AND_ASSIGN(CoalescedMmio::Zone made,
                         coalesced.AddZone({.start = 0x10000, .size = 0x1000}));
    zone.emplace(std::move(made));
  }
  EXPECT_EQ(zone->options().size, 0x1000u);
  zone.reset();
}

}  // namespace
}  // namespace libvmm
