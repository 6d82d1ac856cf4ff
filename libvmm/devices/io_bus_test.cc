// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/io_bus.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/floating_bus.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kTop = std::numeric_limits<uint64_t>::max();

// Keeps every access it gets and reads as a constant.
class Recorder : public IoDevice {
 public:
  struct Access {
    bool write;
    uint64_t offset;
    size_t size;
    friend bool operator==(const Access&, const Access&) = default;
  };

  explicit Recorder(uint8_t value = 0, IoResult result = IoResult::kDone)
      : value_(value), result_(result) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    accesses.push_back({false, offset, data.size()});
    std::ranges::fill(data, std::byte{value_});
    return result_;
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    accesses.push_back({true, offset, data.size()});
    return result_;
  }

  std::vector<Access> accesses;

 private:
  const uint8_t value_;
  const IoResult result_;
};

// What a read of `size` bytes brings: the outcome and the first byte.
std::pair<IoOutcome, uint8_t> Read(IoCursor& cursor, uint64_t address,
                                   size_t size = 1) {
  std::vector<std::byte> data(size, std::byte{0x77});
  const IoOutcome outcome = cursor.Read(address, data);
  return {outcome, size == 0 ? 0 : static_cast<uint8_t>(data[0])};
}

constexpr std::pair<IoOutcome, uint8_t> Done(uint8_t value) {
  return {IoOutcome::kDone, value};
}
// Unclaimed, with `data` untouched.
constexpr std::pair<IoOutcome, uint8_t> kUnclaimed = {IoOutcome::kUnclaimed,
                                                      0x77};

class IoBusTest : public ::testing::TestWithParam<AddressSpace> {
 protected:
  IoBus bus_{GetParam()};
  IoCursor cursor_ = bus_.MakeCursor();
};

INSTANTIATE_TEST_SUITE_P(Spaces, IoBusTest,
                         ::testing::Values(AddressSpace::kPio,
                                           AddressSpace::kMmio),
                         [](const auto& space) {
                           return space.param == AddressSpace::kPio ? "Pio"
                                                                    : "Mmio";
                         });

TEST_P(IoBusTest, EmptyBusClaimsNothing) {
  EXPECT_EQ(Read(cursor_, 0), kUnclaimed);
  EXPECT_EQ(Read(cursor_, 0xffff), kUnclaimed);
  EXPECT_EQ(Read(cursor_, kTop), kUnclaimed);
  EXPECT_EQ(bus_.space(), GetParam());
}

TEST_P(IoBusTest, OffsetIsRelativeToTheRange) {
  Recorder device(0x42);
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x3f8, 8}, device));
  std::array<std::byte, 2> data{};
  EXPECT_EQ(cursor_.Write(0x3fa, data), IoOutcome::kDone);
  EXPECT_EQ(Read(cursor_, 0x3ff), Done(0x42));
  EXPECT_THAT(device.accesses, ElementsAre(Recorder::Access{true, 2, 2},
                                           Recorder::Access{false, 7, 1}));
}

TEST_P(IoBusTest, DeviceResultsAreOutcomes) {
  Recorder deferred(0, IoResult::kDeferred);
  Recorder stop(0, IoResult::kStop);
  ASSERT_OK_AND_ASSIGN(const IoRegistration first,
                       bus_.Register({0x10, 1}, deferred));
  ASSERT_OK_AND_ASSIGN(const IoRegistration second,
                       bus_.Register({0x11, 1}, stop));
  std::array<std::byte, 1> data{};
  for (int i = 0; i < 2; ++i) {  // By lookup, and as the last range hit.
    EXPECT_EQ(cursor_.Read(0x10, data), IoOutcome::kDeferred);
    EXPECT_EQ(cursor_.Write(0x10, data), IoOutcome::kDeferred);
    EXPECT_EQ(cursor_.Read(0x11, data), IoOutcome::kStop);
    EXPECT_EQ(cursor_.Write(0x11, data), IoOutcome::kStop);
  }
}

