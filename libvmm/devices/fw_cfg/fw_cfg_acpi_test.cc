// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_acpi.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/fw_cfg/fw_cfg.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

std::vector<std::byte> TableOf(absl::string_view signature, size_t size) {
  std::vector<std::byte> bytes(size, std::byte{0x31});
  std::memcpy(bytes.data(), signature.data(), signature.size());
  return bytes;
}

// What a firmware makes of the script: its memory, and where files went.
class Firmware {
 public:
  explicit Firmware(FwCfg& device) : device_(device) {
    const std::vector<uint8_t> count = Item(0x19, 4);
    const std::vector<uint8_t> directory = Item(0x19, 4 + 64 * count[3]);
    for (size_t i = 0; i < count[3]; ++i) {
      const uint8_t* const entry = directory.data() + 4 + 64 * i;
      files_[reinterpret_cast<const char*>(entry + 8)] =
          Item(static_cast<uint16_t>(entry[4] << 8 | entry[5]),
               static_cast<size_t>(entry[1] << 16 | entry[2] << 8 | entry[3]));
    }
  }

  void Run() {
    const std::vector<uint8_t>& script = files_.at("etc/table-loader");
    ASSERT_EQ(script.size() % 128, 0u);
    for (size_t at = 0; at < script.size(); at += 128) {
      const uint8_t* const command = script.data() + at;
      const std::string file = reinterpret_cast<const char*>(command + 4);
      switch (Number(command, 4)) {
        case 1:
          Allocate(file, Number(command + 60, 4), command[64]);
          break;
        case 2: {
          const std::string target =
              reinterpret_cast<const char*>(command + 60);
          uint8_t* const to = &loaded_.at(file).at(Number(command + 116, 4));
          const size_t size = command[120];
          uint64_t value = Number(to, size) + addresses_.at(target);
          for (size_t i = 0; i < size; ++i, value >>= 8) {
            to[i] = static_cast<uint8_t>(value);
          }
          break;
        }
        case 3: {
          std::vector<uint8_t>& bytes = loaded_.at(file);
          const uint64_t start = Number(command + 64, 4);
          const uint64_t length = Number(command + 68, 4);
          ASSERT_LE(start + length, bytes.size());
          bytes.at(Number(command + 60, 4)) -= Sum(file, start, length);
          break;
        }
        default:
          FAIL() << "no such command";
      }
    }
  }

  static uint64_t Number(const uint8_t* bytes, size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, bytes, size);
    return value;
  }
  uint8_t Sum(const std::string& file, uint64_t start, uint64_t length) {
    uint8_t sum = 0;
    for (uint64_t i = 0; i < length; ++i) sum += loaded_.at(file)[start + i];
    return sum;
  }
  const std::vector<uint8_t>& loaded(const std::string& file) {
    return loaded_.at(file);
  }
  uint64_t address(const std::string& file) { return addresses_.at(file); }

 private:
  std::vector<uint8_t> Item(uint16_t key, size_t size) {
    (void)device_.Write(0, std::as_bytes(std::span(&key, 1)));
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) {
      (void)device_.Read(1, std::as_writable_bytes(std::span(&byte, 1)));
    }
    return bytes;
  }
  void Allocate(const std::string& file, uint64_t alignment, uint8_t zone) {
    EXPECT_FALSE(addresses_.contains(file));
    uint64_t& next = zone == 2 ? next_low_ : next_high_;
    next = (next + alignment - 1) / alignment * alignment;
    addresses_[file] = next;
    loaded_[file] = files_.at(file);
    next += loaded_[file].size();
  }

  FwCfg& device_;
  std::map<std::string, std::vector<uint8_t>> files_;
  std::map<std::string, std::vector<uint8_t>> loaded_;
  std::map<std::string, uint64_t> addresses_;
  uint64_t next_low_ = 0xf5a84;
  uint64_t next_high_ = 0x7fe0004;
};

class FwCfgAcpiTest : public ::testing::Test {
 protected:
  FwCfgAcpiTest() {
    acpi_.tables = {{.bytes = rsdp_, .alignment = 16},
                    {.bytes = xsdt_, .alignment = 8},
                    {.bytes = fadt_, .alignment = 8},
                    {.bytes = facs_, .alignment = 64},
                    {.bytes = dsdt_}};
    acpi_.pointers = {
        {.source = 0, .offset = 24, .size = 8, .target = 1},
        {.source = 1, .offset = 36, .size = 8, .target = 2},
        {.source = 2, .offset = 36, .size = 4, .target = 3},
        {.source = 2, .offset = 40, .size = 4, .target = 4},
        {.source = 2, .offset = 140, .size = 8, .target = 4},
    };
  }

