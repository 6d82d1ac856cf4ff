// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_front_end.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/transport/front_end_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end_state.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using namespace virtio;           // NOLINT: the specification's names.
using namespace libvmm::testing;  // NOLINT

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kMemorySize = uint64_t{1} << 20;
constexpr Gpa kRing{0x1000};
constexpr Gpa kOut{0x40000};
constexpr Gpa kIn{0x50000};
// What a thread does in a lane before it hands over.
constexpr int kRounds = 4;

std::unique_ptr<GuestMemory> MakeMemory() {
  auto memory = GuestMemory::Create();
  EXPECT_THAT(
      memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize})),
      IsOk());
  return memory;
}

// A device behind a front end, with a driver for its queue 0.
struct Machine {
  explicit Machine(FakeVirtioDevice::Options device_options = {},
                   VirtioFrontEnd::Options options = {})
      : device(std::move(device_options)) {
    options.deadline_moved = [this] { ++deadline_moves; };
    front_end =
        *VirtioFrontEnd::Create(device, *memory, clock, std::move(options));
    front_end->SetInterrupts(&interrupts);
  }

  void StartQueue(const VirtqueueDriver::Options& options = {}) {
    driver.emplace(*memory, kRing, options);
    Start(*front_end, driver->config());
  }

  // A request of four bytes; whether the device wants to be notified.
  bool Send() {
    EXPECT_TRUE(memory->Store<uint32_t>(kOut, 0x12345678));
    EXPECT_TRUE(memory->Store<uint32_t>(kIn, 0));
    EXPECT_TRUE(driver
                    ->Add({{.gpa = kOut, .size = 4},
                           {.gpa = kIn, .size = 4, .writable = true}})
                    .has_value());
    return driver->Publish();
  }
  // Whether it came back, echoed.
  bool Received() {
    const std::optional<VirtqueueDriver::Used> used = driver->Collect();
    return used.has_value() && used->written == 4 &&
           memory->Load<uint32_t>(kIn) == 0x12345678u;
  }

  std::unique_ptr<GuestMemory> memory = MakeMemory();
  ManualClock clock;
  FakeVirtioDevice device;
  int deadline_moves = 0;
  CountedInterrupts interrupts;
  std::unique_ptr<VirtioFrontEnd> front_end;
  std::optional<VirtqueueDriver> driver;
};

bool Readable(int fd) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, 0) == 1;
}

// ---- Create -----------------------------------------------------------------