TEST_P(IoBusTest, OddSizesInsideTheRangeAreDeliveredWhole) {
  Recorder device;
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 16}, device));
  for (const size_t size : {1, 2, 3, 4, 5, 6, 7, 8, 9, 16}) {
    device.accesses.clear();
    EXPECT_EQ(Read(cursor_, 0x100, size), Done(0)) << size;
    EXPECT_THAT(device.accesses, ElementsAre(Recorder::Access{false, 0, size}));
  }
}

TEST_P(IoBusTest, AccessThatLeavesTheRangeIsUnclaimedAsAWhole) {
  Recorder low;
  Recorder high;
  ASSERT_OK_AND_ASSIGN(const IoRegistration first,
                       bus_.Register({0x100, 4}, low));
  ASSERT_OK_AND_ASSIGN(const IoRegistration second,
                       bus_.Register({0x104, 4}, high));
  EXPECT_EQ(Read(cursor_, 0x0ff, 2), kUnclaimed);  // Begins before the range.
  EXPECT_EQ(Read(cursor_, 0x103, 2), kUnclaimed);  // In two ranges.
  EXPECT_EQ(Read(cursor_, 0x107, 2), kUnclaimed);  // Ends behind the range.
  EXPECT_EQ(Read(cursor_, 0x100, 5), kUnclaimed);  // Wider than the range.
  EXPECT_EQ(Read(cursor_, 0x0ff, 16), kUnclaimed);
  EXPECT_THAT(low.accesses, IsEmpty());
  EXPECT_THAT(high.accesses, IsEmpty());
  // The same after the range was the last one hit.
  EXPECT_EQ(Read(cursor_, 0x103), Done(0));
  EXPECT_EQ(Read(cursor_, 0x103, 2), kUnclaimed);
  EXPECT_EQ(Read(cursor_, 0x0ff, 2), kUnclaimed);
  EXPECT_THAT(high.accesses, IsEmpty());
}

TEST_P(IoBusTest, EmptyAccessIsUnclaimedEvenWithDefault) {
  Recorder device;
  Recorder fallback;
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 4}, device));
  ASSERT_OK_AND_ASSIGN(const IoRegistration by_default,
                       bus_.RegisterDefault(fallback));
  EXPECT_EQ(Read(cursor_, 0x101), Done(0));
  for (const uint64_t address : {0xff, 0x100, 0x104, 0x105}) {
    EXPECT_EQ(cursor_.Read(address, {}), IoOutcome::kUnclaimed);
  }
  EXPECT_EQ(device.accesses.size(), 1u);
  EXPECT_THAT(fallback.accesses, IsEmpty());
}

TEST_P(IoBusTest, DefaultDeviceSeesTheAddress) {
  Recorder device;
  Recorder fallback(0x99);
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 4}, device));
  ASSERT_OK_AND_ASSIGN(IoRegistration by_default,
                       bus_.RegisterDefault(fallback));
  EXPECT_EQ(Read(cursor_, 0x103, 2), Done(0x99));
  EXPECT_EQ(Read(cursor_, 0xffff, 2), Done(0x99));
  EXPECT_EQ(Read(cursor_, kTop, 2), Done(0x99));
  EXPECT_EQ(Read(cursor_, 0x100), Done(0));
  EXPECT_THAT(fallback.accesses, ElementsAre(Recorder::Access{false, 0x103, 2},
                                             Recorder::Access{false, 0xffff, 2},
                                             Recorder::Access{false, kTop, 2}));
  by_default.Unregister();
  EXPECT_EQ(Read(cursor_, 0x103, 2), kUnclaimed);
}

TEST_P(IoBusTest, SecondDefaultDeviceIsRefused) {
  FloatingBus floating;
  {
    ASSERT_OK_AND_ASSIGN(const IoRegistration first,
                         bus_.RegisterDefault(floating));
    EXPECT_THAT(bus_.RegisterDefault(floating),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr("RegisterDefault")));
  }
  EXPECT_THAT(bus_.RegisterDefault(floating), IsOk());
}

