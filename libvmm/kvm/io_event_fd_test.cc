// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/io_event_fd.h"

#include <optional>
#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<IoEventFd>);

TEST(IoEventFdTest, OptionsThatCannotBeAreInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  const IoEventFd::Options bad[] = {
      {.space = IoSpace::kMmio, .address = 0x1000, .size = 3},
      {.space = IoSpace::kMmio, .address = 0x1000, .size = 16},
      {.space = IoSpace::kPio, .address = 0x70, .size = 8},
      {.space = IoSpace::kPio, .address = 0x10000, .size = 1},
      {.space = IoSpace::kPio, .address = 0x10000, .size = 0},
      {.space = IoSpace::kPio, .address = 0xffff, .size = 2},
      {.space = IoSpace::kMmio, .address = ~uint64_t{0}, .size = 2},
      {.space = IoSpace::kMmio, .address = 0x1000, .size = 0, .data_match = 1},
      {.space = IoSpace::kMmio,
       .address = 0x1000,
       .size = 2,
       .data_match = 0x10000},
  };
  for (const IoEventFd::Options& options : bad) {
    EXPECT_THAT(IoEventFd::Create(test.vm(), event, options),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << options.address << " " << options.size;
  }
}

TEST(IoEventFdTest, LastAddressesAreAccepted) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  EXPECT_OK(IoEventFd::Create(
      test.vm(), event,
      {.space = IoSpace::kPio, .address = 0xffff, .size = 1}));
  EXPECT_OK(IoEventFd::Create(test.vm(), event,
                              {.space = IoSpace::kMmio,
                               .address = 0x1000,
                               .size = 8,
                               .data_match = ~uint64_t{0}}));
}

TEST(IoEventFdTest, SameDoorbellTwiceIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  const IoEventFd::Options options = {.address = 0xd0000000, .size = 4};
  {
    ASSERT_OK_AND_ASSIGN(IoEventFd bell,
                         IoEventFd::Create(test.vm(), event, options));
    EXPECT_THAT(IoEventFd::Create(test.vm(), event, options),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr("KVM_IOEVENTFD, address 0xd0000000")));
  }
  EXPECT_OK(IoEventFd::Create(test.vm(), event, options));
}

// The first OUT finds the doorbell and makes no exit; the second, after its
// end, does.
TEST(IoEventFdTest, PortWriteSignalsUntilTheEnd) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6, 0x70,  // out 0x70, al
                                                0xf4,        // hlt
                                                0xe6, 0x70,  // out 0x70, al
                                                0xf4,        // hlt
                                            }));
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  {
    // Another descriptor of the counter, closed as soon as it is bound.
    absl::StatusOr<EventFd> lent = event.Duplicate();
    ASSERT_OK(lent);
    ASSERT_OK_AND_ASSIGN(
        IoEventFd bell,
        IoEventFd::Create(
            guest.vm(), *lent,
            {.space = IoSpace::kPio, .address = 0x70, .size = 1}));
    lent = absl::UnknownError("closed");
    ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
    ASSERT_EQ(exit.reason(), ExitReason::kHalt);
    EXPECT_EQ(event.Drain(), 1u);
  }
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  EXPECT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(event.Drain(), 0u);
}

TEST(IoEventFdTest, OtherValuesThanDataMatchExit) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xb8, 0x00, 0x10,              // mov ax, 0x1000
                           0x8e, 0xd8,                    // mov ds, ax
                           0xc7, 0x06, 0x10, 0, 0x05, 0,  // mov word [0x10], 5
                           0xc7, 0x06, 0x10, 0, 0x06, 0,  // mov word [0x10], 6
                           0xf4,                          // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  ASSERT_OK_AND_ASSIGN(IoEventFd bell,
                       IoEventFd::Create(guest.vm(), event,
                                         {.space = IoSpace::kMmio,
                                          .address = 0x10010,
                                          .size = 2,
                                          .data_match = 5}));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kMmio);
  EXPECT_EQ(exit.mmio().gpa, Gpa(0x10010));
  EXPECT_EQ(exit.mmio().data[0], std::byte{6});
  EXPECT_EQ(event.Drain(), 1u);
}

TEST(IoEventFdTest, SizeZeroTakesAnyWidth) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xb8, 0x00, 0x10,              // mov ax, 0x1000
                           0x8e, 0xd8,                    // mov ds, ax
                           0xc6, 0x06, 0x10, 0, 0x05,     // mov byte [0x10], 5
                           0xc7, 0x06, 0x10, 0, 0x06, 0,  // mov word [0x10], 6
                           0xe7, 0x70,                    // out 0x70, ax
                           0xe6, 0x70,                    // out 0x70, al
                           0xf4,                          // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(EventFd memory, EventFd::Create());
  ASSERT_OK_AND_ASSIGN(EventFd port, EventFd::Create());
  ASSERT_OK_AND_ASSIGN(
      IoEventFd memory_bell,
      IoEventFd::Create(
          guest.vm(), memory,
          {.space = IoSpace::kMmio, .address = 0x10010, .size = 0}));
  ASSERT_OK_AND_ASSIGN(
      IoEventFd port_bell,
      IoEventFd::Create(guest.vm(), port,
                        {.space = IoSpace::kPio, .address = 0x70, .size = 0}));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  EXPECT_EQ(memory.Drain(), 2u);
  EXPECT_EQ(port.Drain(), 2u);
}

TEST(IoEventFdTest, OutlivesItsVm) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  std::optional<IoEventFd> bell;
  {
    ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
    ASSERT_OK_AND_ASSIGN(
        IoEventFd made,
        IoEventFd::Create(test.vm(), event, {.address = 0x1000, .size = 4}));
    bell.emplace(std::move(made));
  }
  EXPECT_EQ(bell->options().address, 0x1000u);
  bell.reset();
}

}  // namespace
}  // namespace libvmm