TEST(VirtioFrontEndCreateTest, NamesTheTraitThatCannotBe) {
  struct Row {
    VirtioDevice::Traits traits;
    std::string message;
  };
  const Row rows[] = {
      {{.features = kVersion1}, "features is 4294967296"},
      {{.features = kRingReset}, "features"},
      {{.features = uint64_t{1} << 24}, "features"},
      {{.config_size = 257}, "config_size is 257"},
      {{.lanes = 0}, "lanes is 0"},
      {{.queues = {{.max_size = 64}, {.max_size = 0}}},
       "queues[1].max_size is 0"},
      {{.queues = {{.max_size = 48}}}, "queues[0].max_size is 48"},
      {{.queues = {{.max_size = 64, .lane = 1}}}, "queues[0].lane is 1"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.message);
    auto memory = MakeMemory();
    ManualClock clock;
    FakeVirtioDevice device({.traits = row.traits});
    EXPECT_THAT(VirtioFrontEnd::Create(device, *memory, clock, {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("VirtioDevice::Traits." + row.message)));
  }
}

TEST(VirtioFrontEndCreateTest, RefusesMoreDoorbellsThanLanes) {
  auto memory = MakeMemory();
  ManualClock clock;
  FakeVirtioDevice device;
  EXPECT_THAT(
      VirtioFrontEnd::Create(
          device, *memory, clock,
          {.lane_doorbells = {VirtioDoorbell::kInline, VirtioDoorbell::kPoll}}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("lane_doorbells has 2")));
}

TEST(VirtioFrontEndCreateTest, AnInOrderDeviceMayBe) {
  Machine machine(
      {.traits = {.features = kInOrder | 1, .queues = {{.max_size = 32768}}}});
  EXPECT_EQ(machine.front_end->DeviceFeatures(1) & (kInOrder >> 32),
            kInOrder >> 32);
}

// ---- Features ---------------------------------------------------------------

TEST(VirtioFrontEndTest, OffersTheDevicesFeaturesAndThoseOfRings) {
  constexpr uint64_t kDevices = uint64_t{1} << 50 | 0b101;
  const auto offered = [&](VirtioFrontEnd::Options options) {
    Machine machine({.traits = {.features = kDevices}}, std::move(options));
    return machine.front_end->DeviceFeatures(0) |
           uint64_t{machine.front_end->DeviceFeatures(1)} << 32;
  };
  EXPECT_EQ(offered({}), kDevices | kVersion1 | kRingPacked | kEventIndex |
                             kIndirectDescriptors);
  EXPECT_EQ(offered({.packed = false}),
            kDevices | kVersion1 | kEventIndex | kIndirectDescriptors);
  EXPECT_EQ(offered({.packed = false, .event_index = false, .indirect = false}),
            kDevices | kVersion1);
}

TEST(VirtioFrontEndTest, FeaturesBehindBit63AreNone) {
  Machine machine;
  VirtioFrontEnd& front_end = *machine.front_end;
  for (const uint32_t select : {2u, 31u, 32u, 0xffffffffu}) {
    EXPECT_EQ(front_end.DeviceFeatures(select), 0u);
    front_end.WriteDriverFeatures(select, 0xffffffff);
    EXPECT_EQ(front_end.DriverFeatures(select), 0u);
  }
  EXPECT_EQ(front_end.DriverFeatures(0), 0u);
  EXPECT_EQ(front_end.DriverFeatures(1), 0u);
}

TEST(VirtioFrontEndTest, FeaturesOkSticksOnlyWhereTheFeaturesCanBe) {
  struct Row {
    const char* name;
    uint64_t features;
    bool sticks;
  };
  const Row rows[] = {
      {"version 1 alone", kVersion1, true},
      {"all that is offered", kVersion1 | kEventIndex | 1, true},
      {"nothing", 0, false},
      {"without version 1", kEventIndex, false},
      {"one that is not offered", kVersion1 | 2, false},
      {"one of the upper half", kVersion1 | kRingReset, false},
      {"access platform", kVersion1 | kAccessPlatform, false},
      {"bit 63", kVersion1 | uint64_t{1} << 63, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Machine machine({.traits = {.features = 1}});
    EXPECT_EQ(Negotiate(*machine.front_end, row.features), row.sticks);
    EXPECT_EQ(machine.front_end->ReadStatus(),
              row.sticks ? kNegotiated : kFound);
  }
}

TEST(VirtioFrontEndTest, ADriverMayTryOtherFeaturesUntilTheyStick) {
  Machine machine;
  VirtioFrontEnd& front_end = *machine.front_end;
  EXPECT_FALSE(Negotiate(front_end, kEventIndex));
  WriteFeatures(front_end, kVersion1);
  front_end.WriteStatus(kNegotiated);
  EXPECT_EQ(front_end.ReadStatus(), kNegotiated);
  // And no longer.
  WriteFeatures(front_end, 0);
  EXPECT_EQ(front_end.DriverFeatures(1), kVersion1 >> 32);
}

// ---- Status -----------------------------------------------------------------

TEST(VirtioFrontEndTest, StatusBitsWantThoseBeforeThem) {
  struct Row {
    std::vector<uint8_t> writes;
    uint8_t status;
  };
  const Row rows[] = {
      {{0x01}, 0x01},
      {{0x02}, 0x00},
      {{0x03}, 0x03},
      {{0x01, 0x03}, 0x03},
      {{0x01, 0x02}, 0x03},  // A bit once set stays.
      {{0x03, 0x01}, 0x03},
      {{0x08}, 0x00},
      {{0x09}, 0x01},  // Without DRIVER.
      {{0x0b}, 0x0b},
      {{0x04}, 0x00},
      {{0x07}, 0x03},  // DRIVER_OK without FEATURES_OK.
      {{0x03, 0x07, 0x0b}, 0x0b},
      {{0x0f}, 0x0f},
      {{0x0b, 0x04}, 0x0f},
      {{0x0f, 0x01}, 0x0f},
      // DEVICE_NEEDS_RESET and reserved bits are not the driver's.
      {{0x40}, 0x00},
      {{0x30, 0x43}, 0x03},
      // FAILED at any time; behind it nothing begins.
      {{0x80}, 0x80},
      {{0x8f}, 0x8b},
      {{0x0b, 0x8b, 0x0f}, 0x8b},
      {{0x0f, 0x8f}, 0x8f},
      // Reset, at any time.
      {{0x0f, 0x00}, 0x00},
      {{0x83, 0x00, 0x01}, 0x01},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(::testing::PrintToString(row.writes));
    Machine machine;
    for (const uint8_t value : row.writes) {
      WriteFeatures(*machine.front_end, kVersion1);
      machine.front_end->WriteStatus(value);
    }
    EXPECT_EQ(machine.front_end->ReadStatus(), row.status);
    EXPECT_EQ(machine.front_end->active(), (row.status & 0x04) != 0);
    EXPECT_EQ(machine.device.misuses(), 0);
  }
}

TEST(VirtioFrontEndTest, DriverOkActivatesOnceAndServesEachLaneOnce) {
  Machine machine({.traits = {.queues = {{.max_size = 64}}, .lanes = 3}});
  EXPECT_TRUE(Negotiate(*machine.front_end));
  EXPECT_EQ(machine.device.activations(), 0);
  machine.front_end->WriteStatus(kReady);
  machine.front_end->WriteStatus(kReady);
  EXPECT_EQ(machine.device.activations(), 1);
  for (uint16_t lane = 0; lane < 3; ++lane) {
    EXPECT_EQ(machine.device.serves(lane), 1);
  }
  EXPECT_EQ(machine.interrupts.config, 0);
}

TEST(VirtioFrontEndTest, ResetForgetsTheDriver) {
  Machine machine;
  VirtioFrontEnd& front_end = *machine.front_end;
  machine.StartQueue();
  ASSERT_TRUE(front_end.active());
  const int resets = machine.interrupts.resets;
  front_end.WriteStatus(0);
  EXPECT_EQ(machine.device.resets(), 1);
  EXPECT_EQ(machine.interrupts.resets, resets + 1);
  EXPECT_FALSE(front_end.active());
  EXPECT_EQ(front_end.DriverFeatures(1), 0u);
  EXPECT_FALSE(front_end.QueueEnabled(0));
  EXPECT_EQ(front_end.QueueConfig(0), OfSize(64));
  // Nothing to forget: the device is not told twice.
  front_end.Reset();
  EXPECT_EQ(machine.device.resets(), 1);
  // And over again.
  machine.StartQueue();
  EXPECT_TRUE(machine.Send());
  front_end.Notify(0);
  EXPECT_TRUE(machine.Received());
  EXPECT_EQ(machine.device.misuses(), 0);
}

TEST(VirtioFrontEndTest, TheDestructorResetsTheDevice) {
  Machine machine;
  machine.StartQueue();
  machine.front_end = nullptr;
  EXPECT_EQ(machine.device.resets(), 1);
}

// ---- Failures ---------------------------------------------------------------

// The driver must learn that DRIVER_OK came to nothing.
TEST(VirtioFrontEndTest, AFailedActivationNeedsReset) {
  Machine machine({.activates = false});
  VirtioFrontEnd& front_end = *machine.front_end;
  machine.StartQueue();
  EXPECT_EQ(front_end.ReadStatus(), kReady | kStatusNeedsReset);
  EXPECT_FALSE(front_end.active());
  EXPECT_EQ(machine.interrupts.config, 1);
  machine.Send();
  front_end.Notify(0);
  front_end.Poll(0);
  EXPECT_EQ(machine.device.serves(0), 0);
  EXPECT_EQ(machine.device.resets(), 0);
  front_end.WriteStatus(0);
  EXPECT_EQ(machine.device.resets(), 1);

  machine.device.set_activates(true);
  machine.StartQueue();
  EXPECT_TRUE(front_end.active());
  EXPECT_EQ(machine.device.misuses(), 0);
}

TEST(VirtioFrontEndTest, ADeviceMayFailWhileItActivates) {
  Machine machine({.on_activate = [](VirtioLink& link) { link.Fail(); }});
  machine.StartQueue();
  EXPECT_EQ(machine.front_end->ReadStatus(), kReady | kStatusNeedsReset);
  EXPECT_EQ(machine.interrupts.config, 1);
  EXPECT_EQ(machine.device.serves(0), 0);
}

TEST(VirtioFrontEndTest, ARingThatCannotBeNeedsReset) {
  struct Row {
    const char* name;
    VirtqueueConfig config;
  };
  const VirtqueueConfig good{.size = 16,
                             .descriptors = Gpa(0x1000),
                             .driver = Gpa(0x2000),
                             .device = Gpa(0x3000)};
  const auto with = [&](const std::function<void(VirtqueueConfig&)>& change) {
    VirtqueueConfig config = good;
    change(config);
    return config;
  };
  const Row rows[] = {
      {"size 0", with([](auto& c) { c.size = 0; })},
      {"no power of two", with([](auto& c) { c.size = 17; })},
      {"larger than the device's", with([](auto& c) { c.size = 128; })},
      {"table unaligned", with([](auto& c) { c.descriptors = Gpa(0x1008); })},
      {"not memory", with([](auto& c) { c.device = Gpa(kMemorySize); })},
      {"behind the end",
       with([](auto& c) { c.driver = Gpa(kMemorySize - 8); })},
      {"wraps", with([](auto& c) { c.descriptors = Gpa(~uint64_t{0xf}); })},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Machine machine;
    Start(*machine.front_end, row.config);
    EXPECT_EQ(machine.front_end->ReadStatus(), kReady | kStatusNeedsReset);
    EXPECT_EQ(machine.interrupts.config, 1);
    EXPECT_EQ(machine.device.activations(), 0);
    machine.front_end->WriteStatus(0);
    EXPECT_EQ(machine.device.resets(), 0);
    Start(*machine.front_end, good);
    EXPECT_TRUE(machine.front_end->active());
  }
}

TEST(VirtioFrontEndTest, AMalformedChainNeedsReset) {
  Machine machine;
  VirtioFrontEnd& front_end = *machine.front_end;
  machine.StartQueue();
  machine.driver->Add({{.gpa = Gpa(kMemorySize), .size = 4}});
  machine.driver->Publish();
  front_end.Notify(0);
  EXPECT_EQ(front_end.ReadStatus(), kReady | kStatusNeedsReset);
  EXPECT_EQ(machine.interrupts.config, 1);
  // Not served any more, and told once.
  const int serves = machine.device.serves(0);
  front_end.Notify(0);
  EXPECT_EQ(machine.device.serves(0), serves);
  EXPECT_EQ(machine.interrupts.config, 1);
  // The driver cannot take the bit back, but by a reset.
  front_end.WriteStatus(kReady);
  EXPECT_EQ(front_end.ReadStatus(), kReady | kStatusNeedsReset);
  front_end.WriteStatus(0);
  EXPECT_EQ(front_end.ReadStatus(), 0);
}

TEST(VirtioFrontEndTest, ARingThatIsMemoryNoMoreNeedsReset) {
  Machine machine;
  machine.StartQueue();
  const int serves = machine.device.serves(0);
  ASSERT_THAT(machine.memory->Remove(Gpa(0)), IsOk());
  machine.front_end->Notify(0);
  EXPECT_EQ(machine.front_end->ReadStatus(), kReady | kStatusNeedsReset);
  EXPECT_EQ(machine.interrupts.config, 1);
  EXPECT_EQ(machine.device.serves(0), serves);
}

TEST(VirtioFrontEndTest, ARingSurvivesAChangeOfTheMapElsewhere) {
  Machine machine;
  machine.StartQueue();
  ASSERT_THAT(machine.memory->Add(Gpa(kMemorySize), *MemoryRegion::Anonymous(
                                                        {.size = kMemorySize})),
              IsOk());
  machine.memory->Reclaim();
  machine.Send();
  machine.front_end->Notify(0);
  EXPECT_TRUE(machine.Received());
}

TEST(VirtioFrontEndTest, WithoutATransportInterruptsGoNowhere) {
  Machine machine;
  machine.front_end->SetInterrupts(nullptr);
  machine.StartQueue();
  machine.Send();
  machine.front_end->Notify(0);
  EXPECT_TRUE(machine.Received());
  machine.driver->Add({{.gpa = Gpa(kMemorySize), .size = 4}});
  machine.driver->Publish();
  machine.front_end->Notify(0);
  EXPECT_EQ(machine.front_end->ReadStatus(), kReady | kStatusNeedsReset);
  machine.front_end->WriteStatus(0);
  EXPECT_EQ(machine.interrupts.queue, 0);
}

// ---- Queues -----------------------------------------------------------------

TEST(VirtioFrontEndTest, QueuesAreSetUpBetweenFeaturesOkAndDriverOk) {
  Machine machine({.traits = {.queues = {{.max_size = 64}, {.max_size = 8}}}});
  VirtioFrontEnd& front_end = *machine.front_end;
  const VirtqueueConfig config =
      VirtqueueDriver(*machine.memory, kRing, {.indirect = false}).config();
  const VirtqueueConfig untouched = OfSize(64);

  SetUpQueue(front_end, 0, config);
  EXPECT_EQ(front_end.QueueConfig(0), untouched);
  front_end.WriteStatus(kFound);
  SetUpQueue(front_end, 0, config);
  EXPECT_EQ(front_end.QueueConfig(0), untouched);
  EXPECT_FALSE(front_end.QueueEnabled(0));

  WriteFeatures(front_end, kVersion1);
  front_end.WriteStatus(kNegotiated);
  SetUpQueue(front_end, 0, config);
  EXPECT_EQ(front_end.QueueConfig(0), config);
  EXPECT_TRUE(front_end.QueueEnabled(0));
  // Enabled, it stays as it is.
  SetUpQueue(front_end, 0, OfSize(2));
  EXPECT_EQ(front_end.QueueConfig(0), config);
  // Until it is not.
  front_end.DisableQueue(0);
  EXPECT_FALSE(front_end.QueueEnabled(0));
  front_end.SetQueueSize(0, 8);
  EXPECT_EQ(front_end.QueueConfig(0).size, 8);
  front_end.SetQueueSize(0, config.size);
  front_end.EnableQueue(0);

  front_end.WriteStatus(kReady);
  front_end.DisableQueue(0);
  EXPECT_TRUE(front_end.QueueEnabled(0));
  SetUpQueue(front_end, 1, config);
  EXPECT_FALSE(front_end.QueueEnabled(1));
  EXPECT_EQ(front_end.QueueConfig(1), OfSize(8));
}

TEST(VirtioFrontEndTest, QueuesThatDoNotExistAreNone) {
  Machine machine;
  VirtioFrontEnd& front_end = *machine.front_end;
  EXPECT_TRUE(Negotiate(front_end));
  EXPECT_EQ(front_end.queue_count(), 1);
  EXPECT_EQ(front_end.MaxQueueSize(0), 64);
  for (const uint16_t queue : {1, 2, 0x7fff, 0xffff}) {
    SCOPED_TRACE(queue);
    EXPECT_EQ(front_end.MaxQueueSize(queue), 0);
    SetUpQueue(front_end, queue, OfSize(16));
    front_end.DisableQueue(queue);
    EXPECT_FALSE(front_end.QueueEnabled(queue));
    EXPECT_EQ(front_end.QueueConfig(queue), VirtqueueConfig{});
    EXPECT_EQ(front_end.queue_doorbell(queue), nullptr);
  }
  front_end.WriteStatus(kReady);
  const int serves = machine.device.serves(0);
  for (const uint32_t queue : {1u, 0xffffu, 0x10000u, 0xffffffffu}) {
    front_end.Notify(queue);
  }
  front_end.Poll(1);
  front_end.Poll(0xffff);
  EXPECT_EQ(front_end.lane_source(1), nullptr);
  EXPECT_EQ(machine.device.serves(0), serves);
}

TEST(VirtioFrontEndTest, AQueueThatIsNotEnabledIsNullToTheDevice) {
  bool first = false;
  bool second = true;
  bool absent = true;
  Machine machine({.traits = {.queues = {{.max_size = 64}, {.max_size = 64}}},
                   .on_serve = [&](VirtioLink& link, uint16_t) {
                     first = link.queue(0) != nullptr;
                     second = link.queue(1) != nullptr;
                     absent = link.queue(2) != nullptr;
                   }});
  machine.StartQueue();
  EXPECT_TRUE(machine.front_end->active());
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
  EXPECT_FALSE(absent);
}

TEST(VirtioFrontEndTest, TheDeviceSeesWhatWasNegotiated) {
  uint64_t features = 0;
  std::optional<VirtqueueConfig> config;
  Machine machine(
      {.traits = {.features = kInOrder | 4, .queues = {{.max_size = 64}}},
       .on_serve = [&](VirtioLink& link, uint16_t) {
         features = link.features();
         config = link.queue(0)->config();
       }});
  const VirtqueueDriver driver(
      *machine.memory, kRing,
      {.size = 16, .packed = true, .event_index = true, .in_order = true});
  Start(*machine.front_end, driver.config());
  EXPECT_EQ(features, FeaturesOf(driver.config()));
  EXPECT_EQ(config, driver.config());
}

// ---- Doorbells --------------------------------------------------------------

class DoorbellTest : public ::testing::TestWithParam<bool> {
 protected:
  static VirtqueueDriver::Options Ring() {
    return {.size = 16, .packed = GetParam(), .event_index = true};
  }
};
INSTANTIATE_TEST_SUITE_P(SplitAndPacked, DoorbellTest, ::testing::Bool());

TEST_P(DoorbellTest, InlineServesOnTheThreadThatNotifies) {
  std::vector<std::thread::id> threads;
  Machine machine({.on_serve = [&](VirtioLink&, uint16_t) {
    threads.push_back(std::this_thread::get_id());
  }});
  EXPECT_EQ(machine.front_end->doorbell(0), VirtioDoorbell::kInline);
  EXPECT_EQ(machine.front_end->lane_source(0), nullptr);
  EXPECT_EQ(machine.front_end->queue_doorbell(0), nullptr);
  machine.StartQueue(Ring());
  threads.clear();
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(machine.Send());
    EXPECT_FALSE(machine.Received());
    machine.front_end->Notify(0);
    EXPECT_TRUE(machine.Received());
  }
  EXPECT_THAT(threads, ::testing::Each(std::this_thread::get_id()));
  EXPECT_EQ(threads.size(), 3u);
}

TEST_P(DoorbellTest, AnEventFdIsServedByItsLoop) {
  Machine machine({}, {.doorbell = VirtioDoorbell::kEventFd});
  VirtioFrontEnd& front_end = *machine.front_end;
  EventSource* const source = front_end.lane_source(0);
  ASSERT_NE(source, nullptr);
  EXPECT_EQ(source->events(), POLLIN);
  EXPECT_EQ(source->NextDeadline(), absl::InfiniteDuration());
  ASSERT_NE(front_end.queue_doorbell(0), nullptr);
  EXPECT_EQ(front_end.queue_doorbell(0)->fd(), source->fd());
  EXPECT_FALSE(Readable(source->fd()));

  machine.StartQueue(Ring());
  // The first time, too.
  EXPECT_EQ(machine.device.serves(0), 0);
  EXPECT_TRUE(Readable(source->fd()));
  source->OnReady(POLLIN);
  EXPECT_EQ(machine.device.serves(0), 1);
  EXPECT_FALSE(Readable(source->fd()));

  EXPECT_TRUE(machine.Send());
  front_end.Notify(0);
  EXPECT_FALSE(machine.Received());
  EXPECT_TRUE(Readable(source->fd()));
  source->OnReady(POLLERR);
  EXPECT_FALSE(machine.Received());
  source->OnReady(POLLIN);
  EXPECT_TRUE(machine.Received());

  // As KVM does it, without Notify.
  EXPECT_TRUE(machine.Send());
  front_end.queue_doorbell(0)->Signal();
  source->OnReady(POLLIN);
  EXPECT_TRUE(machine.Received());
}

TEST_P(DoorbellTest, APolledQueueIsNeverNotified) {
  Machine machine({}, {.doorbell = VirtioDoorbell::kPoll});
  VirtioFrontEnd& front_end = *machine.front_end;
  machine.StartQueue(Ring());
  EXPECT_EQ(front_end.lane_source(0), nullptr);
  for (int i = 0; i < 3; ++i) {
    // With the event index a ring of zeroes asks for the very first chain.
    EXPECT_TRUE(!machine.Send() || i == 0);
    front_end.Notify(0);
    EXPECT_FALSE(machine.Received());
    front_end.Poll(0);
    EXPECT_TRUE(machine.Received());
  }
}

TEST(VirtioFrontEndTest, EachLaneHasADoorbellOfItsOwn) {
  Machine machine(
      {.traits = {.queues = {{.max_size = 64, .lane = 2},
                             {.max_size = 64, .lane = 0},
                             {.max_size = 64, .lane = 1}},
                  .lanes = 3}},
      {.doorbell = VirtioDoorbell::kEventFd,
       .lane_doorbells = {VirtioDoorbell::kInline, VirtioDoorbell::kPoll}});
  EXPECT_EQ(machine.front_end->lane_count(), 3);
  EXPECT_EQ(machine.front_end->doorbell(0), VirtioDoorbell::kEventFd);
  EXPECT_EQ(machine.front_end->doorbell(1), VirtioDoorbell::kInline);
  EXPECT_EQ(machine.front_end->doorbell(2), VirtioDoorbell::kPoll);
  EXPECT_EQ(machine.front_end->queue_doorbell(0)->fd(),
            machine.front_end->lane_source(2)->fd());
  EXPECT_EQ(machine.front_end->queue_doorbell(1), nullptr);
  machine.StartQueue();
  machine.front_end->Notify(1);
  machine.front_end->Notify(2);
  EXPECT_EQ(machine.device.serves(0), 2);
  EXPECT_EQ(machine.device.serves(1), 1);
  EXPECT_EQ(machine.device.serves(2), 0);
}

TEST(VirtioFrontEndTest, InterruptsComeWhereTheDriverWantsThem) {
  Machine machine;
  machine.StartQueue();
  machine.Send();
  machine.front_end->Notify(0);
  EXPECT_EQ(machine.interrupts.queue, 1);
  EXPECT_TRUE(machine.Received());
  machine.driver->DisableInterrupts();
  machine.Send();
  machine.front_end->Notify(0);
  EXPECT_TRUE(machine.Received());
  EXPECT_EQ(machine.interrupts.queue, 1);
}

// ---- Who serves -------------------------------------------------------------

// A driver that keeps a queue full does not keep the thread that notified.
TEST(VirtioFrontEndTest, ALaneAskedWithoutEndIsHandedToTheDeadline) {
  bool ask = false;
  Machine machine({.on_serve = [&](VirtioLink& link, uint16_t lane) {
    if (ask) link.Wake(lane);
  }});
  VirtioFrontEnd& front_end = *machine.front_end;
  machine.StartQueue();
  EXPECT_EQ(front_end.NextDeadline(), absl::InfiniteDuration());
  ask = true;
  int serves = machine.device.serves(0);
  front_end.Notify(0);
  EXPECT_EQ(machine.device.serves(0), serves += kRounds);
  EXPECT_EQ(machine.deadline_moves, 1);
  for (int i = 0; i < 3; ++i) {
    // Later than now, but not much.
    EXPECT_EQ(front_end.NextDeadline(),
              machine.clock.Monotonic() + absl::Nanoseconds(1));
    front_end.OnDeadline();
    EXPECT_EQ(machine.device.serves(0), serves);
    machine.clock.Advance(absl::Nanoseconds(1));
    front_end.OnDeadline();
    EXPECT_EQ(machine.device.serves(0), serves += kRounds);
  }
  ask = false;
  machine.clock.Advance(absl::Nanoseconds(1));
  front_end.OnDeadline();
  EXPECT_EQ(machine.device.serves(0), serves + 1);
  EXPECT_EQ(front_end.NextDeadline(), absl::InfiniteDuration());
}

TEST(VirtioFrontEndTest, ALaneWithAnEventFdIsHandedToItsLoop) {
  bool ask = true;
  Machine machine({.on_serve =
                       [&](VirtioLink& link, uint16_t lane) {
                         if (ask) link.Wake(lane);
                       }},
                  {.doorbell = VirtioDoorbell::kEventFd});
  machine.StartQueue();
  EventSource* const source = machine.front_end->lane_source(0);
  source->OnReady(POLLIN);
  EXPECT_EQ(machine.device.serves(0), kRounds);
  EXPECT_TRUE(Readable(source->fd()));
  EXPECT_EQ(machine.front_end->NextDeadline(), absl::InfiniteDuration());
  ask = false;
  source->OnReady(POLLIN);
  EXPECT_EQ(machine.device.serves(0), kRounds + 1);
  EXPECT_FALSE(Readable(source->fd()));
}

TEST(VirtioFrontEndTest, AWakeOfAnotherLaneServesThatOne) {
  Machine machine({.traits = {.queues = {{.max_size = 64}}, .lanes = 2},
                   .on_serve = [](VirtioLink& link, uint16_t lane) {
                     // And back, which is another round, for whoever is there.
                     if (lane == 0) link.Wake(1);
                   }});
  machine.StartQueue();
  EXPECT_EQ(machine.device.serves(0), 1);
  EXPECT_EQ(machine.device.serves(1), 2);
  EXPECT_EQ(machine.device.misuses(), 0);
}

TEST(VirtioFrontEndTest, AWakeOfALaneThatIsNotThereIsNothing) {
  Machine machine({.on_serve = [](VirtioLink& link, uint16_t) {
    link.Wake(1);
    link.Wake(0xffff);
    link.SetDeadline(1, absl::ZeroDuration());
  }});
  machine.StartQueue();
  EXPECT_EQ(machine.device.serves(0), 1);
  EXPECT_EQ(machine.front_end->NextDeadline(), absl::InfiniteDuration());
}

// A kick that comes while another thread is inside is not lost.
TEST(VirtioFrontEndTest, ANotificationDuringAServeIsServedByTheThreadInside) {
  std::atomic<int> step = 0;
  std::vector<std::thread::id> threads;
  Machine machine({.on_serve = [&](VirtioLink&, uint16_t) {
    threads.push_back(std::this_thread::get_id());
    if (step == 1) {
      step = 2;
      while (step != 3) std::this_thread::yield();
    }
  }});
  machine.StartQueue();
  threads.clear();
  step = 1;
  std::thread other([&] { machine.front_end->Poll(0); });
  const std::thread::id id = other.get_id();
  while (step != 2) std::this_thread::yield();
  machine.Send();
  machine.front_end->Notify(0);  // Returns at once.
  step = 3;
  other.join();
  EXPECT_THAT(threads, ElementsAre(id, id));
  EXPECT_TRUE(machine.Received());
  EXPECT_EQ(machine.device.misuses(), 0);
}

TEST(VirtioFrontEndTest, NothingIsServedWithoutADriver) {
  Machine machine({}, {.doorbell = VirtioDoorbell::kEventFd});
  machine.front_end->Poll(0);
  machine.front_end->Notify(0);
  machine.front_end->lane_source(0)->OnReady(POLLIN);
  machine.front_end->OnDeadline();
  EXPECT_TRUE(Negotiate(*machine.front_end));
  machine.front_end->Poll(0);
  EXPECT_EQ(machine.device.serves(0), 0);
}

// ---- Deadlines --------------------------------------------------------------

class DeadlineTest : public ::testing::Test {
 protected:
  DeadlineTest()
      : machine_({.traits = {.queues = {{.max_size = 64}}, .lanes = 2},
                  .on_activate = [this](VirtioLink& link) { link_ = &link; }}) {
    machine_.StartQueue();
    serves_ = machine_.device.serves(0);
  }
  int Served() {
    return machine_.device.serves(0) -
           std::exchange(serves_, machine_.device.serves(0));
  }

  VirtioLink* link_ = nullptr;
  Machine machine_;
  VirtioFrontEnd& front_end_ = *machine_.front_end;
  int serves_ = 0;
};

TEST_F(DeadlineTest, ServesTheLaneWhenItHasCome) {
  EXPECT_EQ(&link_->clock(), &machine_.clock);
  link_->SetDeadline(0, absl::Milliseconds(5));
  EXPECT_EQ(front_end_.NextDeadline(), absl::Milliseconds(5));
  machine_.clock.Advance(absl::Milliseconds(5) - absl::Nanoseconds(1));
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 0);
  machine_.clock.Advance(absl::Nanoseconds(1));
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 1);
  EXPECT_EQ(machine_.device.serves(1), 1);
  EXPECT_EQ(front_end_.NextDeadline(), absl::InfiniteDuration());
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 0);
}

