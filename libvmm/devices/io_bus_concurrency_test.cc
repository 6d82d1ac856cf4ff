// SPDX-License-Identifier: Apache-2.0
// Dispatch on several threads while others register, remove and destroy
// devices. Meant to run under ThreadSanitizer and AddressSanitizer too, which
// see a call into a device that is gone.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;

// Blocks a thread until another says go on.
class Gate {
 public:
  void Open() {
    open_.store(true);
    open_.notify_all();
  }
  void Wait() const { open_.wait(false); }

 private:
  std::atomic<bool> open_{false};
};

// A device that knows whether it is still there.
class Mortal final : public IoDevice {
 public:
  explicit Mortal(uint64_t base) : base_(base) {}
  ~Mortal() override { alive_.store(kDead, std::memory_order_relaxed); }

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    // Plain memory of the device: a call after destruction is a data race or a
    // use after free to the sanitizers, and mostly a wrong value without them.
    if (alive_.load(std::memory_order_relaxed) != kAlive)
      return IoResult::kStop;
    // Some calls take long enough for a removal to come in between.
    if (offset == 3) std::this_thread::yield();
    if (alive_.load(std::memory_order_relaxed) != kAlive)
      return IoResult::kStop;
    data[0] = static_cast<std::byte>(base_ + offset);
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte>) override {
    return alive_.load(std::memory_order_relaxed) == kAlive ? IoResult::kDone
                                                            : IoResult::kStop;
  }

 private:
  static constexpr uint32_t kAlive = 0x600df00d;
  static constexpr uint32_t kDead = 0xdeadbeef;
  std::atomic<uint32_t> alive_{kAlive};
  const uint64_t base_;
};

class IoBusConcurrencyTest : public ::testing::TestWithParam<AddressSpace> {};

INSTANTIATE_TEST_SUITE_P(Spaces, IoBusConcurrencyTest,
                         ::testing::Values(AddressSpace::kPio,
                                           AddressSpace::kMmio));

TEST_P(IoBusConcurrencyTest, NoAccessReachesADestroyedDevice) {
  constexpr int kReaders = 3;
  constexpr int kWriters = 2;
  constexpr uint64_t kPlaces = 8;  // For each writer.
  constexpr int kRounds = 500;
  IoBus bus(GetParam());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> misses{0};
  std::atomic<uint64_t> wrong{0};
  // The writers may be done before a reader is scheduled at all.
  std::latch reading(kReaders);

  std::vector<std::thread> readers;
  for (int r = 0; r < kReaders; ++r) {
    readers.emplace_back([&, r] {
      std::optional<IoCursor> cursor(bus.MakeCursor());
      std::mt19937 random(static_cast<unsigned>(r));
      uint64_t address = 0;
      for (uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        // Runs of the same address, so that the last hit is used, too.
        if (i % 4 == 0) address = random() % (kWriters * kPlaces * 4);
        if (i % 1024 == 0) cursor.emplace(bus.MakeCursor());
        std::array<std::byte, 1> data{};
        switch (cursor->Read(address, data)) {
          case IoOutcome::kDone:
            hits.fetch_add(1, std::memory_order_relaxed);
            if (data[0] != static_cast<std::byte>(address)) wrong.fetch_add(1);
            break;
          case IoOutcome::kUnclaimed:
            misses.fetch_add(1, std::memory_order_relaxed);
            break;
          default:
            wrong.fetch_add(1);
        }
        if (i == 0) reading.count_down();
      }
    });
  }
  reading.wait();
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      struct Plugged {
        std::unique_ptr<Mortal> device;
        IoRegistration registration;  // Dies before the device.
      };
      std::array<std::optional<Plugged>, kPlaces> places;
      std::mt19937 random(static_cast<unsigned>(100 + w));
      for (int round = 0; round < kRounds; ++round) {
        const uint64_t place = random() % kPlaces;
        if (places[place].has_value()) {
          places[place].reset();
          continue;
        }
        const uint64_t base = (static_cast<uint64_t>(w) * kPlaces + place) * 4;
        auto device = std::make_unique<Mortal>(base);
        absl::StatusOr<IoRegistration> registration =
            bus.Register({.base = base, .size = 4}, *device);
        ASSERT_THAT(registration, IsOk());
        places[place] = {std::move(device), *std::move(registration)};
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(hits.load() + misses.load(), 0u);
}

TEST_P(IoBusConcurrencyTest, RemovalWaitsForTheCallInFlight) {
  IoBus bus(GetParam());
  Gate entered;
  Gate leave;
  std::atomic<bool> left{false};
  const std::unique_ptr<IoDevice> device =
      MakeIoDevice([&](uint64_t, std::span<std::byte>) {
        entered.Open();
        leave.Wait();
        left.store(true);
      });
  ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                       bus.Register({0x10, 4}, *device));
  std::thread vcpu([&] {
    IoCursor cursor = bus.MakeCursor();
    std::array<std::byte, 1> data{};
    EXPECT_EQ(cursor.Read(0x10, data), IoOutcome::kDone);
  });
  entered.Wait();
  Gate removed;
  std::thread remover([&] {
    registration.Unregister();
    EXPECT_TRUE(left.load());
    removed.Open();
  });
  // The range is free as soon as the removal is published, which is before it
  // waits: the new device is there while the old one is still being called.
  IoCursor cursor = bus.MakeCursor();
  std::array<std::byte, 1> data{};
  const std::unique_ptr<IoDevice> next = MakeIoDevice(
      [](uint64_t, std::span<std::byte> bytes) { bytes[0] = std::byte{9}; });
  absl::StatusOr<IoRegistration> second = bus.Register({0x10, 4}, *next);
  while (!second.ok()) {
    std::this_thread::yield();
    second = bus.Register({0x10, 4}, *next);
  }
  EXPECT_EQ(cursor.Read(0x10, data), IoOutcome::kDone);
  EXPECT_EQ(data[0], std::byte{9});
  EXPECT_FALSE(left.load());
  leave.Open();
  removed.Wait();
  remover.join();
  vcpu.join();
}

