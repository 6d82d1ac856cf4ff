// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/input/virtio_input.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/input/input_profile.h"
#include "libvmm/devices/virtio/input/input_registers.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtioTestLink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using virtio::input::kEventQueue;
using virtio::input::kStatusQueue;
using virtio::input::Select;
using Event = VirtioInput::Event;
using SendResult = VirtioInput::SendResult;

constexpr Event kDown{input_code::kKey, 30, input_code::kPressed};
constexpr Event kUp{input_code::kKey, 30, input_code::kReleased};

std::string ToString(const Event& event) {
  return std::to_string(event.type) + ":" + std::to_string(event.code) + "=" +
         std::to_string(event.value);
}

class VirtioInputTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { Make({.profile = InputProfile::Keyboard()}); }

  void Make(VirtioInput::Options options) {
    link_.reset();
    options.room = [this] { ++rooms_; };
    options.status = [this](const Event& event) {
      status_.push_back(ToString(event));
    };
    auto device = VirtioInput::Create(std::move(options));
    ASSERT_OK(device);
    device_ = *std::move(device);
    link_.emplace(*device_, VirtioTestLink::Options{.packed = GetParam()});
    ASSERT_TRUE(link_->Activate());
  }

  // Buffers for so many events.
  void Provide(int count) {
    for (int i = 0; i < count; ++i) {
      buffers_.push_back(link_->Send(kEventQueue, {}, sizeof(Event)));
    }
  }

  std::vector<std::string> Received() {
    std::vector<std::string> events;
    while (!buffers_.empty()) {
      const auto reply = link_->Receive(buffers_.front());
      if (!reply.has_value()) break;
      buffers_.erase(buffers_.begin());
      EXPECT_EQ(reply->written, sizeof(Event));
      Event event;
      std::memcpy(&event, reply->bytes.data(), sizeof(event));
      events.push_back(ToString(event));
    }
    return events;
  }

  SendResult Send(const std::vector<Event>& frame) {
    return device_->Send(frame);
  }

  std::unique_ptr<VirtioInput> device_;
  std::optional<VirtioTestLink> link_;
  std::vector<VirtioTestLink::Sent> buffers_;
  std::vector<std::string> status_;
  int rooms_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioInputTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

TEST_P(VirtioInputTest, FramesComeWithTheirReport) {
  Provide(8);
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  EXPECT_THAT(Received(), ElementsAre("1:30=1", "0:0=0"));
  EXPECT_EQ(link_->interrupts(kEventQueue), 1u);
  EXPECT_EQ(Send({kUp, kDown}), SendResult::kTaken);
  EXPECT_THAT(Received(), ElementsAre("1:30=0", "1:30=1", "0:0=0"));
}

TEST_P(VirtioInputTest, EventsWaitForBuffers) {
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  EXPECT_EQ(Send({kUp}), SendResult::kTaken);
  Provide(1);
  EXPECT_THAT(Received(), ElementsAre("1:30=1"));
  Provide(5);
  EXPECT_THAT(Received(), ElementsAre("0:0=0", "1:30=0", "0:0=0"));
}

TEST_P(VirtioInputTest, FrameThatDoesNotFitIsRefusedWhole) {
  Make({.profile = InputProfile::Keyboard(), .capacity = 5});
  EXPECT_EQ(Send({kDown, kUp}), SendResult::kTaken);
  EXPECT_EQ(Send({kDown, kUp}), SendResult::kFull);
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  EXPECT_EQ(Send({kUp}), SendResult::kFull);
  EXPECT_EQ(rooms_, 0);
  Provide(4);
  EXPECT_EQ(rooms_, 0);
  Provide(1);
  EXPECT_EQ(rooms_, 1);
  EXPECT_EQ(Send({kUp}), SendResult::kTaken);
  Provide(2);
  EXPECT_EQ(rooms_, 1);
  EXPECT_THAT(Received(), ElementsAre("1:30=1", "1:30=0", "0:0=0", "1:30=1",
                                      "0:0=0", "1:30=0", "0:0=0"));
}

TEST_P(VirtioInputTest, RoomThatWasPromisedComesWithTheNextDriver) {
  Make({.profile = InputProfile::Keyboard(), .capacity = 5});
  EXPECT_EQ(Send({kDown, kUp}), SendResult::kTaken);
  EXPECT_EQ(Send({kDown, kUp}), SendResult::kFull);
  link_->Reset();
  EXPECT_EQ(Send({kDown}), SendResult::kNoDriver);
  EXPECT_EQ(rooms_, 0);
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(rooms_, 1);
}

TEST_P(VirtioInputTest, FramesThatCannotBeAreInvalid) {
  Make({.profile = InputProfile::Keyboard(), .capacity = 3});
  Provide(8);
  EXPECT_EQ(Send({}), SendResult::kInvalid);
  EXPECT_EQ(Send({kDown, {input_code::kAbsolute, 0, 5}}), SendResult::kInvalid);
  EXPECT_EQ(Send({{input_code::kSynchronize, 0, 0}}), SendResult::kInvalid);
  EXPECT_EQ(Send({kDown, kDown, kDown}), SendResult::kInvalid);
  EXPECT_THAT(Received(), IsEmpty());
  EXPECT_EQ(Send({kDown, kDown}), SendResult::kTaken);
}