TEST_F(DeadlineTest, IsReplacedAndTakenBack) {
  link_->SetDeadline(0, absl::Milliseconds(5));
  link_->SetDeadline(0, absl::Milliseconds(9));
  EXPECT_EQ(front_end_.NextDeadline(), absl::Milliseconds(9));
  link_->SetDeadline(1, absl::Milliseconds(7));
  EXPECT_EQ(front_end_.NextDeadline(), absl::Milliseconds(7));
  link_->SetDeadline(1, absl::InfiniteDuration());
  EXPECT_EQ(front_end_.NextDeadline(), absl::Milliseconds(9));
  link_->SetDeadline(0, absl::InfiniteDuration());
  EXPECT_EQ(front_end_.NextDeadline(), absl::InfiniteDuration());
}

TEST_F(DeadlineTest, IsToldWhenItBecomesEarlier) {
  const int moves = machine_.deadline_moves;
  link_->SetDeadline(0, absl::Milliseconds(5));
  EXPECT_EQ(machine_.deadline_moves, moves + 1);
  link_->SetDeadline(0, absl::Milliseconds(6));
  link_->SetDeadline(1, absl::Milliseconds(8));
  EXPECT_EQ(machine_.deadline_moves, moves + 1);
  link_->SetDeadline(1, absl::Milliseconds(4));
  EXPECT_EQ(machine_.deadline_moves, moves + 2);
}

