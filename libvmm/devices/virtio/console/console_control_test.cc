// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/console_control.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/console/console_registers.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using virtio::console::ControlMessage;
using virtio::console::Event;

struct Told {
  uint32_t port;
  Event event;
  uint16_t value = 0;
  std::string rest = {};
  bool operator==(const Told&) const = default;
};

std::vector<Told> All(ConsoleControl& control) {
  std::vector<Told> told;
  std::array<std::byte, ConsoleControl::kMaxMessageSize> bytes;
  while (const size_t size = control.Next(bytes)) {
    ControlMessage message;
    EXPECT_GE(size, sizeof(message));
    std::memcpy(&message, bytes.data(), sizeof(message));
    told.push_back({message.port, message.event, message.value,
                    std::string(reinterpret_cast<const char*>(bytes.data()) +
                                    sizeof(message),
                                size - sizeof(message))});
  }
  return told;
}

constexpr ControlMessage Ready() {
  return {.event = Event::kDeviceReady, .value = 1};
}
constexpr ControlMessage PortReady(uint32_t port) {
  return {.port = port, .event = Event::kPortReady, .value = 1};
}
constexpr ControlMessage Open(uint32_t port, bool open = true) {
  return {.port = port,
          .event = Event::kPortOpen,
          .value = static_cast<uint16_t>(open ? 1 : 0)};
}

TEST(ConsoleControlTest, NothingIsToldBeforeTheDriverIsReady) {
  ConsoleControl control({{.console = true}, {.name = "agent"}}, true);
  control.SetOpen(1, false);
  control.SetSize(0, {80, 25});
  EXPECT_THAT(All(control), IsEmpty());
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_EQ(control.Receive({.event = Event::kDeviceReady, .value = 0}),
            std::nullopt);
  EXPECT_THAT(All(control), IsEmpty());
}

TEST(ConsoleControlTest, PortsAreAddedAndDescribedWhenTheyAreReady) {
  ConsoleControl control({{.console = true, .size = ConsoleSize{80, 25}},
                          {.name = "agent", .open = false},
                          {.present = false}},
                         /*rows_first=*/false);
  EXPECT_EQ(control.Receive(Ready()), std::nullopt);
  EXPECT_THAT(All(control),
              ElementsAre(Told{0, Event::kPortAdd}, Told{1, Event::kPortAdd}));
  EXPECT_EQ(control.Receive(PortReady(1)), std::nullopt);
  EXPECT_THAT(All(control), ElementsAre(Told{1, Event::kPortName, 1, "agent"}));
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_THAT(All(control),
              ElementsAre(Told{0, Event::kConsolePort, 1},
                          Told{0, Event::kResize, 0,
                               std::string("\x50\x00\x19\x00", 4)},
                          Told{0, Event::kPortOpen, 1}));
  // Not again.
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_EQ(control.Receive(Ready()), std::nullopt);
  EXPECT_THAT(All(control), IsEmpty());
}

TEST(ConsoleControlTest, RowsComeFirstWhereThatIsWanted) {
  ConsoleControl control({{.console = true}}, /*rows_first=*/true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  (void)All(control);
  control.SetSize(0, {0x1234, 0x5678});
  EXPECT_THAT(All(control),
              ElementsAre(Told{0, Event::kResize, 0, "\x78\x56\x34\x12"}));
  EXPECT_EQ(control.size(0), (ConsoleSize{0x1234, 0x5678}));
}

TEST(ConsoleControlTest, OfSeveralChangesTheLastIsTold) {
  ConsoleControl control({{.console = true}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  (void)All(control);
  control.SetOpen(0, false);
  control.SetOpen(0, true);
  control.SetOpen(0, false);
  control.SetSize(0, {1, 1});
  control.SetSize(0, {2, 0x101});
  EXPECT_THAT(All(control),
              ElementsAre(Told{0, Event::kResize, 0,
                               std::string("\x01\x01\x02\x00", 4)},
                          Told{0, Event::kPortOpen, 0}));
  control.SetOpen(0, false);
  EXPECT_THAT(All(control), IsEmpty());
}

TEST(ConsoleControlTest, SizeOfAPlainPortIsNotTold) {
  ConsoleControl control({{.size = ConsoleSize{80, 25}}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortOpen, 1}));
  control.SetSize(0, {1, 1});
  EXPECT_THAT(All(control), IsEmpty());
}

TEST(ConsoleControlTest, PortThatGoesAndComesIsToldBoth) {
  ConsoleControl control({{}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  (void)All(control);
  EXPECT_EQ(control.Receive(Open(0)), 0);
  EXPECT_TRUE(control.guest_open(0));
  control.SetPresent(0, false);
  EXPECT_FALSE(control.presence(0).present);
  EXPECT_EQ(control.presence(0).removals, 1u);
  EXPECT_FALSE(control.guest_open(0));
  control.SetPresent(0, true);
  // What the driver says now is about the port that it does not know to be
  // gone.
  EXPECT_EQ(control.Receive(Open(0)), std::nullopt);
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortRemove},
                                        Told{0, Event::kPortAdd}));
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortOpen, 1}));
  EXPECT_EQ(control.Receive(Open(0)), 0);
}

