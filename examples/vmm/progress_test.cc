// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/progress.h"

#include "gtest/gtest.h"

namespace vmm {
namespace {

using namespace libvmm;

TEST(ProgressTest, StepsAreLinesForPeople) {
  const PcConfig linux_boot{.boot = PcLinuxBoot{.kernel = "k", .initrd = "i"}};
  const PcConfig multiboot{
      .topology = {.cores_per_socket = 4},
      .boot = PcMultibootBoot{.kernel = "m", .modules = {{.file = "a"}}}};
  const PcConfig elf{.memory = {.size_mib = 64},
                     .boot = PcElfBoot{.image = "e"}};
  const PcConfig firmware{.boot = PcFirmwareBoot{.image = "f"}};
  struct Row {
    const char* step;
    const PcConfig& config;
    const char* line;
  };
  for (const Row& row : {
           Row{"memory", elf, "making 64 MiB of memory"},
           Row{"vCPUs", linux_boot, "making 1 vCPU"},
           Row{"vCPUs", multiboot, "making 4 vCPUs"},
           Row{"boot.linux.kernel", linux_boot, "reading the kernel k"},
           Row{"boot.linux.initrd", linux_boot, "reading the initrd i"},
           Row{"unpacking the kernel", linux_boot, "unpacking the kernel"},
           Row{"boot.multiboot.kernel", multiboot, "reading the kernel m"},
           Row{"boot.multiboot.modules", multiboot, "reading a module"},
           Row{"boot.elf.image", elf, "reading the program e"},
           Row{"boot.firmware.image", firmware, "reading the firmware f"},
           Row{"anything else", PcConfig(), "anything else"},
       }) {
    EXPECT_EQ(ProgressLine(row.step, row.config), row.line);
  }
}

}  // namespace
}  // namespace vmm