// As lanes do that take from one limit: the first of those that are due gets
// what there is.
TEST(VirtioFrontEndTest, LanesThatAreDueTogetherComeFirstInTurn) {
  VirtioLink* link = nullptr;
  std::vector<uint16_t> first;
  bool recording = false;
  Machine machine({.traits = {.queues = {{.max_size = 64}}, .lanes = 3},
                   .on_activate = [&](VirtioLink& active) { link = &active; },
                   .on_serve =
                       [&](VirtioLink&, uint16_t lane) {
                         if (std::exchange(recording, false)) {
                           first.push_back(lane);
                         }
                       }});
  machine.StartQueue();
  for (int round = 0; round < 6; ++round) {
    for (uint16_t lane = 0; lane < 3; ++lane) {
      link->SetDeadline(lane, machine.clock.Monotonic());
    }
    recording = true;
    machine.front_end->OnDeadline();
  }
  std::ranges::sort(first);
  EXPECT_THAT(first, ElementsAre(0, 0, 1, 1, 2, 2));
}

// One loop, which sleeps until it is told, and a thread for each lane that
// waits for its deadline: were one forgotten, the test would stand still.
TEST(VirtioFrontEndTest, NoDeadlineIsForgottenWhileAnotherIsTaken) {
  constexpr uint16_t kLanes = 16;
  VirtioLink* link = nullptr;
  const EventFd moved = *EventFd::Create();
  FakeVirtioDevice device(
      {.traits = {.queues = {{.max_size = 64}}, .lanes = kLanes},
       .on_activate = [&](VirtioLink& active) { link = &active; }});
  const auto memory = MakeMemory();
  ManualClock clock;
  const auto front_end = *VirtioFrontEnd::Create(
      device, *memory, clock, {.deadline_moved = [&] { moved.Signal(); }});
  VirtqueueDriver driver(*memory, kRing, {});
  Start(*front_end, driver.config());
  std::atomic<bool> stop = false;
  std::thread loop([&] {
    while (!stop) {
      if (front_end->NextDeadline() == absl::InfiniteDuration()) {
        pollfd entry{.fd = moved.fd(), .events = POLLIN, .revents = 0};
        ::poll(&entry, 1, -1);
        (void)moved.Drain();
      }
      front_end->OnDeadline();
    }
  });
  std::vector<std::thread> lanes;
  for (uint16_t lane = 0; lane < kLanes; ++lane) {
    lanes.emplace_back([&, lane] {
      for (int i = 0; i < Repetitions(20000); ++i) {
        const int before = device.serves(lane);
        link->SetDeadline(lane, clock.Monotonic());
        while (device.serves(lane) == before) std::this_thread::yield();
      }
    });
  }
  for (std::thread& lane : lanes) lane.join();
  stop = true;
  moved.Signal();
  loop.join();
}