TEST_P(IoBusTest, OverlapIsRefusedAndNamesBothRanges) {
  FloatingBus floating;
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 0x10}, floating));
  const IoRange overlapping[] = {{0x100, 0x10}, {0xff, 2},     {0x10f, 1},
                                 {0x108, 2},    {0x80, 0x100}, {0, 0x101}};
  for (const IoRange& range : overlapping) {
    EXPECT_THAT(bus_.Register(range, floating),
                StatusIs(absl::StatusCode::kAlreadyExists))
        << range.base;
  }
  EXPECT_THAT(bus_.Register({0xff, 2}, floating),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("{base 0xff, size 0x2}"),
                             HasSubstr("{base 0x100, size 0x10}"))));
  EXPECT_THAT(bus_.Register({0xff, 1}, floating), IsOk());
  EXPECT_THAT(bus_.Register({0x110, 1}, floating), IsOk());
}

TEST_P(IoBusTest, RangesThatCannotBeAreRefused) {
  FloatingBus floating;
  EXPECT_THAT(bus_.Register({0x100, 0}, floating),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("{base 0x100, size 0x0} is empty")));
  EXPECT_THAT(bus_.Register({2, kTop}, floating),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(bus_.Register({kTop, 2}, floating),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(IoBusTest, RegistrationEndsWithItsObject) {
  Recorder device;
  {
    ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                         bus_.Register({0x100, 4}, device));
    EXPECT_TRUE(registration.registered());
    EXPECT_EQ(Read(cursor_, 0x100), Done(0));
  }
  EXPECT_EQ(Read(cursor_, 0x100), kUnclaimed);
  EXPECT_EQ(device.accesses.size(), 1u);
}

TEST_P(IoBusTest, RegistrationMoves) {
  Recorder first(1);
  Recorder second(2);
  IoRegistration kept;
  EXPECT_FALSE(kept.registered());
  kept.Unregister();
  {
    ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                         bus_.Register({0x100, 4}, first));
    kept = std::move(registration);
  }
  EXPECT_EQ(Read(cursor_, 0x100), Done(1));
  ASSERT_OK_AND_ASSIGN(IoRegistration other, bus_.Register({0x200, 4}, second));
  kept = std::move(other);
  EXPECT_EQ(Read(cursor_, 0x100), kUnclaimed);
  EXPECT_EQ(Read(cursor_, 0x200), Done(2));
  kept.Unregister();
  EXPECT_FALSE(kept.registered());
  EXPECT_EQ(Read(cursor_, 0x200), kUnclaimed);
}

TEST_P(IoBusTest, LastHitDoesNotOutliveAReplacedRange) {
  Recorder first(1);
  Recorder second(2);
  Recorder fallback(3);
  ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                       bus_.Register({0x100, 4}, first));
  ASSERT_OK_AND_ASSIGN(const IoRegistration by_default,
                       bus_.RegisterDefault(fallback));
  EXPECT_EQ(Read(cursor_, 0x100), Done(1));
  registration.Unregister();
  // A miss on the new table must not make the old hit good again.
  EXPECT_EQ(Read(cursor_, 0x200), Done(3));
  EXPECT_EQ(Read(cursor_, 0x100), Done(3));
  ASSERT_OK_AND_ASSIGN(registration, bus_.Register({0x100, 4}, second));
  EXPECT_EQ(Read(cursor_, 0x100), Done(2));
}

TEST_P(IoBusTest, OneDeviceAtSeveralRanges) {
  Recorder device;
  ASSERT_OK_AND_ASSIGN(IoRegistration low, bus_.Register({0x100, 4}, device));
  ASSERT_OK_AND_ASSIGN(const IoRegistration high,
                       bus_.Register({0x200, 4}, device));
  EXPECT_EQ(Read(cursor_, 0x101), Done(0));
  EXPECT_EQ(Read(cursor_, 0x202), Done(0));
  low.Unregister();
  EXPECT_EQ(Read(cursor_, 0x101), kUnclaimed);
  EXPECT_EQ(Read(cursor_, 0x203), Done(0));
}

