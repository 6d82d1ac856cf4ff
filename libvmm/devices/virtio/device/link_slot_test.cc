// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/device/link_slot.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/repetitions.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;

class FakeLink final : public VirtioLink {
 public:
  uint64_t features() const override { return 0; }
  GuestMemory& memory() override { return *memory_; }
  const Clock& clock() const override { return clock_; }
  Virtqueue* queue(uint16_t) override { return nullptr; }
  void Interrupt(uint16_t) override {}
  void ConfigChanged() override { ++config_changes; }
  void Fail() override {}
  void Wake(uint16_t lane) override {
    ++wakes;
    if (on_wake != nullptr) on_wake(lane);
  }
  void SetDeadline(uint16_t, absl::Duration) override {}

  std::atomic<int> wakes = 0;
  std::atomic<int> config_changes = 0;
  absl::AnyInvocable<void(uint16_t lane)> on_wake = nullptr;

 private:
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
};

TEST(LinkSlotTest, PassesOnWhileThereIsALink) {
  LinkSlot slot;
  FakeLink link;
  slot.Wake(0);
  slot.ConfigChanged();
  slot.Set(link);
  std::vector<uint16_t> lanes;
  link.on_wake = [&](uint16_t lane) { lanes.push_back(lane); };
  slot.Wake(3);
  slot.Wake(0);
  slot.ConfigChanged();
  slot.Clear();
  slot.Wake(4);
  slot.ConfigChanged();
  EXPECT_THAT(lanes, ::testing::ElementsAre(3, 0));
  EXPECT_EQ(link.config_changes, 1);
}

TEST(LinkSlotTest, MayBeUsedFromInside) {
  LinkSlot slot;
  FakeLink link;
  slot.Set(link);
  link.on_wake = [&](uint16_t lane) {
    if (lane < 3) slot.Wake(static_cast<uint16_t>(lane + 1));
    slot.ConfigChanged();
  };
  slot.Wake(0);
  slot.Clear();
  EXPECT_EQ(link.wakes, 4);
  EXPECT_EQ(link.config_changes, 4);
}

// The link is gone after Clear: ThreadSanitizer and AddressSanitizer see a use
// after it.
TEST(LinkSlotTest, ClearWaitsForThoseThatUseTheLink) {
  LinkSlot slot;
  std::atomic<bool> stop = false;
  std::vector<std::thread> users;
  for (int i = 0; i < 2; ++i) {
    users.emplace_back([&] {
      while (!stop) slot.Wake(1);
    });
  }
  for (int i = 0; i < Repetitions(2000); ++i) {
    auto link = std::make_unique<FakeLink>();
    std::atomic<int> inside = 0;
    link->on_wake = [&](uint16_t) {
      ++inside;
      --inside;
    };
    slot.Set(*link);
    while (i % 64 == 0 && link->wakes == 0) std::this_thread::yield();
    slot.Clear();
    EXPECT_EQ(inside, 0);
  }
  stop = true;
  for (std::thread& user : users) user.join();
}

}  // namespace
}  // namespace libvmm