TEST_P(VirtioInputTest, WithoutADriverNothingIsTaken) {
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  link_->Reset();
  EXPECT_EQ(Send({kDown}), SendResult::kNoDriver);
  ASSERT_TRUE(link_->Activate());
  Provide(4);
  EXPECT_THAT(Received(), IsEmpty());
  EXPECT_EQ(Send({kUp}), SendResult::kTaken);
  EXPECT_THAT(Received(), ElementsAre("1:30=0", "0:0=0"));
}

TEST_P(VirtioInputTest, BufferThatIsTooSmallForAnEventBreaksTheRules) {
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  EXPECT_FALSE(link_->Request(kEventQueue, {}, 7).has_value());
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioInputTest, StatusGoesToTheEmbedder) {
  const Event light{input_code::kLed, input_code::kCapsLock, 1};
  const auto reply =
      link_->Request(kStatusQueue, std::as_bytes(std::span(&light, 1)), 0);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
  EXPECT_THAT(status_, ElementsAre("17:1=1"));
}

TEST_P(VirtioInputTest, ShortStatusBreaksTheRules) {
  const std::array<std::byte, 7> bytes{};
  EXPECT_FALSE(link_->Request(kStatusQueue, bytes, 0).has_value());
  EXPECT_TRUE(link_->failed());
  EXPECT_THAT(status_, IsEmpty());
}

TEST_P(VirtioInputTest, WorksWithoutAStatusQueue) {
  link_->Reset();
  VirtioTestLink link(*device_,
                      {.packed = GetParam(), .disabled = {kStatusQueue}});
  ASSERT_TRUE(link.Activate());
  EXPECT_EQ(Send({kDown}), SendResult::kTaken);
  EXPECT_TRUE(link.Request(kEventQueue, {}, 8).has_value());
}

TEST_P(VirtioInputTest, NeedsItsEventQueue) {
  link_->Reset();
  VirtioTestLink link(*device_,
                      {.packed = GetParam(), .disabled = {kEventQueue}});
  EXPECT_FALSE(link.Activate());
  EXPECT_EQ(Send({kDown}), SendResult::kNoDriver);
}

// ---- The configuration space

TEST_P(VirtioInputTest, ConfigurationShowsWhatWasSelected) {
  const std::array select{static_cast<std::byte>(Select::kEventCodes),
                          static_cast<std::byte>(input_code::kLed)};
  device_->WriteConfig(0, select);
  std::array<uint8_t, 136> config;
  device_->ReadConfig(0, std::as_writable_bytes(std::span(config)));
  EXPECT_EQ(config[0], 0x11);
  EXPECT_EQ(config[1], 0x11);
  EXPECT_EQ(config[2], 1);
  EXPECT_EQ(config[8], 7);
  for (size_t i = 3; i < config.size(); ++i) {
    EXPECT_EQ(config[i], i == 8 ? 7 : 0) << i;
  }
  // A byte at a time.
  device_->WriteConfig(1, std::array{std::byte{0}});
  device_->WriteConfig(0, std::array{static_cast<std::byte>(Select::kName)});
  std::array<uint8_t, 1> size;
  device_->ReadConfig(2, std::as_writable_bytes(std::span(size)));
  EXPECT_EQ(size[0], InputProfile::Keyboard().name.size());
  std::array<char, 6> name;
  device_->ReadConfig(8, std::as_writable_bytes(std::span(name)));
  EXPECT_EQ(std::string(name.data(), name.size()), "libvmm");
}

TEST_P(VirtioInputTest, OnlyTheSelectionCanBeWritten) {
  std::array<std::byte, 136> ones;
  ones.fill(std::byte{1});
  device_->WriteConfig(0, ones);
  std::array<uint8_t, 136> config;
  device_->ReadConfig(0, std::as_writable_bytes(std::span(config)));
  EXPECT_EQ(config[0], 1);
  EXPECT_EQ(config[1], 1);
  for (size_t i = 2; i < config.size(); ++i) EXPECT_EQ(config[i], 0) << i;
  link_->Reset();
  device_->ReadConfig(0, std::as_writable_bytes(std::span(config)));
  EXPECT_EQ(config[0], 0);
  EXPECT_EQ(config[1], 0);
}

TEST(VirtioInputOptionsTest, TraitsAreThoseOfTheDevice) {
  const auto device = *VirtioInput::Create({.profile = InputProfile::Tablet()});
  EXPECT_EQ(device->traits().id, VirtioDeviceId::kInput);
  EXPECT_EQ(device->traits().features, virtio::kInOrder);
  EXPECT_EQ(device->traits().queues.size(), 2u);
  EXPECT_EQ(device->traits().config_size, 136u);
}

TEST(VirtioInputOptionsTest, CreateNamesWhatCannotBe) {
  EXPECT_THAT(
      VirtioInput::Create({.capacity = 1}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("capacity is 1")));
  EXPECT_THAT(VirtioInput::Create({.queue_size = 6}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queue_size is 6")));
  EXPECT_THAT(VirtioInput::Create({.profile = {.name = std::string(200, 'n')}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("InputProfile.name has 200 bytes")));
}

}  // namespace
}  // namespace libvmm
