// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;

TEST(PcConfigTest, TheDefaultsAreValid) {
  EXPECT_OK(ValidatePcConfig(PcConfig()));
}

struct Refusal {
  const char* message;
  PcConfig config;
};

TEST(PcConfigTest, RefusalsNameTheField) {
  for (const Refusal& refusal : {
           Refusal{"topology: the number of vCPUs is 1025, expected 1 to 1024",
                   {.topology = {.sockets = 1025}}},
           Refusal{"topology: the number of vCPUs is 2, expected 1 without "
                   "APICs (irqchip is kNone)",
                   {.topology = {.sockets = 2}, .irqchip = PcIrqChip::kNone}},
           Refusal{"memory.size_mib is 0, expected 1 to 16777216",
                   {.memory = {.size_mib = 0}}},
           Refusal{"memory.size_mib is 16777217, expected 1 to 16777216",
                   {.memory = {.size_mib = (16 << 20) + 1}}},
           Refusal{"devices.serial_ports is 5, expected 0 to 4",
                   {.devices = {.serial_ports = 5}}},
           Refusal{"halt_check is 999us, expected 0 or at least 1ms",
                   {.halt_check = absl::Microseconds(999)}},
           Refusal{"halt_check is -1s, expected 0 or at least 1ms",
                   {.halt_check = absl::Seconds(-1)}},
           Refusal{"virtio.disks[0].queues is 0, expected 1 to 64",
                   {.virtio = {.disks = {{.queues = 0}}}}},
           Refusal{"virtio.rng: the transport is PCI, and devices.pci is false",
                   {.devices = {.pci = false},
                   .virtio = {.transport = PcVirtioTransport::kPci,
                             .rng = PcRng()}}},
           Refusal{"virtio.disks[4]: no interrupt line is left, 4 virtio "
                   "devices have MMIO",
                   {.irqchip = PcIrqChip::kNone,
                   .devices = {.serial_ports = 2},
                   .virtio = {.transport = PcVirtioTransport::kMmio,
                             .disks = std::vector<PcDisk>(5)}}},
           Refusal{"boot.linux.kernel is empty", {.boot = PcLinuxBoot()}},
           Refusal{"boot.multiboot.kernel is empty",
                   {.boot = PcMultibootBoot()}},
           Refusal{"boot.multiboot.modules[1].file is empty",
                   {.boot = PcMultibootBoot{.kernel = "k",
                            .modules = {{.file = "m"}, {}}}}},
           Refusal{"boot.elf.image is empty", {.boot = PcElfBoot()}},
           Refusal{"boot.firmware.image is empty", {.boot = PcFirmwareBoot()}},
       }) {
    EXPECT_THAT(ValidatePcConfig(refusal.config),
                StatusIs(absl::StatusCode::kInvalidArgument, refusal.message));
  }
}

TEST(PcConfigTest, TheLimitsThemselvesAreValid) {
  for (const PcConfig& config : {
           PcConfig{.topology = {.sockets = 1024}},
           PcConfig{.memory = {.size_mib = 1}},
           PcConfig{.memory = {.size_mib = 16 << 20}},
           PcConfig{.irqchip = PcIrqChip::kNone},
           PcConfig{.devices = {.serial_ports = 4}},
           PcConfig{.halt_check = absl::ZeroDuration()},
           PcConfig{.halt_check = absl::Milliseconds(1)},
       }) {
    EXPECT_THAT(ValidatePcConfig(config), IsOk());
  }
}

}  // namespace
}  // namespace libvmm
