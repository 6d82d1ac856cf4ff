// SPDX-License-Identifier: Apache-2.0
// A virtio device on a program's own bus, in each of the three ways to run it,
// as docs/virtio.md shows it.
#include <poll.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_mmio.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using namespace libvmm::testing;  // NOLINT

constexpr uint64_t kAddress = 0xd0000000;
constexpr Gpa kRing{0x1000};
constexpr Gpa kOut{0x4000};
constexpr Gpa kIn{0x5000};

// The vCPU's way to the bus, as a device that is all of the registers.
class OverTheBus final : public IoDevice {
 public:
  explicit OverTheBus(IoBus& bus) : cursor_(bus.MakeCursor()) {}
  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    EXPECT_EQ(cursor_.Read(kAddress + offset, data), IoOutcome::kDone);
    return IoResult::kDone;
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    EXPECT_EQ(cursor_.Write(kAddress + offset, data), IoOutcome::kDone);
    return IoResult::kDone;
  }

 private:
  IoCursor cursor_;
};

// The program's part: memory, a bus, an interrupt line.
class OwnBusTest : public ::testing::Test {
 protected:
  OwnBusTest() {
    EXPECT_THAT(
        memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = 0x10000})),
        IsOk());
  }

  void StartDriver() {
    driver_.emplace(*memory, kRing, VirtqueueDriver::Options{});
    registers_.Start(driver_->config());
  }
  void Send() {
    ASSERT_TRUE(memory->Store<uint32_t>(kOut, 0x12345678));
    driver_->Add(
        {{.gpa = kOut, .size = 4}, {.gpa = kIn, .size = 4, .writable = true}});
    if (driver_->Publish()) registers_.Notify(0);
  }
  bool Received() {
    return driver_->Collect().has_value() &&
           memory->Load<uint32_t>(kIn) == 0x12345678u;
  }

  struct {
    void Pulse() { ++pulses; }
    std::atomic<int> pulses = 0;
  } line;
  struct {
    void Wake() {}
  } timers;
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  SystemClock clock;
  IoBus bus{AddressSpace::kMmio};
  FakeVirtioDevice device;

 private:
  OverTheBus cpu_{bus};
  MmioDriver registers_{cpu_};
  std::optional<VirtqueueDriver> driver_;
};

TEST_F(OwnBusTest, InlineNeedsNoLoop) {
  const auto front_end = *VirtioFrontEnd::Create(
      device, *memory, clock, {.deadline_moved = [&] { timers.Wake(); }});
  VirtioMmio mmio(*front_end, {.interrupt = [&] { line.Pulse(); }});
  const IoRegistration place =
      *bus.Register({.base = kAddress, .size = VirtioMmio::kSize}, mmio);

  StartDriver();
  Send();
  EXPECT_TRUE(Received());
  EXPECT_EQ(line.pulses, 1);
  // What a loop, or a line between two runs of a vCPU, does.
  if (front_end->NextDeadline() <= clock.Monotonic()) front_end->OnDeadline();
}

TEST_F(OwnBusTest, AnEventFdGoesIntoTheProgramsLoop) {
  const auto front_end = *VirtioFrontEnd::Create(
      device, *memory, clock, {.doorbell = VirtioDoorbell::kEventFd});
  VirtioMmio mmio(*front_end, {.interrupt = [&] { line.Pulse(); }});
  const IoRegistration place =
      *bus.Register({.base = kAddress, .size = VirtioMmio::kSize}, mmio);

  std::atomic<bool> stop = false;
  std::thread loop([&] {
    EventSource& source = *front_end->lane_source(0);
    while (!stop) {
      pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
      if (::poll(&entry, 1, /*timeout=*/1) == 1) source.OnReady(entry.revents);
    }
  });
  StartDriver();
  Send();
  while (!Received()) std::this_thread::yield();
  stop = true;
  loop.join();
  EXPECT_EQ(line.pulses, 1);
}

TEST_F(OwnBusTest, AThreadThatPollsIsNeverNotified) {
  const auto front_end = *VirtioFrontEnd::Create(
      device, *memory, clock, {.doorbell = VirtioDoorbell::kPoll});
  VirtioMmio mmio(*front_end, {.interrupt = [&] { line.Pulse(); }});
  const IoRegistration place =
      *bus.Register({.base = kAddress, .size = VirtioMmio::kSize}, mmio);

  std::atomic<bool> stop = false;
  std::thread poller([&] {
    while (!stop) front_end->Poll(0);
  });
  StartDriver();
  Send();
  while (!Received()) std::this_thread::yield();
  stop = true;
  poller.join();
  EXPECT_EQ(line.pulses, 1);
}

}  // namespace
}  // namespace libvmm
