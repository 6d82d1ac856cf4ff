// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/virtio_console.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/console/console_registers.h"
#include "libvmm/devices/virtio/console/console_size.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::VirtioTestLink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace virtio::console;  // NOLINT: the specification's names.

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string Text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// The embedder's end of a port.
struct Terminal {
  VirtioConsole::Port Port() {
    return {.sink =
                [this](std::span<const std::byte> bytes) {
                  ++calls;
                  const size_t taken = std::min(bytes.size(), takes);
                  if (takes != kUnlimited) takes -= taken;
                  out += Text(bytes.first(taken));
                  return taken;
                },
            .room = [this] { ++rooms; },
            .guest_open = [this](bool open) { opened.push_back(open); }};
  }

  std::string out;
  size_t takes = kUnlimited;
  int calls = 0;
  int rooms = 0;
  std::vector<bool> opened;
};

class VirtioConsoleTest : public ::testing::TestWithParam<bool> {
 protected:
  // A console of one port, unless ports are given.
  void Make(VirtioConsole::Options options = {}, uint64_t features = 0,
            VirtioTestLink::Options link = {}) {
    link_.reset();
    if (options.ports.empty()) options.ports.push_back(terminal_.Port());
    auto device = VirtioConsole::Create(std::move(options));
    ASSERT_OK(device);
    device_ = *std::move(device);
    link.features = features;
    link.packed = GetParam();
    link_.emplace(*device_, link);
    ASSERT_TRUE(link_->Activate());
  }

  // Two ports and a driver that made them known to itself.
  void MakeTwo() {
    VirtioConsole::Options options;
    options.ports.push_back(terminal_.Port());
    options.ports.back().console = true;
    options.ports.push_back(other_.Port());
    options.ports.back().name = "agent";
    Make(std::move(options), kMultiport);
    for (int i = 0; i < 16; ++i) {
      control_.push_back(link_->Send(kControlReceiveQueue, {}, 128));
    }
    Tell(0, Event::kDeviceReady, 1);
    Tell(0, Event::kPortReady, 1);
    Tell(1, Event::kPortReady, 1);
    Tell(0, Event::kPortOpen, 1);
    Tell(1, Event::kPortOpen, 1);
    (void)Told();
  }

  void Tell(uint32_t port, Event event, uint16_t value) {
    const ControlMessage message{port, event, value};
    EXPECT_TRUE(link_
                    ->Request(kControlTransmitQueue,
                              std::as_bytes(std::span(&message, 1)), 0)
                    .has_value());
  }

  // The control messages that came, as "event port value rest".
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    while (!control_.empty()) {
      const auto reply = link_->Receive(control_.front());
      if (!reply.has_value()) break;
      control_.erase(control_.begin());
      ControlMessage message;
      EXPECT_GE(reply->written, sizeof(message));
      std::memcpy(&message, reply->bytes.data(), sizeof(message));
      told.push_back(std::to_string(static_cast<int>(message.event)) + " " +
                     std::to_string(message.port) + " " +
                     std::to_string(message.value) + " " +
                     Text(std::span(reply->bytes)
                              .subspan(sizeof(message),
                                       reply->written - sizeof(message))));
    }
    return told;
  }

  bool Output(const std::string& text, uint16_t port = 0) {
    const auto reply = link_->Request(TransmitQueue(port), BytesOf(text), 0);
    return reply.has_value() && reply->written == 0;
  }

  Terminal terminal_;
  Terminal other_;
  std::unique_ptr<VirtioConsole> device_;
  std::optional<VirtioTestLink> link_;
  std::vector<VirtioTestLink::Sent> control_;
};

INSTANTIATE_TEST_SUITE_P(Rings, VirtioConsoleTest, ::testing::Bool(),
                         [](const auto& ring) {
                           return ring.param ? "Packed" : "Split";
                         });

// ---- Output

TEST_P(VirtioConsoleTest, OutputGoesToTheSink) {
  Make();
  EXPECT_TRUE(Output("hello, "));
  EXPECT_TRUE(Output("world"));
  EXPECT_EQ(terminal_.out, "hello, world");
  EXPECT_EQ(terminal_.calls, 2);
}