TEST_F(DeadlineTest, IsNeverTooEarly) {
  link_->SetDeadline(0, absl::Milliseconds(1) + absl::Nanoseconds(1) / 4);
  machine_.clock.Advance(absl::Milliseconds(1));
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 0);
  machine_.clock.Advance(absl::Nanoseconds(1));
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 1);
}

TEST_F(DeadlineTest, ThatHasPassedComesAtOnce) {
  machine_.clock.Advance(absl::Seconds(1));
  link_->SetDeadline(0, absl::ZeroDuration());
  EXPECT_LE(front_end_.NextDeadline(), machine_.clock.Monotonic());
  front_end_.OnDeadline();
  EXPECT_EQ(Served(), 1);
}

TEST_F(DeadlineTest, IsForgottenByReset) {
  link_->SetDeadline(0, absl::Milliseconds(5));
  front_end_.WriteStatus(0);
  EXPECT_EQ(front_end_.NextDeadline(), absl::InfiniteDuration());
}

// ---- Reset under way --------------------------------------------------------

TEST(VirtioFrontEndTest, ResetWaitsForALaneThatIsServed) {
  std::atomic<int> step = 0;
  std::atomic<bool> served = false;
  Machine machine({.on_serve =
                       [&](VirtioLink&, uint16_t) {
                         if (step != 1) return;
                         step = 2;
                         while (step != 3) std::this_thread::yield();
                         for (int i = 0; i < 100; ++i) {
                           std::this_thread::yield();
                         }
                         served = true;
                       },
                   .on_reset = [&] { EXPECT_TRUE(served); }});
  machine.StartQueue();
  step = 1;
  std::thread other([&] { machine.front_end->Poll(0); });
  while (step != 2) std::this_thread::yield();
  step = 3;
  machine.front_end->WriteStatus(0);
  EXPECT_TRUE(served);
  EXPECT_EQ(machine.device.resets(), 1);
  EXPECT_EQ(machine.device.misuses(), 0);
  other.join();
  const int serves = machine.device.serves(0);
  machine.front_end->Notify(0);
  EXPECT_EQ(machine.device.serves(0), serves);
}

