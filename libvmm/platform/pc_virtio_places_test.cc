// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "libvmm/platform/pc_layout.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

PcVirtioConfig OneOfEach() {
  return {.disks = {{}, {}},
          .nets = {{}},
          .vsock = PcVsock(),
          .shares = {{}},
          .rng = PcRng(),
          .balloon = PcBalloon(),
          .console = PcConsole(),
          .keyboard = PcInput(),
          .tablet = PcInput()};
}

std::vector<uint32_t> Lines(const std::vector<PcVirtioPlace>& places) {
  std::vector<uint32_t> lines;
  for (const PcVirtioPlace& place : places) {
    lines.push_back(std::get<PcVirtioMmioPlace>(place.where).gsi);
  }
  return lines;
}

TEST(PcVirtioPlacesTest, NoDeviceNeedsNoPlace) {
  EXPECT_THAT(PlacePcVirtio({}, {}).value(), IsEmpty());
}

TEST(PcVirtioPlacesTest, PciDevicesStandInARowBehindTheHostBridge) {
  ASSERT_OK_AND_ASSIGN(const auto places, PlacePcVirtio(OneOfEach(), {}));
  std::vector<std::string> paths;
  for (size_t i = 0; i < places.size(); ++i) {
    paths.push_back(PcVirtioPath(places[i]));
    EXPECT_EQ(std::get<PcVirtioPciPlace>(places[i].where).device, i + 1);
  }
  EXPECT_THAT(
      paths, ElementsAre("virtio.disks[0]", "virtio.disks[1]", "virtio.nets[0]",
                         "virtio.vsock", "virtio.shares[0]", "virtio.rng",
                         "virtio.balloon", "virtio.console", "virtio.keyboard",
                         "virtio.tablet"));
}

TEST(PcVirtioPlacesTest, MmioDevicesHaveAWindowAndALineEach) {
  PcVirtioConfig config = OneOfEach();
  config.transport = PcVirtioTransport::kMmio;
  ASSERT_OK_AND_ASSIGN(const auto places, PlacePcVirtio(config, {}));
  ASSERT_THAT(places, SizeIs(10));
  EXPECT_THAT(Lines(places), ElementsAre(5, 6, 7, 10, 11, 12, 14, 15, 20, 21));
  for (size_t i = 0; i < places.size(); ++i) {
    const auto& mmio = std::get<PcVirtioMmioPlace>(places[i].where);
    EXPECT_EQ(mmio.registers.start, Gpa(0xfec10000 + 0x1000 * i));
    EXPECT_EQ(mmio.registers.size, 0x1000u);
  }
}

TEST(PcVirtioPlacesTest, WithoutPciTheDefaultIsMmio) {
  ASSERT_OK_AND_ASSIGN(const auto places,
                       PlacePcVirtio({.rng = PcRng()}, {.pci = false}));
  ASSERT_THAT(places, SizeIs(1));
  EXPECT_TRUE(std::holds_alternative<PcVirtioMmioPlace>(places[0].where));
}

TEST(PcVirtioPlacesTest, ADeviceMayDifferFromTheMachine) {
  const PcVirtioConfig config{
      .transport = PcVirtioTransport::kPci,
      .doorbell = PcVirtioDoorbell::kEventFd,
      .disks = {{},
                {.plug = {.transport = PcVirtioTransport::kMmio,
                          .doorbell = PcVirtioDoorbell::kPoll}},
                {}}};
  ASSERT_OK_AND_ASSIGN(const auto places, PlacePcVirtio(config, {}));
  ASSERT_THAT(places, SizeIs(3));
  EXPECT_EQ(std::get<PcVirtioPciPlace>(places[0].where).device, 1);
  EXPECT_EQ(places[0].doorbell, PcVirtioDoorbell::kEventFd);
  EXPECT_EQ(std::get<PcVirtioMmioPlace>(places[1].where).gsi, 5u);
  EXPECT_EQ(places[1].doorbell, PcVirtioDoorbell::kPoll);
  EXPECT_EQ(std::get<PcVirtioPciPlace>(places[2].where).device, 2);
}

TEST(PcVirtioPlacesTest, TheDoorbellIsInlineUnlessSomeoneSaysOtherwise) {
  ASSERT_OK_AND_ASSIGN(const auto places, PlacePcVirtio({.rng = PcRng()}, {}));
  EXPECT_EQ(places[0].doorbell, PcVirtioDoorbell::kInline);
}

TEST(PcVirtioPlacesTest, ABusThatIsFullNamesTheDevice) {
  PcVirtioConfig config{.disks = std::vector<PcDisk>(31)};
  EXPECT_OK(PlacePcVirtio(config, {}));
  config.rng = PcRng();
  EXPECT_THAT(PlacePcVirtio(config, {}).status(),
              StatusIs(kInvalid,
                       "virtio.rng: the PCI bus is full, it has room for 31 "
                       "virtio devices"));
  EXPECT_THAT(
      PlacePcVirtio({.transport = PcVirtioTransport::kPci, .rng = PcRng()},
                    {.pci = false})
          .status(),
      StatusIs(kInvalid,
               "virtio.rng: the transport is PCI, and devices.pci is false"));
}

// The lines that there are for MMIO in a machine.
std::vector<uint32_t> AllLines(const PcVirtioRoom& room) {
  PcVirtioConfig config{.transport = PcVirtioTransport::kMmio};
  std::vector<uint32_t> lines;
  while (true) {
    config.disks.emplace_back();
    const auto places = PlacePcVirtio(config, room);
    if (!places.ok()) {
      EXPECT_THAT(
          places.status(),
          StatusIs(kInvalid,
                   absl::StrCat("virtio.disks[", lines.size(),
                                "]: no interrupt line is left, ", lines.size(),
                                " virtio devices have MMIO")));
      return lines;
    }
    lines = Lines(*places);
  }
}

TEST(PcVirtioPlacesTest, LinesAreThoseThatNothingElseHas) {
  EXPECT_THAT(AllLines({}),
              ElementsAre(5, 6, 7, 10, 11, 12, 14, 15, 20, 21, 22, 23, 3));
  EXPECT_THAT(AllLines({.serial_ports = 2}),
              ElementsAre(5, 6, 7, 10, 11, 12, 14, 15, 20, 21, 22, 23));
  EXPECT_THAT(AllLines({.io_apic = false}), ElementsAre(5, 6, 12, 14, 3));
  EXPECT_THAT(AllLines({.pci = false, .io_apic = false, .serial_ports = 4}),
              ElementsAre(5, 6, 12, 14, 10, 11));
}

TEST(PcVirtioPlacesTest, WindowsLieInTheirPartOfTheLayout) {
  PcVirtioConfig config{.transport = PcVirtioTransport::kMmio,
                        .disks = std::vector<PcDisk>(13)};
  ASSERT_OK_AND_ASSIGN(const auto places, PlacePcVirtio(config, {}));
  std::set<Gpa> starts;
  for (const PcVirtioPlace& place : places) {
    const GpaRange& range = std::get<PcVirtioMmioPlace>(place.where).registers;
    starts.insert(range.start);
    EXPECT_GE(range.start, PcLayout::kVirtioMmio.start);
    EXPECT_LE(range.start + range.size,
              PcLayout::kVirtioMmio.start + PcLayout::kVirtioMmio.size);
  }
  EXPECT_THAT(starts, SizeIs(13));
}

}  // namespace
}  // namespace libvmm