TEST_P(VirtioConsoleTest, OutputInPiecesComesInOrder) {
  Make();
  std::string text(10000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  const Gpa gpa = link_->Put(BytesOf(text));
  auto& driver = link_->driver(TransmitQueue(0));
  ASSERT_TRUE(driver
                  .Add({{.gpa = gpa, .size = 1},
                        {.gpa = gpa + 1, .size = 4999},
                        {.gpa = gpa + 5000, .size = 5000}})
                  .has_value());
  link_->Kick(TransmitQueue(0));
  EXPECT_TRUE(driver.Collect().has_value());
  EXPECT_EQ(terminal_.out, text);
}

TEST_P(VirtioConsoleTest, SinkThatTakesLessGetsTheRestAfterResume) {
  Make();
  terminal_.takes = 3;
  const auto first = link_->Send(TransmitQueue(0), BytesOf("abcdef"), 0);
  const auto second = link_->Send(TransmitQueue(0), BytesOf("gh"), 0);
  EXPECT_EQ(terminal_.out, "abc");
  EXPECT_FALSE(link_->Receive(first).has_value());
  terminal_.takes = 2;
  device_->Resume(0);
  EXPECT_EQ(terminal_.out, "abcde");
  terminal_.takes = kUnlimited;
  device_->Resume(0);
  EXPECT_EQ(terminal_.out, "abcdefgh");
  EXPECT_TRUE(link_->Receive(first).has_value());
  EXPECT_TRUE(link_->Receive(second).has_value());
}

TEST_P(VirtioConsoleTest, GuestCannotMakeAFullSinkBusy) {
  Make();
  terminal_.takes = 0;
  (void)link_->Send(TransmitQueue(0), BytesOf("abc"), 0);
  EXPECT_EQ(terminal_.calls, 1);
  for (int i = 0; i < 10; ++i) link_->Notify(TransmitQueue(0));
  EXPECT_EQ(terminal_.calls, 1);
  device_->Resume(0);
  EXPECT_EQ(terminal_.calls, 2);
}

TEST_P(VirtioConsoleTest, ResumeFromInsideTheSinkIsNotLost) {
  VirtioConsole* console = nullptr;
  std::string out;
  VirtioConsole::Options options;
  options.ports.push_back({.sink = [&](std::span<const std::byte> bytes) {
    // One byte at a time, and ready for the next at once.
    console->Resume(0);
    out += Text(bytes.first(1));
    return size_t{1};
  }});
  link_.reset();
  device_ = *VirtioConsole::Create(std::move(options));
  console = device_.get();
  link_.emplace(*device_, VirtioTestLink::Options{.packed = GetParam()});
  ASSERT_TRUE(link_->Activate());
  EXPECT_TRUE(Output("abcdef"));
  EXPECT_EQ(out, "abcdef");
}

TEST_P(VirtioConsoleTest, OneServeMovesABoundedAmountEachWay) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports[0].input_capacity = 1 << 20;
  Make(std::move(options));
  const std::string text(200 * 1024, 'x');
  uint64_t before = link_->serves(0);
  EXPECT_TRUE(Output(text));
  EXPECT_EQ(link_->serves(0) - before, 4u);
  EXPECT_EQ(terminal_.out, text);

  EXPECT_EQ(device_->Send(0, BytesOf(text)), text.size());
  before = link_->serves(0);
  const auto reply = link_->Request(ReceiveQueue(0), {}, 200 * 1024);
  ASSERT_TRUE(reply.has_value());
  // The rest finds no buffer.
  EXPECT_EQ(reply->written, VirtioConsole::kServeBytes);
  EXPECT_EQ(link_->serves(0) - before, 1u);
}

TEST_P(VirtioConsoleTest, OutputWithoutBytesIsGivenBack) {
  Make();
  EXPECT_TRUE(link_->Request(TransmitQueue(0), {}, 16).has_value());
  EXPECT_EQ(terminal_.calls, 0);
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioConsoleTest, WithoutASinkOutputIsTaken) {
  VirtioConsole::Options options;
  options.ports.resize(1);
  Make(std::move(options));
  EXPECT_TRUE(Output("abc"));
}

TEST_P(VirtioConsoleTest, SinkThatSaysMoreThanItWasGivenTookAll) {
  VirtioConsole::Options options;
  options.ports.push_back(
      {.sink = [](std::span<const std::byte>) { return kUnlimited; }});
  Make(std::move(options));
  EXPECT_TRUE(Output("abc"));
  EXPECT_TRUE(Output("def"));
}