TEST(VirtioFrontEndTest, RequestsHeldByABackEndAreForgottenByReset) {
  Machine machine({.completes_later = true});
  machine.StartQueue();
  machine.Send();
  machine.front_end->Notify(0);
  EXPECT_FALSE(machine.Received());
  machine.device.Complete(0);
  EXPECT_TRUE(machine.Received());
  EXPECT_EQ(machine.interrupts.queue, 1);

  machine.Send();
  machine.front_end->Notify(0);
  machine.front_end->WriteStatus(0);
  machine.device.Complete(0);
  EXPECT_FALSE(machine.Received());
  EXPECT_EQ(machine.interrupts.queue, 1);

  // The next driver does not get what the last one asked for.
  machine.StartQueue();
  machine.device.Complete(0);
  EXPECT_FALSE(machine.Received());
  machine.Send();
  machine.front_end->Notify(0);
  machine.device.Complete(0);
  EXPECT_TRUE(machine.Received());
  EXPECT_EQ(machine.device.misuses(), 0);
}

// ---- Configuration ----------------------------------------------------------

class ConfigTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSize = 12;

  std::vector<int> Read(uint64_t offset, size_t size) {
    std::vector<std::byte> data(size, std::byte{0xee});
    front_end_.ReadConfig(offset, data);
    std::vector<int> values;
    for (const std::byte byte : data) values.push_back(static_cast<int>(byte));
    return values;
  }

  Machine machine_{{.traits = {.config_size = kSize},
                    .config = {std::byte{1}, std::byte{2}, std::byte{3}}}};
  VirtioFrontEnd& front_end_ = *machine_.front_end;
};

