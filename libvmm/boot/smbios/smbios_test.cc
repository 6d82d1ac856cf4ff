// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/smbios/smbios.h"

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;

constexpr GpaRange kSpace = {Gpa(0xf0000), 0x10000};
constexpr uint64_t kGib = uint64_t{1} << 30;

// A structure as a guest finds it.
struct Structure {
  std::string formatted;  // with the header
  std::vector<std::string> strings;

  [[nodiscard]] int type() const { return static_cast<uint8_t>(formatted[0]); }
  template <typename T>
  [[nodiscard]] T At(size_t offset) const {
    T value = {};
    if (offset + sizeof(T) > formatted.size()) {
      ADD_FAILURE() << "offset " << offset << " of type " << type();
      return value;
    }
    std::memcpy(&value, formatted.data() + offset, sizeof(T));
    return value;
  }
  // The text that a field refers to.
  [[nodiscard]] std::string Text(size_t offset) const {
    const auto number = At<uint8_t>(offset);
    if (number == 0) return "";
    if (number > strings.size()) {
      ADD_FAILURE() << "string " << int{number} << " of type " << type();
      return "";
    }
    return strings[number - 1];
  }
  [[nodiscard]] std::string Hex(size_t offset, size_t size) const {
    return absl::BytesToHexString(formatted.substr(offset, size));
  }
};

// Reads the structures from the entry point on, as the specification has it.
std::vector<Structure> Parse(const SmbiosTables& tables) {
  const absl::string_view all(
      reinterpret_cast<const char*>(tables.memory.bytes.data()),
      tables.memory.bytes.size());
  EXPECT_EQ(tables.memory.gpa, tables.entry_point);
  EXPECT_TRUE(tables.entry_point.IsAligned(16));
  EXPECT_EQ(all.substr(0, 5), "_SM3_");
  uint8_t sum = 0;
  for (const char byte : all.substr(0, 24)) {
    sum = static_cast<uint8_t>(sum + byte);
  }
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(absl::BytesToHexString(all.substr(6, 6)), "180300000100");
  uint32_t size = 0;
  uint64_t gpa = 0;
  std::memcpy(&size, all.data() + 12, 4);
  std::memcpy(&gpa, all.data() + 16, 8);
  EXPECT_EQ(size, tables.structures_size);
  EXPECT_EQ(gpa, tables.entry_point.value() + tables.structures_offset);
  absl::string_view rest = all.substr(gpa - tables.entry_point.value());
  EXPECT_EQ(rest.size(), size);

  std::vector<Structure> structures;
  while (!rest.empty()) {
    Structure structure;
    const auto length = static_cast<uint8_t>(rest[1]);
    EXPECT_GE(length, 4);
    structure.formatted = std::string(rest.substr(0, length));
    rest.remove_prefix(length);
    while (rest[0] != '\0') {
      const size_t end = rest.find('\0');
      structure.strings.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    rest.remove_prefix(1);
    if (structure.strings.empty()) {
      EXPECT_EQ(rest[0], '\0') << "two terminators";
      rest.remove_prefix(1);
    }
    structures.push_back(structure);
  }
  std::map<int, int> handles;
  for (const Structure& structure : structures) {
    EXPECT_EQ(++handles[structure.At<uint16_t>(2)], 1) << "handle twice";
  }
  return structures;
}

std::vector<Structure> Build(const SmbiosConfig& config) {
  const auto tables = BuildSmbiosTables(config, {Gpa(0xf0000), 1 << 24});
  EXPECT_OK(tables);
  return tables.ok() ? Parse(*tables) : std::vector<Structure>();
}

std::vector<Structure> OfType(const std::vector<Structure>& structures,
                              int type) {
  std::vector<Structure> found;
  for (const Structure& structure : structures) {
    if (structure.type() == type) found.push_back(structure);
  }
  return found;
}

TEST(SmbiosTest, SmallestTableHasWhatIsRequired) {
  std::vector<int> types;
  for (const Structure& structure : Build({})) {
    types.push_back(structure.type());
  }
  EXPECT_THAT(types, ElementsAre(0, 1, 3, 4, 32, 127));
}

TEST(SmbiosTest, Firmware) {
  SmbiosConfig config;
  config.firmware = {
      .vendor = "V", .version = "W", .release_date = "02/03/2004"};
  const Structure type0 = Build(config).at(0);
  EXPECT_EQ(type0.formatted.size(), 0x18u);
  EXPECT_EQ(type0.Text(4), "V");
  EXPECT_EQ(type0.Text(5), "W");
  EXPECT_EQ(type0.Text(8), "02/03/2004");
  EXPECT_EQ(type0.Hex(9, 15),
            "00"
            "0800000000000000"
            "0010"
            "ffffffff");
}

TEST(SmbiosTest, SystemWithUuid) {
  SmbiosConfig config;
  config.system = {.manufacturer = "M",
                   .product = "P",
                   .version = "V",
                   .serial = "S",
                   .uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                            0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff},
                   .sku = "K",
                   .family = "F"};
  const Structure type1 = Build(config).at(1);
  EXPECT_EQ(type1.formatted.size(), 0x1bu);
  EXPECT_EQ(type1.Text(4), "M");
  EXPECT_EQ(type1.Text(5), "P");
  EXPECT_EQ(type1.Text(6), "V");
  EXPECT_EQ(type1.Text(7), "S");
  // The example of clause 7.2.1.
  EXPECT_EQ(type1.Hex(8, 16), "33221100554477668899aabbccddeeff");
  EXPECT_EQ(type1.At<uint8_t>(0x18), 6);
  EXPECT_EQ(type1.Text(0x19), "K");
  EXPECT_EQ(type1.Text(0x1a), "F");
}