TEST_P(VirtioConsoleTest, ResetForgetsTheHalfOfAChainThatWasTaken) {
  Make();
  terminal_.takes = 2;
  (void)link_->Send(TransmitQueue(0), BytesOf("abcd"), 0);
  link_->Reset();
  terminal_.takes = kUnlimited;
  device_->Resume(0);
  EXPECT_EQ(terminal_.out, "ab");
  ASSERT_TRUE(link_->Activate());
  EXPECT_TRUE(Output("efgh"));
  EXPECT_EQ(terminal_.out, "abefgh");
}

// ---- Input

TEST_P(VirtioConsoleTest, InputFillsBuffers) {
  Make();
  const auto sent = link_->Send(ReceiveQueue(0), {}, 16);
  EXPECT_EQ(device_->Send(0, BytesOf("hi")), 2u);
  const auto reply = link_->Receive(sent);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 2u);
  EXPECT_EQ(Text(std::span(reply->bytes).first(2)), "hi");
  EXPECT_EQ(reply->bytes[2], std::byte{0});
  EXPECT_EQ(link_->interrupts(ReceiveQueue(0)), 1u);
}

TEST_P(VirtioConsoleTest, InputWaitsForBuffers) {
  Make();
  EXPECT_EQ(device_->Send(0, BytesOf("abcdef")), 6u);
  const auto first = link_->Request(ReceiveQueue(0), {}, 4);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(Text(first->bytes), "abcd");
  const auto second = link_->Request(ReceiveQueue(0), {}, 4);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->written, 2u);
  EXPECT_EQ(Text(std::span(second->bytes).first(2)), "ef");
  EXPECT_FALSE(link_->Request(ReceiveQueue(0), {}, 4).has_value());
}

TEST_P(VirtioConsoleTest, InputSentBeforeThereIsADriverIsThereForIt) {
  Make();
  link_->Reset();
  EXPECT_EQ(device_->Send(0, BytesOf("early")), 5u);
  ASSERT_TRUE(link_->Activate());
  EXPECT_EQ(link_->Request(ReceiveQueue(0), {}, 16)->written, 5u);
}

TEST_P(VirtioConsoleTest, InputIsBoundedAndRoomIsTold) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports[0].input_capacity = 4;
  Make(std::move(options));
  EXPECT_EQ(device_->Send(0, BytesOf("abcdef")), 4u);
  EXPECT_EQ(device_->Send(0, BytesOf("ef")), 0u);
  EXPECT_EQ(terminal_.rooms, 0);
  EXPECT_EQ(link_->Request(ReceiveQueue(0), {}, 2)->written, 2u);
  EXPECT_EQ(terminal_.rooms, 1);
  EXPECT_EQ(device_->Send(0, BytesOf("ef")), 2u);
  EXPECT_EQ(link_->Request(ReceiveQueue(0), {}, 9)->written, 4u);
  EXPECT_EQ(terminal_.rooms, 1);
}

TEST_P(VirtioConsoleTest, BufferWithoutRoomForInputBreaksTheRules) {
  Make();
  EXPECT_FALSE(link_->Request(ReceiveQueue(0), BytesOf("x"), 0).has_value());
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioConsoleTest, ResetDropsInputOfTheDriverThatIsGone) {
  Make();
  EXPECT_EQ(device_->Send(0, BytesOf("old")), 3u);
  link_->Reset();
  ASSERT_TRUE(link_->Activate());
  EXPECT_FALSE(link_->Request(ReceiveQueue(0), {}, 16).has_value());
}

TEST_P(VirtioConsoleTest, PortsThatAreNotThereAreIgnored) {
  Make();
  EXPECT_EQ(device_->Send(1, BytesOf("x")), 0u);
  device_->Resume(1);
  device_->Resize(1, {1, 1});
  device_->AddPort(1);
  device_->RemovePort(0xffff);
  device_->SetOpen(1, true);
  EXPECT_FALSE(device_->guest_open(1));
  EXPECT_EQ(link_->config_changes(), 0u);
}

// ---- The configuration space