TEST_P(IoBusConcurrencyTest, RegistrationDoesNotWaitForACallInFlight) {
  IoBus bus(GetParam());
  Gate entered;
  Gate leave;
  const std::unique_ptr<IoDevice> slow =
      MakeIoDevice([&](uint64_t, std::span<std::byte>) {
        entered.Open();
        leave.Wait();
      });
  const std::unique_ptr<IoDevice> other =
      MakeIoDevice(nullptr, [](uint64_t, std::span<const std::byte>) {});
  ASSERT_OK_AND_ASSIGN(const IoRegistration registration,
                       bus.Register({0x10, 4}, *slow));
  std::thread vcpu([&] {
    IoCursor cursor = bus.MakeCursor();
    std::array<std::byte, 1> data{};
    EXPECT_EQ(cursor.Read(0x10, data), IoOutcome::kDone);
  });
  entered.Wait();
  // Returns although the call stands; so does removing another device.
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(bus.Register({0x20, 4}, *other), IsOk());
  }
  leave.Open();
  vcpu.join();
}

TEST_P(IoBusConcurrencyTest, CallbacksMayRemoveDevicesOfOtherThreads) {
  // Thread A is inside device a and removes the idle device x, while thread B
  // is inside device b: A waits for nothing that B does.
  IoBus bus(GetParam());
  Gate entered;
  Gate leave;
  const std::unique_ptr<IoDevice> b =
      MakeIoDevice([&](uint64_t, std::span<std::byte>) {
        entered.Open();
        leave.Wait();
      });
  const std::unique_ptr<IoDevice> x =
      MakeIoDevice(nullptr, [](uint64_t, std::span<const std::byte>) {});
  std::optional<IoRegistration> removed;
  ASSERT_OK_AND_ASSIGN(removed, bus.Register({0x30, 4}, *x));
  const std::unique_ptr<IoDevice> a =
      MakeIoDevice([&](uint64_t, std::span<std::byte>) { removed.reset(); });
  ASSERT_OK_AND_ASSIGN(const IoRegistration at_a, bus.Register({0x10, 4}, *a));
  ASSERT_OK_AND_ASSIGN(const IoRegistration at_b, bus.Register({0x20, 4}, *b));
  std::thread vcpu([&] {
    IoCursor cursor = bus.MakeCursor();
    std::array<std::byte, 1> data{};
    EXPECT_EQ(cursor.Read(0x20, data), IoOutcome::kDone);
  });
  entered.Wait();
  IoCursor cursor = bus.MakeCursor();
  std::array<std::byte, 1> data{};
  EXPECT_EQ(cursor.Read(0x10, data), IoOutcome::kDone);
  EXPECT_EQ(cursor.Read(0x30, data), IoOutcome::kUnclaimed);
  leave.Open();
  vcpu.join();
}

TEST_P(IoBusConcurrencyTest, RemovalWaitsForTheOuterOfNestedCalls) {
  IoBus bus(GetParam());
  Gate entered;
  Gate leave;
  std::atomic<bool> left{false};
  const std::unique_ptr<IoDevice> inner =
      MakeIoDevice([&](uint64_t, std::span<std::byte>) {
        entered.Open();
        leave.Wait();
      });
  IoCursor inside = bus.MakeCursor();
  const std::unique_ptr<IoDevice> outer =
      MakeIoDevice([&](uint64_t, std::span<std::byte> data) {
        EXPECT_EQ(inside.Read(0x20, data), IoOutcome::kDone);
        left.store(true);
      });
  ASSERT_OK_AND_ASSIGN(IoRegistration at_outer,
                       bus.Register({0x10, 4}, *outer));
  ASSERT_OK_AND_ASSIGN(const IoRegistration at_inner,
                       bus.Register({0x20, 4}, *inner));
  std::thread vcpu([&] {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(inside.Read(0x10, data), IoOutcome::kDone);
  });
  entered.Wait();
  std::thread remover([&] {
    at_outer.Unregister();
    EXPECT_TRUE(left.load());
  });
  // Until the removal is published, and then it waits.
  IoCursor cursor = bus.MakeCursor();
  const std::unique_ptr<IoDevice> next =
      MakeIoDevice(nullptr, [](uint64_t, std::span<const std::byte>) {});
  absl::StatusOr<IoRegistration> second = bus.Register({0x10, 4}, *next);
  while (!second.ok()) {
    std::this_thread::yield();
    second = bus.Register({0x10, 4}, *next);
  }
  EXPECT_FALSE(left.load());
  leave.Open();
  remover.join();
  vcpu.join();
}

}  // namespace
}  // namespace libvmm