TEST(SmbiosTest, Chassis) {
  SmbiosConfig config;
  config.chassis = {
      .manufacturer = "M", .version = "V", .serial = "S", .asset_tag = "A"};
  const Structure type3 = Build(config).at(2);
  EXPECT_EQ(type3.formatted.size(), 0x16u);
  EXPECT_EQ(type3.Text(4), "M");
  EXPECT_EQ(type3.At<uint8_t>(5), 1);
  EXPECT_EQ(type3.Text(6), "V");
  EXPECT_EQ(type3.Text(7), "S");
  EXPECT_EQ(type3.Text(8), "A");
  EXPECT_EQ(type3.Hex(9, 13),
            "03030303"
            "00000000"
            "0000"
            "0000"
            "00");
}

TEST(SmbiosTest, OneProcessorForEachSocket) {
  SmbiosConfig config;
  config.processors = {.manufacturer = "AuthenticAMD",
                       .version = "CPU brand",
                       .sockets = 3,
                       .cores = 4,
                       .threads = 8,
                       .signature = 0x00a20f10,
                       .features = 0x178bfbff,
                       .megahertz = 3000};
  const std::vector<Structure> sockets = OfType(Build(config), 4);
  ASSERT_EQ(sockets.size(), 3u);
  EXPECT_EQ(sockets[2].Text(4), "CPU 2");
  const Structure& type4 = sockets[0];
  EXPECT_EQ(type4.formatted.size(), 0x30u);
  EXPECT_EQ(type4.Text(4), "CPU 0");
  EXPECT_EQ(type4.At<uint8_t>(5), 3) << "central processor";
  EXPECT_EQ(type4.Text(7), "AuthenticAMD");
  EXPECT_EQ(type4.At<uint64_t>(8), 0x178bfbff'00a20f10u);
  EXPECT_EQ(type4.Text(0x10), "CPU brand");
  EXPECT_EQ(type4.At<uint16_t>(0x14), 3000);
  EXPECT_EQ(type4.At<uint16_t>(0x16), 3000);
  EXPECT_EQ(type4.At<uint8_t>(0x18), 0x41) << "enabled and there";
  EXPECT_EQ(type4.Hex(0x1a, 6), "ffffffffffff") << "no cache structures";
  EXPECT_EQ(type4.Hex(0x23, 3), "040408");
  EXPECT_EQ(type4.At<uint16_t>(0x26), 0x1c) << "64-bit, cores, threads";
  EXPECT_EQ(type4.Hex(0x2a, 6), "040004000800");
}

TEST(SmbiosTest, ManyCoresStandInTheWordsAlone) {
  SmbiosConfig config;
  config.processors.cores = 255;
  config.processors.threads = 510;
  const Structure type4 = OfType(Build(config), 4).at(0);
  EXPECT_EQ(type4.Hex(0x23, 3), "ffffff");
  EXPECT_EQ(type4.Hex(0x2a, 6), "ff00ff00fe01");
  config.processors.cores = config.processors.threads = 1;
  EXPECT_EQ(OfType(Build(config), 4).at(0).At<uint16_t>(0x26), 0x04);
}

TEST(SmbiosTest, MemoryIsAnArrayOfDevicesAndItsRanges) {
  SmbiosConfig config;
  config.memory.ranges = {{Gpa(0), 3 * kGib}, {Gpa(4 * kGib), 17 * kGib}};
  const std::vector<Structure> all = Build(config);
  const Structure array = OfType(all, 16).at(0);
  EXPECT_EQ(array.formatted.size(), 0x17u);
  EXPECT_EQ(array.Hex(4, 3), "010303");
  EXPECT_EQ(array.At<uint32_t>(7), 20u << 20) << "KiB";
  EXPECT_EQ(array.At<uint16_t>(0x0b), 0xfffe);
  EXPECT_EQ(array.At<uint16_t>(0x0d), 2) << "devices";
  EXPECT_EQ(array.At<uint64_t>(0x0f), 0u);

  const std::vector<Structure> devices = OfType(all, 17);
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].formatted.size(), 0x28u);
  EXPECT_EQ(devices[0].At<uint16_t>(4), array.At<uint16_t>(2)) << "array";
  EXPECT_EQ(devices[0].Hex(6, 6), "feffffffffff");
  EXPECT_EQ(devices[0].At<uint16_t>(0x0c), 16 * 1024) << "MiB";
  EXPECT_EQ(devices[0].At<uint8_t>(0x0e), 9) << "DIMM";
  EXPECT_EQ(devices[0].Text(0x10), "DIMM 0");
  EXPECT_EQ(devices[0].Hex(0x12, 3), "070200") << "RAM";
  EXPECT_EQ(devices[0].At<uint32_t>(0x1c), 0u);
  EXPECT_EQ(devices[1].At<uint16_t>(0x0c), 4 * 1024);
  EXPECT_EQ(devices[1].Text(0x10), "DIMM 1");

  const std::vector<Structure> ranges = OfType(all, 19);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].formatted.size(), 0x1fu);
  EXPECT_EQ(ranges[0].At<uint32_t>(4), 0u);
  EXPECT_EQ(ranges[0].At<uint32_t>(8), (3u << 20) - 1);
  EXPECT_EQ(ranges[1].At<uint32_t>(4), 4u << 20);
  EXPECT_EQ(ranges[1].At<uint32_t>(8), (21u << 20) - 1);
  EXPECT_EQ(ranges[1].At<uint16_t>(0x0c), array.At<uint16_t>(2)) << "array";
  EXPECT_EQ(ranges[1].At<uint8_t>(0x0e), 2);
  EXPECT_EQ(ranges[1].Hex(0x0f, 16), std::string(32, '0'));
}