TEST_P(IoBusTest, BusMayDieBeforeRegistrationsAndCursors) {
  Recorder device(5);
  auto bus = std::make_unique<IoBus>(GetParam());
  ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                       bus->Register({0x100, 4}, device));
  IoCursor cursor = bus->MakeCursor();
  bus.reset();
  EXPECT_EQ(Read(cursor, 0x100), Done(5));
  registration.Unregister();
  EXPECT_EQ(Read(cursor, 0x100), kUnclaimed);
}

TEST_P(IoBusTest, CursorsMoveAndAreReplaced) {
  Recorder device(5);
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 4}, device));
  IoCursor moved = std::move(cursor_);
  EXPECT_EQ(Read(moved, 0x100), Done(5));
  moved = bus_.MakeCursor();
  EXPECT_EQ(Read(moved, 0x100), Done(5));
  // The place of a cursor that is gone, with the range it hit last, is used
  // again.
  { const IoCursor gone = std::move(moved); }
  IoBus other(GetParam());
  cursor_ = bus_.MakeCursor();
  EXPECT_EQ(Read(cursor_, 0x101), Done(5));
  cursor_ = other.MakeCursor();
  EXPECT_EQ(Read(cursor_, 0x100), kUnclaimed);
}

TEST_P(IoBusTest, DeviceMayUnregisterItselfInItsCallback) {
  std::optional<IoRegistration> registration;
  int calls = 0;
  const std::unique_ptr<IoDevice> device =
      MakeIoDevice([&](uint64_t, std::span<std::byte> data) {
        ++calls;
        registration.reset();
        data[0] = std::byte{8};
      });
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK_AND_ASSIGN(registration, bus_.Register({0x100, 4}, *device));
    EXPECT_EQ(Read(cursor_, 0x100), Done(8));
    EXPECT_EQ(Read(cursor_, 0x100), kUnclaimed);
  }
  EXPECT_EQ(calls, 2);
}

TEST_P(IoBusTest, CallbackMayRegisterAndUnregisterOthers) {
  Recorder other(1);
  std::optional<IoRegistration> others;
  ASSERT_OK_AND_ASSIGN(others, bus_.Register({0x200, 4}, other));
  const std::unique_ptr<IoDevice> device =
      MakeIoDevice(nullptr, [&](uint64_t, std::span<const std::byte>) {
        if (others.has_value()) {
          others.reset();
        } else {
          ASSERT_OK_AND_ASSIGN(others, bus_.Register({0x300, 4}, other));
        }
      });
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus_.Register({0x100, 4}, *device));
  std::array<std::byte, 1> data{};
  EXPECT_EQ(Read(cursor_, 0x200), Done(1));
  EXPECT_EQ(cursor_.Write(0x100, data), IoOutcome::kDone);
  EXPECT_EQ(Read(cursor_, 0x200), kUnclaimed);
  EXPECT_EQ(cursor_.Write(0x100, data), IoOutcome::kDone);
  EXPECT_EQ(Read(cursor_, 0x300), Done(1));
}

TEST_P(IoBusTest, CallbackMayDispatchAgainOnTheSameCursor) {
  Recorder inner(6);
  std::optional<IoRegistration> outer_registration;
  const std::unique_ptr<IoDevice> outer =
      MakeIoDevice([&](uint64_t offset, std::span<std::byte> data) {
        EXPECT_EQ(cursor_.Read(0x200, data), IoOutcome::kDone);
        EXPECT_EQ(cursor_.Read(0x200, data), IoOutcome::kDone);
        EXPECT_EQ(Read(cursor_, 0x400), kUnclaimed);
        if (offset == 1) outer_registration.reset();
      });
  ASSERT_OK_AND_ASSIGN(const IoRegistration inner_registration,
                       bus_.Register({0x200, 4}, inner));
  ASSERT_OK_AND_ASSIGN(outer_registration, bus_.Register({0x100, 4}, *outer));
  EXPECT_EQ(Read(cursor_, 0x100), Done(6));
  EXPECT_EQ(Read(cursor_, 0x100), Done(6));
  EXPECT_EQ(Read(cursor_, 0x101), Done(6));
  EXPECT_EQ(Read(cursor_, 0x100), kUnclaimed);
  EXPECT_EQ(inner.accesses.size(), 6u);
}

