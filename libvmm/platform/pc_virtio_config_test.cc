// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

struct Refusal {
  const char* message;
  PcVirtioConfig config;
};

TEST(PcVirtioConfigTest, RefusalsNameTheField) {
  const std::string long_path(97, 'p');
  const PcShare share{.directory = "/", .tag = "t"};
  for (const Refusal& refusal : {
           Refusal{"virtio.disks[1].queues is 0, expected 1 to 64",
                   {.disks = {{}, {.queues = 0}}}},
           Refusal{"virtio.disks[0].queues is 65, expected 1 to 64",
                   {.disks = {{.queues = 65}}}},
           Refusal{"virtio.disks[0].serial has 21 bytes, expected at most 20",
                   {.disks = {{.serial = std::string(21, 's')}}}},
           Refusal{"virtio.nets[0].queues is 65, expected 1 to 64",
                   {.nets = {{.queues = 65}}}},
           Refusal{"virtio.nets[0].tap.name is empty",
                   {.nets = {{.peer = PcTapNet()}}}},
           Refusal{"virtio.nets[0].tap.name has 16 bytes, expected at most 15",
                   {.nets = {{.peer = PcTapNet{std::string(16, 't')}}}}},
           Refusal{"virtio.nets[0].tap.name is no name of printable characters "
                   "without a blank and '/'",
                   {.nets = {{.peer = PcTapNet{"a/b"}}}}},
           Refusal{"virtio.nets[1].pair.name is empty",
                   {.nets = {{}, {.peer = PcPairNet()}}}},
           Refusal{"virtio.nets[0].mac is 'x', expected six bytes, as in "
                   "52:54:00:12:34:56",
                   {.nets = {{.mac = "x"}}}},
           Refusal{"virtio.balloon.target_mib is 16777216, expected at most "
                   "16777215",
                   {.balloon = PcBalloon{.target_mib = 16777216}}},
           Refusal{"virtio.vsock.cid is 2, expected 3 to 4294967294",
                   {.vsock = PcVsock{.cid = 2}}},
           Refusal{"virtio.vsock.cid is 4294967295, expected 3 to 4294967294",
                   {.vsock = PcVsock{.cid = 0xffffffff}}},
           Refusal{"virtio.vsock.uds_path has 97 bytes, expected at most 96",
                   {.vsock = PcVsock{.uds_path = long_path}}},
           Refusal{"virtio.shares[0].directory is empty",
                   {.shares = {{.tag = "t"}}}},
           Refusal{"virtio.shares[0].tag is empty",
                   {.shares = {{.directory = "/"}}}},
           Refusal{
               "virtio.shares[0].tag has 37 bytes, expected at most 36",
               {.shares = {{.directory = "/", .tag = std::string(37, 't')}}}},
           Refusal{"virtio.shares[2].tag is 't', as virtio.shares[0].tag",
                   {.shares = {share, {.directory = "/", .tag = "u"}, share}}},
           Refusal{
               "virtio.console.ports has 31 ports, expected at most 30",
               {.console = PcConsole{.ports = std::vector<PcConsolePort>(31)}}},
           Refusal{"virtio.console.ports[1].name is empty",
                   {.console = PcConsole{.ports = {{.name = "a"}, {}}}}},
           Refusal{"virtio.console.ports[0].name is no name of printable "
                   "characters without a blank and '/'",
                   {.console = PcConsole{.ports = {{.name = ".."}}}}},
           Refusal{
               "virtio.console.ports[1].name is 'a', as "
               "virtio.console.ports[0].name",
               {.console = PcConsole{.ports = {{.name = "a"}, {.name = "a"}}}}},
       }) {
    EXPECT_THAT(ValidatePcVirtioConfig(refusal.config),
                StatusIs(kInvalid, refusal.message));
  }
}

TEST(PcVirtioConfigTest, TheLimitsThemselvesAreValid) {
  for (const PcVirtioConfig& config : {
           PcVirtioConfig(),
           PcVirtioConfig{
               .disks = {{.queues = 64, .serial = std::string(20, 's')}}},
           PcVirtioConfig{.nets = {{.mac = "02:00:00:00:00:00"}}},
           PcVirtioConfig{.nets = {{.peer = PcTapNet{std::string(15, 't')}},
                                   {.peer = PcUserNet()}}},
           PcVirtioConfig{.vsock = PcVsock{.cid = 3}},
           PcVirtioConfig{.vsock = PcVsock{.cid = 0xfffffffe,
                                   .uds_path = std::string(96, 'p')}},
           PcVirtioConfig{
               .shares = {{.directory = "/", .tag = std::string(36, 't')}}},
       }) {
    EXPECT_THAT(ValidatePcVirtioConfig(config), IsOk());
  }
}

TEST(PcVirtioConfigTest, AMacIsSixBytesOfTwoDigits) {
  ASSERT_OK_AND_ASSIGN(const PcMac mac, ParsePcMac("52:54:0a:FF:00:9e"));
  EXPECT_THAT(mac, ElementsAre(0x52, 0x54, 0x0a, 0xff, 0x00, 0x9e));
  for (const char* wrong :
       {"", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5",
        "52:54:00:12:34:+5", "52:54:00:12:34:0x", "52-54-00-12-34-56",
        "52:54:00:12:34:56 "}) {
    EXPECT_THAT(ParsePcMac(wrong).status(), StatusIs(kInvalid)) << wrong;
  }
  EXPECT_THAT(
      ParsePcMac("01:00:00:00:00:00").status(),
      StatusIs(kInvalid, "is '01:00:00:00:00:00', a multicast address"));
  EXPECT_THAT(ParsePcMac("00:00:00:00:00:00").status(),
              StatusIs(kInvalid, "is '00:00:00:00:00:00', no address"));
}

}  // namespace
}  // namespace libvmm