TEST(SmbiosTest, SizesOfMemoryDevices) {
  struct Row {
    uint64_t size;
    uint16_t field;
    uint32_t extended;
  };
  for (const Row& row : {
           Row{64 << 10, 0x8040, 0},        // KiB
           {(32 << 20) - 1024, 0xffff, 0},  // the most KiB
           {1 << 20, 1, 0},                 // MiB
           {(32 << 20) + 1024, 32, 0},      // cut to MiB
           {16 * kGib, 0x4000, 0},
       }) {
    SmbiosConfig config;
    config.memory.ranges = {{Gpa(0), row.size}};
    const std::vector<Structure> devices = OfType(Build(config), 17);
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_EQ(devices[0].At<uint16_t>(0x0c), row.field) << row.size;
    EXPECT_EQ(devices[0].At<uint32_t>(0x1c), row.extended) << row.size;
  }
}

TEST(SmbiosTest, HugeMemoryUsesTheExtendedFields) {
  SmbiosConfig config;
  const uint64_t size = 256 * 32 * kGib;  // 8 TiB
  config.memory.ranges = {{Gpa(0), size}};
  const std::vector<Structure> all = Build(config);
  const Structure array = OfType(all, 16).at(0);
  EXPECT_EQ(array.At<uint32_t>(7), 0x80000000u);
  EXPECT_EQ(array.At<uint64_t>(0x0f), size);
  EXPECT_EQ(array.At<uint16_t>(0x0d), 256);
  const std::vector<Structure> devices = OfType(all, 17);
  ASSERT_EQ(devices.size(), 256u);
  EXPECT_EQ(devices[255].At<uint16_t>(0x0c), 0x7fff);
  EXPECT_EQ(devices[255].At<uint32_t>(0x1c), 32u << 10);
  const Structure range = OfType(all, 19).at(0);
  EXPECT_EQ(range.Hex(4, 8), "ffffffffffffffff");
  EXPECT_EQ(range.At<uint64_t>(0x0f), 0u);
  EXPECT_EQ(range.At<uint64_t>(0x17), size - 1);
}