TEST_P(VirtioConsoleTest, SizeIsInTheConfigurationAndItsChangesTold) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports[0].size = ConsoleSize{80, 25};
  Make(std::move(options), kSize);
  EXPECT_EQ(device_->traits().features, kSize | virtio::kInOrder);
  std::array<uint8_t, 12> config;
  device_->ReadConfig(0, std::as_writable_bytes(std::span(config)));
  EXPECT_THAT(config, ElementsAre(80, 0, 25, 0, 1, 0, 0, 0, 0, 0, 0, 0));
  device_->Resize(0, {0x1234, 0x5678});
  EXPECT_EQ(link_->config_changes(), 1u);
  std::array<uint8_t, 3> middle;
  device_->ReadConfig(1, std::as_writable_bytes(std::span(middle)));
  EXPECT_THAT(middle, ElementsAre(0x12, 0x78, 0x56));
}

TEST_P(VirtioConsoleTest, WithoutASizeNoneIsOffered) {
  Make();
  EXPECT_EQ(device_->traits().features, virtio::kInOrder);
  device_->Resize(0, {1, 1});
  EXPECT_EQ(link_->config_changes(), 0u);
}

TEST_P(VirtioConsoleTest, EmergencyWriteNeedsNoQueue) {
  std::string characters;
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.emergency_write = [&](std::byte character) {
    characters += static_cast<char>(character);
  };
  Make(std::move(options));
  EXPECT_EQ(device_->traits().features, kEmergencyWrite | virtio::kInOrder);
  link_->Reset();
  device_->WriteConfig(8, BytesOf(std::string("A\0\0\0", 4)));
  device_->WriteConfig(8, BytesOf("B"));
  device_->WriteConfig(8, {});
  device_->WriteConfig(9, BytesOf("C"));
  device_->WriteConfig(0, BytesOf("DDDDDDDDDDDD"));
  EXPECT_EQ(characters, "AB");
}

TEST_P(VirtioConsoleTest, EmergencyWriteThatIsNotOfferedIsDropped) {
  Make();
  device_->WriteConfig(8, BytesOf("A"));
  EXPECT_EQ(terminal_.out, "");
}

// ---- Several ports

TEST_P(VirtioConsoleTest, PortsAreIntroduced) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports[0].console = true;
  options.ports[0].size = ConsoleSize{80, 25};
  options.ports.push_back(other_.Port());
  options.ports[1].name = "agent";
  options.ports[1].open = false;
  Make(std::move(options), kMultiport | kSize);
  EXPECT_EQ(device_->traits().queues.size(), 6u);
  for (int i = 0; i < 16; ++i) {
    control_.push_back(link_->Send(kControlReceiveQueue, {}, 128));
  }
  EXPECT_THAT(Told(), IsEmpty());
  Tell(0, Event::kDeviceReady, 1);
  EXPECT_THAT(Told(), ElementsAre("1 0 0 ", "1 1 0 "));
  Tell(1, Event::kPortReady, 1);
  EXPECT_THAT(Told(), ElementsAre("7 1 1 agent"));
  Tell(0, Event::kPortReady, 1);
  EXPECT_THAT(
      Told(),
      ElementsAre("4 0 1 ", "5 0 0 " + std::string("\x19\0P\0", 4), "6 0 1 "));
}

TEST_P(VirtioConsoleTest, ControlMessagesWaitForBuffers) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports.push_back(other_.Port());
  Make(std::move(options), kMultiport);
  Tell(0, Event::kDeviceReady, 1);
  control_.push_back(link_->Send(kControlReceiveQueue, {}, 8));
  EXPECT_THAT(Told(), ElementsAre("1 0 0 "));
  control_.push_back(link_->Send(kControlReceiveQueue, {}, 8));
  control_.push_back(link_->Send(kControlReceiveQueue, {}, 8));
  EXPECT_THAT(Told(), ElementsAre("1 1 0 "));
}

