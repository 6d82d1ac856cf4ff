// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_machine.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/fw_cfg/fw_cfg.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// What a guest reads of a machine.
class Guest {
 public:
  explicit Guest(const FwCfgMachine& machine) : device_(Items(machine)) {}

  std::vector<uint8_t> Item(uint16_t key, size_t size) {
    (void)device_.Write(0, std::as_bytes(std::span(&key, 1)));
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) {
      (void)device_.Read(1, std::as_writable_bytes(std::span(&byte, 1)));
    }
    return bytes;
  }

  std::map<std::string, std::vector<uint8_t>> Files() {
    std::map<std::string, std::vector<uint8_t>> files;
    const size_t count = Item(0x19, 4)[3];
    const std::vector<uint8_t> directory = Item(0x19, 4 + 64 * count);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* const entry = directory.data() + 4 + 64 * i;
      files[reinterpret_cast<const char*>(entry + 8)] =
          Item(static_cast<uint16_t>(entry[4] << 8 | entry[5]),
               static_cast<size_t>(entry[2] << 8 | entry[3]));
    }
    return files;
  }

 private:
  static FwCfgItems Items(const FwCfgMachine& machine) {
    FwCfgItems items;
    EXPECT_OK(machine.AddTo(items));
    return items;
  }

  FwCfg device_;
};

TEST(FwCfgMachineTest, NumbersOfAMachine) {
  FwCfgMachine machine{.cpu_count = 2,
                       .max_cpu_count = 258,
                       .ram_size = 0x1'2345'6789,
                       .boot_menu = true};
  for (uint8_t i = 0; i < 16; ++i) machine.uuid[i] = i;
  Guest guest(machine);
  EXPECT_THAT(guest.Item(0x02, 4), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(guest.Item(0x02, 16)[15], 15);
  EXPECT_THAT(guest.Item(0x03, 9),
              ElementsAre(0x89, 0x67, 0x45, 0x23, 1, 0, 0, 0, 0));
  EXPECT_THAT(guest.Item(0x04, 2), ElementsAre(1, 0));
  EXPECT_THAT(guest.Item(0x05, 2), ElementsAre(2, 0));
  EXPECT_THAT(guest.Item(0x0d, 8), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(guest.Item(0x0e, 2), ElementsAre(1, 0));
  EXPECT_THAT(guest.Item(0x0f, 2), ElementsAre(2, 1));
  EXPECT_THAT(guest.Item(0x8002, 1), ElementsAre(1));
  EXPECT_THAT(guest.Files(), IsEmpty());
}

TEST(FwCfgMachineTest, OtherChoices) {
  Guest guest({.has_display = true, .irq0_override = false});
  EXPECT_THAT(guest.Item(0x04, 2), ElementsAre(0, 0));
  EXPECT_THAT(guest.Item(0x0e, 2), ElementsAre(0, 0));
  EXPECT_THAT(guest.Item(0x8002, 1), ElementsAre(0));
}

TEST(FwCfgMachineTest, Files) {
  Guest guest({.e820 = {{.start = 0, .size = 0x9fc00},
                        {.start = 0x1'0000'0000,
                         .size = 0x10,
                         .type = FwCfgMachine::E820Entry::kReserved}},
               .boot_order = {"/pci@i0cf8/scsi@3", "HALT"},
               .boot_menu_wait_ms = 0x102,
               .boot_fail_wait_ms = 0xffffffff,
               .serial_console_port = 0x3f8});
  const std::string order("/pci@i0cf8/scsi@3\nHALT\0", 23);
  EXPECT_THAT(
      guest.Files(),
      ElementsAre(
          Pair("bootorder", std::vector<uint8_t>(order.begin(), order.end())),
          Pair("etc/boot-fail-wait", ElementsAre(0xff, 0xff, 0xff, 0xff)),
          Pair("etc/boot-menu-wait", ElementsAre(2, 1, 0, 0)),
          Pair("etc/e820", ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfc, 9, 0, 0,
                                       0, 0, 0, 1, 0, 0, 0,  //
                                       0, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0, 0,
                                       0, 0, 0, 2, 0, 0, 0)),
          Pair("etc/sercon-port", ElementsAre(0xf8, 3))));
}

TEST(FwCfgMachineTest, MachinesThatCannotBe) {
  const struct {
    FwCfgMachine machine;
    std::string message;
  } kTable[] = {
      {{.cpu_count = 0}, "cpu_count is 0"},
      {{.cpu_count = 3, .max_cpu_count = 2}, "max_cpu_count is 2"},
      {{.boot_order = {"a", "b\nc"}}, "boot_order[1]"},
      {{.boot_order = {std::string("a\0", 2)}}, "boot_order[0]"},
  };
  for (const auto& row : kTable) {
    FwCfgItems items;
    EXPECT_THAT(
        row.machine.AddTo(items),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
  }
}

TEST(FwCfgMachineTest, ItemsThatAreThereAlready) {
  FwCfgItems items;
  ASSERT_OK(items.AddNumberFile<uint8_t>("etc/sercon-port", 1));
  EXPECT_THAT(
      FwCfgMachine{.serial_console_port = 1}.AddTo(items),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("etc/sercon-port")));
}

}  // namespace
}  // namespace libvmm