TEST(IoBusPioTest, LastPortIsFfff) {
  IoBus bus(AddressSpace::kPio);
  IoCursor cursor = bus.MakeCursor();
  Recorder device(3);
  EXPECT_THAT(bus.Register({0xffff, 2}, device),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("{base 0xffff, size 0x2}"),
                             HasSubstr("0xffff"))));
  EXPECT_THAT(bus.Register({0x10000, 1}, device),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus.Register({0xfff0, 16}, device));
  EXPECT_EQ(Read(cursor, 0xffff), Done(3));
  EXPECT_EQ(Read(cursor, 0xfffe, 2), Done(3));
  EXPECT_EQ(Read(cursor, 0xffff, 2), kUnclaimed);
  EXPECT_EQ(Read(cursor, 0x1fff0), kUnclaimed);
}

TEST(IoBusPioTest, OneDeviceMayHaveAllPorts) {
  IoBus bus(AddressSpace::kPio);
  IoCursor cursor = bus.MakeCursor();
  Recorder device(3);
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus.Register({0, 0x10000}, device));
  EXPECT_EQ(Read(cursor, 0), Done(3));
  EXPECT_EQ(Read(cursor, 0xfffc, 4), Done(3));
}

TEST(IoBusPioTest, EveryPortMayHaveItsOwnRegistration) {
  IoBus bus(AddressSpace::kPio);
  IoCursor cursor = bus.MakeCursor();
  Recorder device;
  std::vector<IoRegistration> registrations;
  // One block of the index full and its neighbours' edges.
  for (uint64_t port = 0x2ff; port <= 0x400; ++port) {
    ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                         bus.Register({port, 1}, device));
    registrations.push_back(std::move(registration));
  }
  EXPECT_EQ(Read(cursor, 0x2fe), kUnclaimed);
  for (uint64_t port = 0x2ff; port <= 0x400; ++port) {
    EXPECT_EQ(Read(cursor, port), Done(0)) << port;
  }
  EXPECT_EQ(Read(cursor, 0x401), kUnclaimed);
  EXPECT_EQ(Read(cursor, 0x300, 2), kUnclaimed);
}

TEST(IoBusMmioTest, RangeMayReachTheLastAddress) {
  IoBus bus(AddressSpace::kMmio);
  IoCursor cursor = bus.MakeCursor();
  Recorder low(1);
  Recorder high(2);
  ASSERT_OK_AND_ASSIGN(const IoRegistration first, bus.Register({0, 1}, low));
  ASSERT_OK_AND_ASSIGN(const IoRegistration second,
                       bus.Register({kTop - 7, 8}, high));
  EXPECT_EQ(Read(cursor, kTop - 7, 8), Done(2));
  EXPECT_EQ(Read(cursor, kTop), Done(2));
  EXPECT_EQ(Read(cursor, kTop, 2), kUnclaimed);
  EXPECT_EQ(Read(cursor, 0), Done(1));
  EXPECT_EQ(Read(cursor, kTop / 2), kUnclaimed);
}

TEST(IoBusMmioTest, OneRangeMayHaveAlmostAllAddresses) {
  IoBus bus(AddressSpace::kMmio);
  IoCursor cursor = bus.MakeCursor();
  Recorder device(1);
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus.Register({1, kTop}, device));
  EXPECT_EQ(Read(cursor, 0), kUnclaimed);
  EXPECT_EQ(Read(cursor, 1), Done(1));
  EXPECT_EQ(Read(cursor, kTop), Done(1));
  EXPECT_EQ(Read(cursor, kTop, 2), kUnclaimed);
}

}  // namespace
}  // namespace libvmm