TEST_P(VirtioConsoleTest, PortsAreApartFromEachOther) {
  MakeTwo();
  EXPECT_TRUE(Output("zero", 0));
  terminal_.takes = 0;
  (void)link_->Send(TransmitQueue(0), BytesOf("stuck"), 0);
  EXPECT_TRUE(Output("one", 1));
  EXPECT_EQ(terminal_.out, "zero");
  EXPECT_EQ(other_.out, "one");
  EXPECT_EQ(device_->Send(1, BytesOf("in")), 2u);
  EXPECT_FALSE(link_->Request(ReceiveQueue(0), {}, 8).has_value());
  EXPECT_EQ(link_->Request(ReceiveQueue(1), {}, 8)->written, 2u);
}

TEST_P(VirtioConsoleTest, InputWaitsUntilTheGuestOpenedThePort) {
  MakeTwo();
  Tell(1, Event::kPortOpen, 0);
  EXPECT_FALSE(device_->guest_open(1));
  EXPECT_EQ(device_->Send(1, BytesOf("abc")), 3u);
  const auto sent = link_->Send(ReceiveQueue(1), {}, 8);
  EXPECT_FALSE(link_->Receive(sent).has_value());
  Tell(1, Event::kPortOpen, 1);
  EXPECT_TRUE(device_->guest_open(1));
  EXPECT_EQ(link_->Receive(sent)->written, 3u);
  EXPECT_THAT(other_.opened, ElementsAre(true, false, true));
  EXPECT_THAT(terminal_.opened, ElementsAre(true));
}

TEST_P(VirtioConsoleTest, EmbedderOpensClosesAndResizes) {
  MakeTwo();
  device_->SetOpen(1, false);
  EXPECT_THAT(Told(), ElementsAre("6 1 0 "));
  device_->SetOpen(1, true);
  EXPECT_THAT(Told(), ElementsAre("6 1 1 "));
  device_->Resize(0, {0x4241, 0x4443});
  EXPECT_THAT(Told(), ElementsAre("5 0 0 CDAB"));
}

TEST_P(VirtioConsoleTest, PortThatIsTakenAwayIsServedNoMore) {
  MakeTwo();
  device_->RemovePort(1);
  EXPECT_THAT(Told(), ElementsAre("2 1 0 "));
  EXPECT_FALSE(Output("x", 1));
  EXPECT_EQ(other_.out, "");
  EXPECT_FALSE(device_->guest_open(1));
  device_->AddPort(1);
  EXPECT_THAT(Told(), ElementsAre("1 1 0 "));
  Tell(1, Event::kPortReady, 1);
  EXPECT_THAT(Told(), ElementsAre("7 1 1 agent", "6 1 1 "));
}

TEST_P(VirtioConsoleTest, PortThatComesAgainStartsWithAWholeChain) {
  MakeTwo();
  other_.takes = 2;
  auto& driver = link_->driver(TransmitQueue(1));
  const Gpa first = link_->Put(BytesOf("abcd"));
  ASSERT_TRUE(driver.Add({{.gpa = first, .size = 4}}).has_value());
  link_->Kick(TransmitQueue(1));
  EXPECT_EQ(other_.out, "ab");
  device_->RemovePort(1);
  device_->AddPort(1);
  (void)Told();
  // The driver put another chain in the place of the one that is lost.
  ASSERT_TRUE(link_->memory().Write(first, BytesOf("efgh")));
  other_.takes = kUnlimited;
  link_->Notify(TransmitQueue(1));
  EXPECT_EQ(other_.out, "abefgh");
}

TEST_P(VirtioConsoleTest, ShortControlMessageBreaksTheRules) {
  MakeTwo();
  EXPECT_FALSE(
      link_->Request(kControlTransmitQueue, BytesOf("1234567"), 0).has_value());
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioConsoleTest, ControlBufferThatIsTooSmallBreaksTheRules) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.multiport = true;
  Make(std::move(options), kMultiport);
  Tell(0, Event::kDeviceReady, 1);
  EXPECT_FALSE(link_->Request(kControlReceiveQueue, {}, 7).has_value());
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioConsoleTest, GuestChosenPortNumbersAreBounded) {
  MakeTwo();
  for (const uint32_t port : {2u, 0xffffu, 0x10001u, 0xffffffffu}) {
    Tell(port, Event::kPortReady, 1);
    Tell(port, Event::kPortOpen, 1);
  }
  EXPECT_FALSE(link_->failed());
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_P(VirtioConsoleTest, DriverOfOnePortHasPortZero) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports.push_back(other_.Port());
  Make(std::move(options), /*features=*/0, {.disabled = {2, 3, 4, 5}});
  EXPECT_TRUE(Output("abc"));
  EXPECT_EQ(terminal_.out, "abc");
  EXPECT_EQ(device_->Send(0, BytesOf("x")), 1u);
  EXPECT_TRUE(link_->Request(ReceiveQueue(0), {}, 8).has_value());
  EXPECT_EQ(device_->Send(1, BytesOf("x")), 1u);
  device_->SetOpen(1, false);
  device_->RemovePort(0);
  EXPECT_TRUE(Output("def"));
}

