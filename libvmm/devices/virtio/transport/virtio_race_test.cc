// SPDX-License-Identifier: Apache-2.0
// A device served by several threads, while a vCPU starts and resets it through
// its transport's registers and another one scribbles over its rings. What it
// shows beside that nothing breaks, ThreadSanitizer sees.
#include <poll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_mmio.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/ring_mutator.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using namespace libvmm::testing;  // NOLINT

constexpr uint64_t kMemorySize = uint64_t{1} << 20;
constexpr Gpa kRing{0x1000};
constexpr Gpa kOut{0x40000};
constexpr Gpa kIn{0x50000};

enum class Transport { kMmio, kPci };
using Parameter = std::tuple<Transport, VirtioDoorbell, bool /*packed*/>;

class VirtioRaceTest : public ::testing::TestWithParam<Parameter> {
 protected:
  VirtioRaceTest()
      : device_({.traits = {.queues = {{.max_size = 16}}, .config_size = 16},
                 .completes_later = true,
                 .on_serve = [this](VirtioLink& link, uint16_t lane) {
                   // Some deadlines, near and far, and one more round now
                   // and then.
                   const uint32_t n = ++serve_count_;
                   link.SetDeadline(lane, link.clock().Monotonic() +
                                              absl::Nanoseconds(n % 5));
                   if (n % 7 == 0) link.Wake(lane);
                 }}) {
    EXPECT_THAT(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize})),
        IsOk());
    front_end_ = *VirtioFrontEnd::Create(
        device_, *memory_, clock_,
        {.doorbell = std::get<VirtioDoorbell>(GetParam()),
         .deadline_moved = [this] { ++deadline_moves_; }});
    if (std::get<Transport>(GetParam()) == Transport::kMmio) {
      mmio_.emplace(*front_end_,
                    VirtioMmio::Options{.interrupt = [this] { ++edges_; }});
      registers_ = std::make_unique<MmioDriver>(*mmio_);
    } else {
      pci_ = *VirtioPci::Create(
          *front_end_, {.interrupt = [this](bool level) { level_ = level; }});
      registers_ = std::make_unique<PciDriver>(*pci_);
    }
  }

  static VirtqueueDriver::Options Ring() {
    return {
        .size = 16, .packed = std::get<bool>(GetParam()), .event_index = true};
  }

  // What a vCPU does, good and bad.
  void Drive(int steps) {
    std::mt19937 random(1);  // NOLINT: repeatable on purpose.
    std::optional<VirtqueueDriver> driver;
    for (int i = 0; i < steps; ++i) {
      if (i % 4 == 0) std::this_thread::yield();
      switch (random() % 16) {
        case 0:
          registers_->SetStatus(0);
          break;
        case 1:
          (void)registers_->TakeInterrupts();
          break;
        case 2:
          (void)registers_->ReadConfig(random() % 16, 4);
          (void)registers_->generation();
          break;
        case 3:
          registers_->WriteConfig(random() % 16, 2, random());
          break;
        case 4:
          registers_->Notify(static_cast<uint16_t>(random() % 3));
          break;
        default:
          if ((registers_->status() & virtio::kStatusNeedsReset) != 0 ||
              !driver.has_value() || !front_end_->active()) {
            registers_->SetStatus(0);
            driver.emplace(*memory_, kRing, Ring());
            registers_->Start(driver->config());
          }
          driver->Add({{.gpa = kOut, .size = 64},
                       {.gpa = kIn, .size = 64, .writable = true}});
          if (driver->Publish()) registers_->Notify(0);
          (void)driver->Collect();
          break;
      }
    }
  }

  // Runs `body` over and over on a thread of its own until Stop.
  template <typename Body>
  void Spawn(Body body) {
    threads_.emplace_back([this, body] {
      while (!stop_.load(std::memory_order_relaxed)) {
        body();
        std::this_thread::yield();
      }
    });
  }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    stop_ = false;
  }

  std::atomic<uint32_t> serve_count_ = 0;
  std::atomic<int> deadline_moves_ = 0;
  std::atomic<int> edges_ = 0;
  std::atomic<bool> level_ = false;
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
  FakeVirtioDevice device_;
  std::unique_ptr<VirtioFrontEnd> front_end_;
  std::optional<VirtioMmio> mmio_;
  std::unique_ptr<VirtioPci> pci_;
  std::unique_ptr<RegisterDriver> registers_;

  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
};