TEST(SmbiosTest, OemStrings) {
  SmbiosConfig config;
  config.oem_strings = {"io.systemd.credential:a=b", "second"};
  const Structure type11 = OfType(Build(config), 11).at(0);
  EXPECT_EQ(type11.At<uint8_t>(4), 2);
  EXPECT_EQ(type11.formatted.size(), 5u);
  EXPECT_EQ(type11.strings, config.oem_strings);
}

TEST(SmbiosTest, BootAndEnd) {
  const std::vector<Structure> all = Build({});
  EXPECT_EQ(OfType(all, 32).at(0).Hex(0, 11),
            "200b0020"
            "00000000000000");
  EXPECT_EQ(OfType(all, 127).at(0).Hex(0, 4), "7f04007f");
}

TEST(SmbiosTest, SpaceIsUsedFromItsFirstMultipleOf16) {
  ASSERT_OK_AND_ASSIGN(const SmbiosTables tables,
                       BuildSmbiosTables({}, {Gpa(0xf0001), kSpace.size - 1}));
  EXPECT_EQ(tables.entry_point, Gpa(0xf0010));
  EXPECT_EQ(tables.structures_offset, 32u);
  Parse(tables);
}

TEST(SmbiosTest, TooSmallASpaceSaysWhatIsNeeded) {
  ASSERT_OK_AND_ASSIGN(const SmbiosTables fits, BuildSmbiosTables({}, kSpace));
  const size_t size = fits.memory.bytes.size();
  EXPECT_OK(BuildSmbiosTables({}, {Gpa(0xf0000), size}));
  EXPECT_THAT(BuildSmbiosTables({}, {Gpa(0xf0000), size - 1}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("SMBIOS tables need ", size,
                                    " bytes from a multiple of 16 on; the "
                                    "space has ",
                                    size - 1, " at gpa 0xf0000")));
  EXPECT_THAT(BuildSmbiosTables({}, {Gpa(~uint64_t{0} - 8), 8}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(BuildSmbiosTables({}, {Gpa(~uint64_t{0}), 2}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "SMBIOS table space of 0x2 bytes at gpa "
                       "0xffffffffffffffff passes the end of the address "
                       "space"));
}

TEST(SmbiosTest, ImpossibleConfigsAreRefused) {
  const auto with = [](auto change) {
    SmbiosConfig config;
    change(config);
    return config;
  };
  const std::string long_text(65, 'x');
  struct Row {
    SmbiosConfig config;
    std::string message;
  };
  for (const Row& row : {
           Row{with([&](auto& c) { c.system.serial = long_text; }),
               absl::StrCat("SMBIOS system.serial is \"", long_text,
                            "\", expected at most 64 printable ASCII "
                            "characters")},
           {with([](auto& c) { c.chassis.asset_tag = "a\tb"; }),
            "SMBIOS chassis.asset_tag is \"a\\tb\", expected at most 64 "
            "printable ASCII characters"},
           {with([](auto& c) { c.processors.sockets = 0; }),
            "SMBIOS processors.sockets is 0, expected 1 to 256"},
           {with([](auto& c) { c.processors.sockets = 257; }),
            "SMBIOS processors.sockets is 257, expected 1 to 256"},
           {with([](auto& c) { c.processors.cores = 0; }),
            "SMBIOS processors.cores is 0, expected 1 to 65534"},
           {with([](auto& c) { c.processors.cores = 2; }),
            "SMBIOS processors.threads is 1, expected 2 to 65534"},
           {with([](auto& c) {
              c.memory.ranges = {{Gpa(0), 0}};
            }),
            "SMBIOS memory range of 0x0 bytes at gpa 0x0 is not a whole number "
            "of KiB"},
           {with([](auto& c) {
              c.memory.ranges = {{Gpa(512), 1024}};
            }),
            "SMBIOS memory range of 0x400 bytes at gpa 0x200 is not a whole "
            "number of KiB"},
           {with([](auto& c) {
              c.memory.ranges = {{Gpa(~uint64_t{0} - 1023), 2048}};
            }),
            "SMBIOS memory range of 0x800 bytes at gpa 0xfffffffffffffc00 "
            "passes the end of the address space"},
           {with([](auto& c) {
              c.memory.ranges = {{Gpa(4096), 4096}, {Gpa(0), 1024}};
            }),
            "SMBIOS memory range of 0x400 bytes at gpa 0x0 is not above the "
            "one before it"},
           {with([](auto& c) {
              c.memory.ranges = {{Gpa(0), 2048}, {Gpa(1024), 1024}};
            }),
            "SMBIOS memory range of 0x400 bytes at gpa 0x400 is not above the "
            "one before it"},
           {with([](auto& c) { c.memory.ranges.resize(257); }),
            "SMBIOS memory.ranges has 257 entries, expected at most 256"},
           {with([](auto& c) { c.oem_strings.resize(256, "x"); }),
            "SMBIOS oem_strings has 256 entries, expected at most 255"},
           {with([](auto& c) {
              c.oem_strings = {"x", ""};
            }),
            "SMBIOS oem_strings[1] has 0 characters, expected 1 to 65535 of "
            "printable ASCII"},
       }) {
    EXPECT_THAT(BuildSmbiosTables(row.config, kSpace),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
}

TEST(SmbiosTest, EveryTextIsChecked) {
  SmbiosConfig config;
  for (std::string* text :
       {&config.firmware.vendor, &config.firmware.version,
        &config.firmware.release_date, &config.system.manufacturer,
        &config.system.product, &config.system.version, &config.system.serial,
        &config.system.sku, &config.system.family, &config.chassis.manufacturer,
        &config.chassis.version, &config.chassis.serial,
        &config.chassis.asset_tag, &config.processors.manufacturer,
        &config.processors.version}) {
    const std::string before = *text;
    *text = std::string("a\0b", 3);
    EXPECT_THAT(config.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument));
    *text = std::string(64, '~');
    EXPECT_OK(config.Validate());
    *text = before;
  }
}

TEST(SmbiosTest, WriteGoesWhereTheAddressesSay) {
  ASSERT_OK_AND_ASSIGN(const SmbiosTables tables,
                       BuildSmbiosTables({}, kSpace));
  auto memory = GuestMemory::Create();
  auto region = MemoryRegion::Anonymous({.size = kSpace.size});
  ASSERT_OK(region);
  ASSERT_OK(memory->Add(kSpace.start, *region));
  ASSERT_OK(tables.memory.Write(*memory));
  std::vector<std::byte> read(tables.memory.bytes.size());
  ASSERT_TRUE(memory->Read(tables.entry_point, read));
  EXPECT_EQ(read, tables.memory.bytes);
}

TEST(SmbiosTest, RandomConfigsAreReadBack) {
  std::mt19937_64 random(20261126);
  const auto below = [&](uint64_t limit) { return random() % limit; };
  const auto text = [&](size_t least) {
    std::string result(least + below(64 - least), ' ');
    for (char& c : result) c = static_cast<char>(' ' + below(95));
    return result;
  };
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    SmbiosConfig config;
    config.system.product = text(0);
    config.system.serial = text(0);
    config.chassis.asset_tag = text(0);
    config.processors.version = text(0);
    config.processors.sockets = static_cast<uint32_t>(1 + below(256));
    config.processors.cores = static_cast<uint32_t>(1 + below(400));
    config.processors.threads = config.processors.cores * 2;
    uint64_t end = 0;
    uint64_t total = 0;
    for (uint64_t i = below(8); i != 0; --i) {
      const uint64_t start = end + below(1000) * 1024;
      const uint64_t size = (1 + below(uint64_t{1} << below(33))) * 1024;
      config.memory.ranges.push_back({Gpa(start), size});
      end = start + size;
      total += size;
    }
    for (uint64_t i = below(4); i != 0; --i) {
      config.oem_strings.push_back(text(1));
    }
    const std::vector<Structure> all = Build(config);
    EXPECT_EQ(all.at(1).Text(5), config.system.product);
    EXPECT_EQ(all.at(1).Text(7), config.system.serial);
    EXPECT_EQ(all.at(2).Text(8), config.chassis.asset_tag);
    const std::vector<Structure> sockets = OfType(all, 4);
    EXPECT_EQ(sockets.size(), config.processors.sockets);
    EXPECT_EQ(sockets.back().Text(0x10), config.processors.version);
    EXPECT_EQ(sockets.back().At<uint16_t>(0x2a), config.processors.cores);
    EXPECT_EQ(sockets.back().At<uint16_t>(0x2e), config.processors.threads);
    const std::vector<Structure> strings = OfType(all, 11);
    ASSERT_EQ(strings.size(), config.oem_strings.empty() ? 0u : 1u);
    if (!strings.empty()) {
      EXPECT_EQ(strings[0].strings, config.oem_strings);
    }
    // What the devices add up to, but for what is cut to MiB.
    const std::vector<Structure> devices = OfType(all, 17);
    EXPECT_LE(devices.size(), 256u);
    uint64_t shown = 0;
    for (const Structure& device : devices) {
      const auto size = device.At<uint16_t>(0x0c);
      shown += size == 0x7fff
                   ? uint64_t{device.At<uint32_t>(0x1c)} << 20
                   : uint64_t{size & 0x7fffu} << (size & 0x8000 ? 10 : 20);
    }
    EXPECT_LE(shown, total);
    EXPECT_LT(total - shown, uint64_t{1} << 20);
    EXPECT_EQ(OfType(all, 19).size(), config.memory.ranges.size());
    EXPECT_EQ(all.back().type(), 127);
  }
}

}  // namespace
}  // namespace libvmm