TEST_F(ConfigTest, ReadsInAnySizeAndZeroesBehindIt) {
  EXPECT_THAT(Read(0, 1), ElementsAre(1));
  EXPECT_THAT(Read(1, 3), ElementsAre(2, 3, 0));
  EXPECT_THAT(Read(kSize - 1, 3), ElementsAre(0, 0, 0));
  EXPECT_THAT(Read(kSize, 2), ElementsAre(0, 0));
  EXPECT_THAT(Read(~uint64_t{0}, 2), ElementsAre(0, 0));
  EXPECT_THAT(Read(~uint64_t{0} - kSize, 2), ElementsAre(0, 0));
  EXPECT_EQ(Read(0, 300).size(), 300u);
  EXPECT_EQ(machine_.device.misuses(), 0);
}

TEST_F(ConfigTest, WritesWhatIsInsideOfIt) {
  const std::array<std::byte, 4> data{std::byte{7}, std::byte{8}, std::byte{9},
                                      std::byte{10}};
  front_end_.WriteConfig(kSize - 2, data);
  front_end_.WriteConfig(kSize, data);
  front_end_.WriteConfig(~uint64_t{0} - 1, data);
  EXPECT_THAT(Read(kSize - 4, 6), ElementsAre(0, 0, 7, 8, 0, 0));
  EXPECT_EQ(machine_.device.misuses(), 0);
}

TEST_F(ConfigTest, TheGenerationStaysWhileNothingChanges) {
  const uint32_t generation = front_end_.config_generation();
  Read(0, kSize);
  EXPECT_EQ(front_end_.config_generation(), generation);
}

// The driver reads a field in two accesses, and the device changes it between
// them; it has not told yet when the driver reads the generation again.
TEST_F(ConfigTest, AReadTornByAChangeIsSeenByTheGeneration) {
  const std::array<std::byte, 2> data{std::byte{0xa}, std::byte{0xb}};
  const uint32_t generation = front_end_.config_generation();
  EXPECT_THAT(Read(0, 1), ElementsAre(1));
  machine_.device.SetConfig(0, data, /*tell=*/false);
  EXPECT_THAT(Read(1, 1), ElementsAre(0xb));
  const uint32_t after = front_end_.config_generation();
  EXPECT_NE(after, generation);
  EXPECT_THAT(Read(0, 2), ElementsAre(0xa, 0xb));
  EXPECT_EQ(front_end_.config_generation(), after);
}

TEST_F(ConfigTest, AChangeIsToldToTheDriver) {
  EXPECT_TRUE(Negotiate(front_end_));
  front_end_.WriteStatus(kReady);
  const uint32_t generation = front_end_.config_generation();
  machine_.device.SetConfig(0, {}, /*tell=*/true);
  EXPECT_NE(front_end_.config_generation(), generation);
  EXPECT_EQ(machine_.interrupts.config, 1);
}

TEST_F(ConfigTest, TheGenerationSurvivesReset) {
  const std::array<std::byte, 1> data{std::byte{0xa}};
  machine_.device.SetConfig(0, data, /*tell=*/false);
  const uint32_t generation = front_end_.config_generation();
  front_end_.WriteStatus(0);
  EXPECT_EQ(front_end_.config_generation(), generation);
}

// ---- State ------------------------------------------------------------------

// The device that a guest's memory and driver find elsewhere.
class StateTest : public ::testing::TestWithParam<bool> {
 protected:
  static VirtqueueDriver::Options Ring() {
    return {.size = 16, .packed = GetParam(), .event_index = true};
  }
  static FakeVirtioDevice::Options Device() {
    return {.traits = {.queues = {{.max_size = 64}, {.max_size = 8}}}};
  }

  // A second front end over the first one's memory.
  StateTest() {
    target_ = *VirtioFrontEnd::Create(device_, *machine_.memory, clock_, {});
    target_->SetInterrupts(&interrupts_);
  }

  Machine machine_{Device()};
  ManualClock clock_;
  FakeVirtioDevice device_{Device()};
  CountedInterrupts interrupts_;
  std::unique_ptr<VirtioFrontEnd> target_;
};
INSTANTIATE_TEST_SUITE_P(SplitAndPacked, StateTest, ::testing::Bool());