TEST_P(VirtioRaceTest, NothingBreaks) {
  // Queue threads.
  EventSource* const source = front_end_->lane_source(0);
  Spawn([&] {
    if (source == nullptr) return front_end_->Poll(0);
    pollfd entry{.fd = source->fd(), .events = source->events(), .revents = 0};
    if (::poll(&entry, 1, 0) == 1) source->OnReady(entry.revents);
  });
  // A back-end, which also changes the configuration.
  Spawn([&] {
    device_.Complete(0);
    const std::array<std::byte, 1> data{
        static_cast<std::byte>(serve_count_.load())};
    device_.SetConfig(3, data, /*tell=*/serve_count_ % 2 == 0);
  });
  // Who drives deadlines.
  Spawn([&] {
    clock_.Advance(absl::Nanoseconds(1));
    if (front_end_->NextDeadline() <= clock_.Monotonic()) {
      front_end_->OnDeadline();
    }
  });
  // Until it works, before somebody is in its way.
  while (device_.echoed() == 0) Drive(100);
  {
    // The guest's other CPU.
    RingMutator mutator(*memory_,
                        {VirtqueueDriver(*memory_, kRing, Ring()).area()},
                        /*seed=*/1);
    Drive(Repetitions(5000));
  }
  Stop();

  EXPECT_EQ(device_.misuses(), 0);
  EXPECT_GT(device_.resets(), 0);
  // At rest the pin is what ISR status says.
  if (pci_ != nullptr) {
    const bool level = level_;
    EXPECT_EQ(registers_->TakeInterrupts() != 0, level);
  }
  // A device that needs a reset has not had it yet.
  const int open = device_.activations() - device_.resets();
  EXPECT_TRUE(open == 0 || open == 1) << open;
  EXPECT_GE(open, front_end_->active() ? 1 : 0);

  // Behind a reset nothing of it touches guest memory.
  registers_->SetStatus(0);
  std::vector<std::byte> before(kMemorySize);
  std::vector<std::byte> after(kMemorySize);
  ASSERT_TRUE(memory_->Read(Gpa(0), before));
  device_.Complete(0);
  front_end_->Poll(0);
  registers_->Notify(0);
  clock_.Advance(absl::Seconds(1));
  front_end_->OnDeadline();
  if (source != nullptr) source->OnReady(POLLIN);
  ASSERT_TRUE(memory_->Read(Gpa(0), after));
  EXPECT_EQ(before, after);
  EXPECT_EQ(device_.misuses(), 0);
}

// Without anyone who scribbles: every request comes back, whoever serves it.
TEST_P(VirtioRaceTest, EveryRequestComesBack) {
  EventSource* const source = front_end_->lane_source(0);
  Spawn([&] {
    if (source == nullptr) return front_end_->Poll(0);
    pollfd entry{.fd = source->fd(), .events = source->events(), .revents = 0};
    if (::poll(&entry, 1, 0) == 1) source->OnReady(entry.revents);
  });
  Spawn([&] { device_.Complete(0); });
  VirtqueueDriver driver(*memory_, kRing, Ring());
  registers_->Start(driver.config());
  const int requests = Repetitions(2000);
  int sent = 0;
  int received = 0;
  while (received < requests) {
    if (sent < requests &&
        driver
            .Add({{.gpa = kOut, .size = 64},
                  {.gpa = kIn, .size = 64, .writable = true}})
            .has_value()) {
      ++sent;
      if (driver.Publish()) registers_->Notify(0);
    }
    while (const auto used = driver.Collect()) {
      EXPECT_EQ(used->written, 64u);
      ++received;
    }
    std::this_thread::yield();
  }
  Stop();
  EXPECT_EQ(device_.echoed(), static_cast<uint64_t>(requests));
  EXPECT_EQ(device_.misuses(), 0);
  EXPECT_EQ(registers_->status(), kReady);
}

std::string NameOf(const ::testing::TestParamInfo<Parameter>& row) {
  const auto [transport, doorbell, packed] = row.param;
  std::string name = transport == Transport::kMmio ? "Mmio" : "Pci";
  name += doorbell == VirtioDoorbell::kInline    ? "Inline"
          : doorbell == VirtioDoorbell::kEventFd ? "EventFd"
                                                 : "Poll";
  return name + (packed ? "Packed" : "Split");
}

INSTANTIATE_TEST_SUITE_P(
    AllWays, VirtioRaceTest,
    ::testing::Combine(::testing::Values(Transport::kMmio, Transport::kPci),
                       ::testing::Values(VirtioDoorbell::kInline,
                                         VirtioDoorbell::kEventFd,
                                         VirtioDoorbell::kPoll),
                       ::testing::Bool()),
    NameOf);

}  // namespace
}  // namespace libvmm