  const std::vector<std::byte> rsdp_ = TableOf("RSD PTR ", 36);
  const std::vector<std::byte> xsdt_ = TableOf("XSDT", 44);
  const std::vector<std::byte> fadt_ = TableOf("FACP", 244);
  const std::vector<std::byte> facs_ = TableOf("FACS", 64);
  const std::vector<std::byte> dsdt_ = TableOf("DSDT", 301);
  FwCfgAcpi acpi_;
};

TEST_F(FwCfgAcpiTest, FirmwareFindsEveryTable) {
  FwCfgItems items;
  ASSERT_OK(acpi_.AddTo(items));
  FwCfg device(std::move(items));
  Firmware firmware(device);
  firmware.Run();
  const std::string low = "etc/acpi/rsdp";
  const std::string high = "etc/acpi/tables";
  EXPECT_EQ(firmware.address(low), 0xf5a90u);
  EXPECT_EQ(firmware.address(high), 0x7fe0040u);
  EXPECT_EQ(firmware.Sum(low, 0, 20), 0);
  EXPECT_EQ(firmware.Sum(low, 0, 36), 0);

  // The file's offset of the table whose address is there.
  const auto follow = [&](const std::string& file, uint64_t at, size_t size) {
    return Firmware::Number(&firmware.loaded(file).at(at), size) -
           firmware.address(high);
  };
  const auto check = [&](uint64_t at, const std::vector<std::byte>& table) {
    EXPECT_EQ(std::memcmp(&firmware.loaded(high).at(at), table.data(), 8), 0);
    return firmware.Sum(high, at, table.size());
  };
  const uint64_t xsdt = follow(low, 24, 8);
  EXPECT_EQ(check(xsdt, xsdt_), 0);
  const uint64_t fadt = follow(high, xsdt + 36, 8);
  EXPECT_EQ(check(fadt, fadt_), 0);
  EXPECT_EQ(fadt % 8, 0u);
  const uint64_t facs = follow(high, fadt + 36, 4);
  EXPECT_EQ(facs % 64, 0u);
  (void)check(facs, facs_);
  EXPECT_EQ(firmware.loaded(high).at(facs + 9), 0x31);  // Has no checksum.
  const uint64_t dsdt = follow(high, fadt + 40, 4);
  EXPECT_EQ(check(dsdt, dsdt_), 0);
  EXPECT_EQ(follow(high, fadt + 140, 8), dsdt);
}

TEST_F(FwCfgAcpiTest, RsdpAlone) {
  FwCfgItems items;
  ASSERT_OK((FwCfgAcpi{.tables = {{.bytes = rsdp_}}}).AddTo(items));
  EXPECT_FALSE(items.HasFile("etc/acpi/tables"));
  FwCfg device(std::move(items));
  Firmware firmware(device);
  firmware.Run();
  EXPECT_EQ(firmware.Sum("etc/acpi/rsdp", 0, 36), 0);
}

TEST_F(FwCfgAcpiTest, TablesThatCannotBe) {
  const std::vector<std::byte> shorter = TableOf("DSDT", 35);
  const struct {
    std::function<void(FwCfgAcpi&)> change;
    std::string message;
  } kTable[] = {
      {[](auto& a) { a.tables.clear(); }, "tables has 0 elements"},
      {[](auto& a) { std::swap(a.tables[0], a.tables[1]); },
       "tables[0] is not the RSDP"},
      {[](auto& a) { a.tables[2] = a.tables[0]; },
       "tables[2] is a second RSDP"},
      {[&](auto& a) { a.tables[4].bytes = shorter; }, "tables[4] has 35 bytes"},
      {[](auto& a) { a.tables[1].alignment = 0; }, "tables[1].alignment is 0"},
      {[](auto& a) { a.tables[1].alignment = 24; },
       "tables[1].alignment is 24"},
      {[](auto& a) { a.tables[1].alignment = 1 << 30; },
       "tables[1] is too large"},
      {[](auto& a) { a.pointers[1].source = 5; }, "pointers[1].source is 5"},
      {[](auto& a) { a.pointers[1].target = 5; }, "pointers[1].target is 5"},
      {[](auto& a) { a.pointers[1].target = 0; }, "pointers[1].target is 0"},
      {[](auto& a) { a.pointers[1].size = 2; }, "pointers[1].size is 2"},
      {[](auto& a) { a.pointers[1].offset = 37; }, "pointers[1].offset is 37"},
  };
  for (const auto& row : kTable) {
    FwCfgAcpi acpi = acpi_;
    row.change(acpi);
    FwCfgItems items;
    EXPECT_THAT(acpi.AddTo(items), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr(row.message)));
    EXPECT_FALSE(items.HasFile("etc/table-loader"));
  }
}

}  // namespace
}  // namespace libvmm