TEST_P(StateTest, ADeviceGoesOnWhereTheOtherLeftOff) {
  machine_.StartQueue(Ring());
  for (int i = 0; i < 21; ++i) {
    machine_.Send();
    machine_.front_end->Notify(0);
    EXPECT_TRUE(machine_.Received());
  }
  const VirtioFrontEndState state = machine_.front_end->Save();
  EXPECT_THAT(target_->Validate(state), IsOk());
  ASSERT_THAT(target_->Restore(state), IsOk());
  EXPECT_EQ(target_->Save(), state);
  EXPECT_TRUE(target_->active());
  EXPECT_EQ(device_.activations(), 1);
  EXPECT_EQ(target_->QueueConfig(0), machine_.driver->config());
  for (int i = 0; i < 21; ++i) {
    EXPECT_TRUE(machine_.Send());
    target_->Notify(0);
    EXPECT_TRUE(machine_.Received());
  }
  EXPECT_FALSE(machine_.driver->Collect().has_value());
  EXPECT_EQ(device_.echoed(), 21u);
  // It keeps what its transport has restored.
  EXPECT_EQ(interrupts_.resets, 0);
}

// What the driver notified the old device of, and that one did not get to.
TEST_P(StateTest, ANotificationIsNotLostOnTheWay) {
  machine_.StartQueue(Ring());
  machine_.Send();
  ASSERT_THAT(target_->Restore(machine_.front_end->Save()), IsOk());
  EXPECT_TRUE(machine_.Received());
  EXPECT_EQ(interrupts_.queue, 1);
}

TEST_P(StateTest, EveryStageOfADriversStartIsAState) {
  VirtioFrontEnd& front_end = *machine_.front_end;
  const auto moves = [&] {
    const VirtioFrontEndState state = front_end.Save();
    EXPECT_THAT(target_->Restore(state), IsOk());
    EXPECT_EQ(target_->Save(), state);
    EXPECT_EQ(target_->ReadStatus(), front_end.ReadStatus());
  };
  moves();
  front_end.WriteStatus(kFound);
  WriteFeatures(front_end, 0x123400000000);
  moves();
  VirtqueueDriver driver(*machine_.memory, kRing, Ring());
  EXPECT_TRUE(Negotiate(front_end, FeaturesOf(driver.config())));
  SetUpQueue(front_end, 0, driver.config());
  moves();
  EXPECT_EQ(device_.activations(), 0);
  front_end.WriteStatus(kReady);
  moves();
  EXPECT_EQ(device_.activations(), 1);
  // A chain that ends it.
  driver.Add({{.gpa = Gpa(kMemorySize), .size = 4}});
  driver.Publish();
  front_end.Notify(0);
  EXPECT_EQ(front_end.ReadStatus(), kReady | kStatusNeedsReset);
  moves();
  EXPECT_EQ(device_.resets(), 1);
  front_end.WriteStatus(0);
  moves();
  EXPECT_EQ(device_.misuses(), 0);
}

TEST_P(StateTest, NamesWhatCannotBe) {
  machine_.StartQueue(Ring());
  const VirtioFrontEndState good = machine_.front_end->Save();
  struct Row {
    std::function<void(VirtioFrontEndState&)> change;
    std::string message;
  };
  const Row rows[] = {
      {[](auto& s) { s.status = 0x10; }, "status is 0x10"},
      {[](auto& s) { s.status = kStatusDriver; }, "status is 0x2"},
      {[](auto& s) { s.status = kFound | kStatusDriverOk; }, "status is 0x7"},
      {[](auto& s) { s.status = kNegotiated | kStatusNeedsReset; },
       "status is 0x4b"},
      {[](auto& s) { s.driver_features |= kRingReset; }, "driver_features"},
      {[](auto& s) { s.driver_features &= ~kVersion1; }, "driver_features"},
      {[](auto& s) { s.queues.pop_back(); }, "queues has 1 elements"},
      {[](auto& s) { s.status = kFound; }, "queues[0].enabled is 1"},
      {[](auto& s) { s.status = kNegotiated; }, "queues[0].ring is there"},
      {[](auto& s) { s.queues[0].ring.reset(); },
       "queues[0].ring is not there"},
      {[](auto& s) { s.queues[1].ring.emplace(); }, "queues[1].ring is there"},
  };
  ASSERT_THAT(target_->Restore(good), IsOk());
  for (const Row& row : rows) {
    SCOPED_TRACE(row.message);
    VirtioFrontEndState state = good;
    row.change(state);
    EXPECT_THAT(target_->Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("VirtioFrontEndState." + row.message)));
    EXPECT_EQ(target_->Save(), good);
    EXPECT_EQ(device_.resets(), 0);
  }
}

TEST_P(StateTest, ARingThatIsNotThereLeavesItReset) {
  machine_.StartQueue(Ring());
  const VirtioFrontEndState good = machine_.front_end->Save();
  const std::function<void(VirtioFrontEndState::Queue&)> changes[] = {
      [](auto& q) { q.device = Gpa(kMemorySize); },
      [](auto& q) { q.size = 128; },
      [](auto& q) { q.ring->next_used = q.ring->next_available - 17; },
  };
  for (const auto& change : changes) {
    VirtioFrontEndState state = good;
    change(state.queues[0]);
    EXPECT_THAT(target_->Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(target_->ReadStatus(), 0);
    EXPECT_FALSE(target_->QueueEnabled(0));
  }
  device_.set_activates(false);
  EXPECT_THAT(target_->Restore(good),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(target_->ReadStatus(), 0);
  EXPECT_EQ(device_.resets(), 1);
  device_.set_activates(true);
  EXPECT_THAT(target_->Restore(good), IsOk());
  EXPECT_EQ(device_.misuses(), 0);
}

TEST(VirtioFrontEndTest, ADeviceMayFailWhileItIsRestored) {
  bool fail = false;
  Machine machine({.on_activate = [&](VirtioLink& link) {
    if (fail) link.Fail();
  }});
  machine.StartQueue();
  const VirtioFrontEndState state = machine.front_end->Save();
  fail = true;
  const int serves = machine.device.serves(0);
  EXPECT_THAT(machine.front_end->Restore(state), IsOk());
  EXPECT_EQ(machine.front_end->ReadStatus(), kReady | kStatusNeedsReset);
  EXPECT_EQ(machine.interrupts.config, 1);
  EXPECT_EQ(machine.device.serves(0), serves);
}

}  // namespace
}  // namespace libvmm