TEST_P(VirtioConsoleTest, QueuesOfOtherPortsAreNotServedWithoutSeveralPorts) {
  VirtioConsole::Options options;
  options.ports.push_back(terminal_.Port());
  options.ports.push_back(other_.Port());
  Make(std::move(options), /*features=*/0);
  EXPECT_FALSE(Output("abc", 1));
  EXPECT_EQ(other_.out, "");
  const ControlMessage ready{.event = Event::kDeviceReady, .value = 1};
  EXPECT_FALSE(link_
                   ->Request(kControlTransmitQueue,
                             std::as_bytes(std::span(&ready, 1)), 0)
                   .has_value());
}

TEST_P(VirtioConsoleTest, ResetStartsTheIntroductionAnew) {
  MakeTwo();
  link_->Reset();
  control_.clear();
  EXPECT_FALSE(device_->guest_open(0));
  ASSERT_TRUE(link_->Activate());
  for (int i = 0; i < 4; ++i) {
    control_.push_back(link_->Send(kControlReceiveQueue, {}, 128));
  }
  EXPECT_THAT(Told(), IsEmpty());
  Tell(0, Event::kDeviceReady, 1);
  EXPECT_THAT(Told(), ElementsAre("1 0 0 ", "1 1 0 "));
}

TEST_P(VirtioConsoleTest, NeedsBothQueuesOfPortZero) {
  Make();
  link_->Reset();
  for (const uint16_t queue : {0, 1}) {
    VirtioTestLink link(*device_, {.packed = GetParam(), .disabled = {queue}});
    EXPECT_FALSE(link.Activate());
  }
}

TEST(VirtioConsoleOptionsTest, QueuesAndLanesAreThoseOfThePorts) {
  for (const uint16_t ports : {1, 2, 5, 64}) {
    VirtioConsole::Options options{.multiport = true};
    options.ports.resize(ports);
    const auto device = *VirtioConsole::Create(std::move(options));
    const VirtioDevice::Traits& traits = device->traits();
    EXPECT_EQ(traits.id, VirtioDeviceId::kConsole);
    EXPECT_EQ(traits.lanes, ports + 1);
    EXPECT_EQ(traits.config_size, 12u);
    ASSERT_EQ(traits.queues.size(), size_t{ports} * 2 + 2);
    EXPECT_EQ(traits.queues[kControlReceiveQueue].lane, ports);
    EXPECT_EQ(traits.queues[kControlTransmitQueue].lane, ports);
    for (uint16_t port = 0; port < ports; ++port) {
      EXPECT_EQ(traits.queues[ReceiveQueue(port)].lane, port);
      EXPECT_EQ(traits.queues[TransmitQueue(port)].lane, port);
    }
  }
}

TEST(VirtioConsoleOptionsTest, CreateNamesWhatCannotBe) {
  const auto with = [](VirtioConsole::Port port) {
    VirtioConsole::Options options;
    options.ports.push_back(std::move(port));
    return options;
  };
  EXPECT_THAT(VirtioConsole::Create({}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ports has 0 elements")));
  VirtioConsole::Options many;
  many.ports.resize(65);
  EXPECT_THAT(VirtioConsole::Create(std::move(many)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ports has 65 elements")));
  EXPECT_THAT(VirtioConsole::Create(with({.name = std::string(65, 'n')})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ports[0].name has 65 bytes")));
  EXPECT_THAT(VirtioConsole::Create(with({.input_capacity = 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ports[0].input_capacity is zero")));
  VirtioConsole::Options odd = with({});
  odd.queue_size = 0;
  EXPECT_THAT(VirtioConsole::Create(std::move(odd)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queue_size is 0")));
}

}  // namespace
}  // namespace libvmm