TEST(ConsoleControlTest, PortThatCameAndWentUnseenIsNotTold) {
  ConsoleControl control({{.present = false}}, true);
  (void)control.Receive(Ready());
  control.SetPresent(0, true);
  control.SetPresent(0, false);
  EXPECT_THAT(All(control), IsEmpty());
  EXPECT_EQ(control.Receive(PortReady(0)), std::nullopt);
  EXPECT_EQ(control.Receive(Open(0)), std::nullopt);
  EXPECT_FALSE(control.guest_open(0));
}

TEST(ConsoleControlTest, RemovalDropsWhatWasStillToTell) {
  ConsoleControl control({{.name = "a", .console = true}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  control.SetPresent(0, false);
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortRemove}));
  control.SetPresent(0, false);
  EXPECT_EQ(control.presence(0).removals, 1u);
}

TEST(ConsoleControlTest, OpeningIsNewsOnce) {
  ConsoleControl control({{}, {}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  EXPECT_EQ(control.Receive(Open(1)), 1);
  EXPECT_EQ(control.Receive(Open(1)), std::nullopt);
  EXPECT_TRUE(control.guest_open(1));
  EXPECT_FALSE(control.guest_open(0));
  EXPECT_EQ(control.Receive(Open(1, false)), 1);
  EXPECT_EQ(control.Receive(Open(1, false)), std::nullopt);
}

TEST(ConsoleControlTest, MessagesThatMeanNothingAreIgnored) {
  ConsoleControl control({{}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  for (const uint32_t port : {1u, 0x10000u, 0xffffffffu}) {
    EXPECT_EQ(control.Receive(PortReady(port)), std::nullopt);
    EXPECT_EQ(control.Receive(Open(port)), std::nullopt);
  }
  for (uint16_t event = 0; event < 20; ++event) {
    if (event == static_cast<uint16_t>(Event::kPortOpen) ||
        event == static_cast<uint16_t>(Event::kPortReady)) {
      continue;
    }
    EXPECT_EQ(control.Receive({.event = Event{event}, .value = 1}),
              std::nullopt);
  }
  // It could not make use of the port.
  EXPECT_EQ(control.Receive({.event = Event::kPortReady, .value = 0}),
            std::nullopt);
  EXPECT_THAT(All(control), IsEmpty());
}

TEST(ConsoleControlTest, ResetStartsAnew) {
  ConsoleControl control({{.name = "a"}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  (void)control.Receive(Open(0));
  control.Reset();
  EXPECT_FALSE(control.guest_open(0));
  EXPECT_THAT(All(control), IsEmpty());
  control.SetPresent(0, false);
  control.SetPresent(0, true);
  EXPECT_THAT(All(control), IsEmpty());
  (void)control.Receive(Ready());
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortAdd}));
}

TEST(ConsoleControlTest, LongestNameFitsAMessage) {
  const std::string name(ConsoleControl::kMaxNameSize, 'n');
  ConsoleControl control({{.name = name, .open = false}}, true);
  (void)control.Receive(Ready());
  (void)All(control);
  (void)control.Receive(PortReady(0));
  EXPECT_THAT(All(control), ElementsAre(Told{0, Event::kPortName, 1, name}));
}

}  // namespace
}  // namespace libvmm
