// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/acpi_tables.h"

#include <algorithm>
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
using ::testing::HasSubstr;

constexpr GpaRange kSpace = {Gpa(0xe0000), 0x20000};

uint8_t Sum(absl::string_view bytes) {
  uint8_t sum = 0;
  for (const char byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return sum;
}

// Reads tables as an operating system does, from addresses and lengths alone.
class Reader {
 public:
  explicit Reader(const AcpiTables& tables)
      : base_(tables.memory.gpa.value()),
        bytes_(reinterpret_cast<const char*>(tables.memory.bytes.data()),
               tables.memory.bytes.size()) {}

  template <typename T>
  static T At(absl::string_view bytes, size_t offset) {
    T value = {};
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
      ADD_FAILURE() << "offset " << offset << " of " << bytes.size();
      return value;
    }
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
  }

  // `size` bytes at an address.
  absl::string_view Bytes(uint64_t gpa, size_t size) const {
    if (gpa < base_ || gpa - base_ > bytes_.size() ||
        bytes_.size() - (gpa - base_) < size) {
      ADD_FAILURE() << size << " bytes at " << gpa << " are outside";
      return {};
    }
    return bytes_.substr(gpa - base_, size);
  }

  // The table at an address, with its checksum checked.
  absl::string_view Table(uint64_t gpa) const {
    const auto size = At<uint32_t>(Bytes(gpa, 8), 4);
    const absl::string_view table = Bytes(gpa, size);
    if (table.substr(0, 4) != "FACS") {
      EXPECT_EQ(Sum(table), 0) << table.substr(0, 4);
      EXPECT_GE(table.size(), 36u);
    }
    return table;
  }

  // All tables by signature, found from the RSDP.
  std::map<std::string, absl::string_view> All() const {
    std::map<std::string, absl::string_view> found;
    const absl::string_view rsdp = Bytes(base_, 36);
    EXPECT_EQ(base_ % 16, 0u);
    EXPECT_EQ(rsdp.substr(0, 8), "RSD PTR ");
    EXPECT_EQ(Sum(rsdp.substr(0, 20)), 0);
    EXPECT_EQ(Sum(rsdp), 0);
    EXPECT_EQ(At<uint32_t>(rsdp, 20), 36u);
    const absl::string_view xsdt = Table(At<uint64_t>(rsdp, 24));
    EXPECT_EQ(xsdt.substr(0, 4), "XSDT");
    for (size_t i = 36; i < xsdt.size(); i += 8) {
      const absl::string_view table = Table(At<uint64_t>(xsdt, i));
      EXPECT_TRUE(found.emplace(table.substr(0, 4), table).second);
    }
    const absl::string_view fadt = found["FACP"];
    found["DSDT"] = Table(At<uint64_t>(fadt, 140));
    const uint64_t facs = At<uint32_t>(fadt, 36) + At<uint64_t>(fadt, 132);
    if (facs != 0) {
      EXPECT_EQ(facs % 64, 0u);
      found["FACS"] = Table(facs);
    }
    return found;
  }

 private:
  uint64_t base_;
  absl::string_view bytes_;
};

// Walks the objects of a DSDT that the tables here consist of, from the lengths
// and names alone, and counts devices by their _HID.
class AmlWalker {
 public:
  explicit AmlWalker(absl::string_view aml) { Objects(aml); }

  // By string, or by EISA id as hexadecimal digits of its four bytes.
  const std::map<std::string, int>& hids() const { return hids_; }
  const std::vector<std::string>& paths() const { return paths_; }

 private:
  static size_t NameSize(absl::string_view aml) {
    size_t size = 0;
    while (size < aml.size() && (aml[size] == '\\' || aml[size] == '^')) ++size;
    if (aml[size] == 0x00) return size + 1;
    if (aml[size] == 0x2e) return size + 9;
    if (aml[size] == 0x2f) return size + 2 + 4 * aml[size + 1];
    return size + 4;
  }

  // The package at the front of `aml`, without its length.
  static absl::string_view Package(absl::string_view& aml) {
    const auto lead = static_cast<uint8_t>(aml[0]);
    const size_t extra = lead >> 6;
    size_t length = extra == 0 ? lead & 0x3f : lead & 0x0f;
    for (size_t i = 0; i < extra; ++i) {
      length |= size_t{static_cast<uint8_t>(aml[1 + i])} << (4 + 8 * i);
    }
    EXPECT_GT(length, extra);
    EXPECT_LE(length, aml.size());
    const absl::string_view package = aml.substr(1 + extra, length - 1 - extra);
    aml.remove_prefix(length);
    return package;
  }

  // Takes a data object off the front.
  static absl::string_view Data(absl::string_view& aml) {
    const absl::string_view all = aml;
    const auto opcode = static_cast<uint8_t>(aml[0]);
    aml.remove_prefix(1);
    switch (opcode) {
      case 0x00:
      case 0x01:
        break;
      case 0x0a:
        aml.remove_prefix(1);
        break;
      case 0x0b:
        aml.remove_prefix(2);
        break;
      case 0x0c:
        aml.remove_prefix(4);
        break;
      case 0x0e:
        aml.remove_prefix(8);
        break;
      case 0x0d:
        aml.remove_prefix(aml.find('\0') + 1);
        break;
      case 0x11: {
        absl::string_view buffer = Package(aml);
        const auto size_op = static_cast<uint8_t>(buffer[0]);
        const size_t size = size_op == 0x0a ? static_cast<uint8_t>(buffer[1])
                                            : Reader::At<uint16_t>(buffer, 1);
        EXPECT_EQ(buffer.size(), size + (size_op == 0x0a ? 2 : 3));
        EXPECT_EQ(buffer.substr(buffer.size() - 2),
                  absl::string_view("\x79\x00", 2));
        break;
      }
      case 0x12: {
        absl::string_view package = Package(aml);
        size_t count = static_cast<uint8_t>(package[0]);
        package.remove_prefix(1);
        for (; count != 0; --count) Data(package);
        EXPECT_TRUE(package.empty());
        break;
      }
      default:
        ADD_FAILURE() << "data object " << int{opcode};
        aml = {};
    }
    return all.substr(0, all.size() - aml.size());
  }

  void Objects(absl::string_view aml) {
    while (!aml.empty()) {
      const auto opcode = static_cast<uint8_t>(aml[0]);
      aml.remove_prefix(1);
      if (opcode == 0x08) {  // Name
        const size_t size = NameSize(aml);
        const absl::string_view name = aml.substr(0, size);
        aml.remove_prefix(size);
        const absl::string_view value = Data(aml);
        if (name == "_HID" && value[0] == 0x0d) {
          ++hids_[std::string(value.substr(1, value.size() - 2))];
        } else if (name == "_HID") {
          EXPECT_EQ(value[0], 0x0c);
          ++hids_[absl::BytesToHexString(value.substr(1))];
        }
      } else if (opcode == 0x10) {  // Scope
        const absl::string_view body = Package(aml);
        Objects(body.substr(NameSize(body)));
      } else if (opcode == 0x14) {  // Method: its body is not walked
        Package(aml);
      } else if (opcode == 0x5b && aml[0] == '\x82') {  // Device
        aml.remove_prefix(1);
        const absl::string_view body = Package(aml);
        const size_t size = NameSize(body);
        paths_.emplace_back(body.substr(0, size));
        Objects(body.substr(size));
      } else {
        ADD_FAILURE() << "opcode " << int{opcode};
        return;
      }
    }
  }

  std::map<std::string, int> hids_;
  std::vector<std::string> paths_;
};

AmlWalker WalkDsdt(const AcpiTables& tables) {
  return AmlWalker(Reader(tables).All().at("DSDT").substr(36));
}

std::vector<std::string> Signatures(const AcpiTables& tables) {
  std::vector<std::string> signatures;
  for (const AcpiTables::Table& table : tables.tables) {
    signatures.emplace_back(table.signature.data(), 4);
  }
  return signatures;
}

AcpiConfig FullPc() {
  AcpiConfig config;
  config.interrupts.processors = {{0}, {1}, {2}, {300}};
  config.serial_ports = {{}, {.port = 0x2f8, .irq = 3}};
  config.rtc = true;
  config.i8042 = AcpiI8042{};
  config.pvpanic_port = 0x505;
  config.virtio_mmio = {{.registers = {Gpa(0xd0000000), 0x1000}, .gsi = 5}};
  const uint32_t gsis[] = {16, 17, 18, 19};
  config.pci = {
      {.bridge = {.memory = {{.range = {Gpa(0xc0000000), 0x10000000}},
                             {.range = {Gpa(0x80'0000'0000), 0x8'0000'0000}}},
                  .routes = SwizzledPciRoutes(gsis)},
       .ecam = Gpa(0xe0000000)}};
  return config;
}

TEST(AcpiTablesTest, FullPcIsFoundFromTheRsdp) {
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(FullPc(), kSpace));
  EXPECT_EQ(tables.rsdp(), Gpa(0xe0000));
  const auto all = Reader(tables).All();
  std::vector<std::string> names;
  for (const auto& [name, table] : all) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("APIC", "DSDT", "FACP", "FACS", "MCFG"));
  EXPECT_EQ(Reader::At<uint16_t>(all.at("FACP"), 109), 0x07)
      << "legacy devices, i8042, no VGA";
  EXPECT_EQ(Reader::At<uint64_t>(all.at("MCFG"), 44), 0xe0000000u);
  EXPECT_EQ(all.at("DSDT")[8], 2) << "64-bit integers";
  using Counts = std::map<std::string, int>;
  EXPECT_EQ(WalkDsdt(tables).hids(), (Counts{{"41d00501", 2},
                                             {"41d00b00", 1},
                                             {"41d00303", 1},
                                             {"41d00f13", 1},
                                             {"41d00c02", 1},
                                             {"41d00a08", 1},
                                             {"QEMU0001", 1},
                                             {"LNRO0005", 1},
                                             {"ACPI0007", 4}}));
}

TEST(AcpiTablesTest, SmallestPcHasNoMcfgAndNoLegacyDevice) {
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables, BuildAcpiTables({}, kSpace));
  EXPECT_THAT(Signatures(tables),
              ElementsAre("RSD ", "XSDT", "FACP", "FACS", "DSDT", "APIC"));
  EXPECT_EQ(Reader::At<uint16_t>(Reader(tables).All().at("FACP"), 109), 0x24)
      << "no VGA, no CMOS RTC";
  using Counts = std::map<std::string, int>;
  EXPECT_EQ(WalkDsdt(tables).hids(),
            (Counts{{"41d00c02", 1}, {"ACPI0007", 1}}));
}

TEST(AcpiTablesTest, ReducedHardwareHasNoFacs) {
  AcpiConfig config;
  config.hardware = AcpiReducedHardware{};
  config.power_button_gsi = 21;
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, kSpace));
  EXPECT_THAT(Signatures(tables),
              ElementsAre("RSD ", "XSDT", "FACP", "DSDT", "APIC"));
  using Counts = std::map<std::string, int>;
  EXPECT_EQ(
      WalkDsdt(tables).hids(),
      (Counts{
          {"41d00c02", 1}, {"41d00c0c", 1}, {"ACPI0013", 1}, {"ACPI0007", 1}}));
}

TEST(AcpiTablesTest, HardwareAndEcamAreReserved) {
  AcpiConfig config = FullPc();
  config.pci[0].bridge.buses = {.first = 1, .last = 2};
  config.reserved = {.ports = {{.first = 0x510, .count = 12}},
                     .memory = {{Gpa(0x12340000), 0x1000}}};
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, kSpace));
  const std::string dsdt =
      absl::BytesToHexString(Reader(tables).All().at("DSDT"));
  EXPECT_THAT(dsdt, HasSubstr("4701000600060104"  // PM1a event
                              "4701040604060102"  // PM1a control
                              "4701080608060104"  // PM timer
                              "470110051005010c"
                              "86090001000010e000002000"  // ECAM of two buses
                              "8609000100003412001000007900"));
}

TEST(AcpiTablesTest, OptionalFixedHardwareIsReservedToo) {
  AcpiFixedHardware hardware;
  hardware.gpe0 = AcpiFixedHardware::Gpe0{.port = 0x60c, .size = 4};
  hardware.smi = AcpiFixedHardware::SmiCommand{};
  AcpiConfig config;
  config.hardware = hardware;
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, kSpace));
  EXPECT_THAT(absl::BytesToHexString(Reader(tables).All().at("DSDT")),
              HasSubstr("4701080608060104"
                        "47010c060c060104"
                        "4701b200b20001017900"));
}

TEST(AcpiTablesTest, RegistersInMemoryAreReservedToo) {
  AcpiConfig config;
  config.hardware = AcpiReducedHardware{
      .sleep_control = {.space = AcpiRegister::Space::kSystemMemory,
                        .size = 1,
                        .address = 0xd0000000}};
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, kSpace));
  EXPECT_THAT(absl::BytesToHexString(Reader(tables).All().at("DSDT")),
              HasSubstr("470101060106010186090001000000d0010000007900"));
}

TEST(AcpiTablesTest, ExtraAmlStandsAtTheEnd) {
  aml::Writer extra;
  extra.Scope("\\_SB_", [&] { extra.Device("XTRA", [] {}); });
  AcpiConfig config;
  config.extra_aml.assign(extra.bytes().begin(), extra.bytes().end());
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, kSpace));
  EXPECT_THAT(WalkDsdt(tables).paths(), ElementsAre("C000", "MBRD", "XTRA"));
}

TEST(AcpiTablesTest, SpaceIsUsedFromItsFirstMultipleOf64) {
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables({}, {Gpa(0xe0001), kSpace.size}));
  EXPECT_EQ(tables.rsdp(), Gpa(0xe0040));
  Reader(tables).All();
}

TEST(AcpiTablesTest, SpaceMayBeAbove4GiB) {
  ASSERT_OK_AND_ASSIGN(
      const AcpiTables tables,
      BuildAcpiTables(FullPc(), {Gpa(0x1'0000'0000), kSpace.size}));
  const auto all = Reader(tables).All();
  EXPECT_EQ(all.size(), 5u);
}

TEST(AcpiTablesTest, TooSmallASpaceSaysWhatIsNeeded) {
  ASSERT_OK_AND_ASSIGN(const AcpiTables fits, BuildAcpiTables({}, kSpace));
  const size_t size = fits.memory.bytes.size();
  EXPECT_OK(BuildAcpiTables({}, {Gpa(0xe0000), size}));
  EXPECT_THAT(BuildAcpiTables({}, {Gpa(0xe0000), size - 1}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("ACPI tables need ", size,
                                    " bytes from a multiple of 64 on; the "
                                    "space has ",
                                    size - 1, " at gpa 0xe0000")));
  EXPECT_THAT(BuildAcpiTables({}, {Gpa(0xe0001), size}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(BuildAcpiTables({}, {Gpa(~uint64_t{0} - 9), 10}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(AcpiTablesTest, ImpossibleConfigsAreRefused) {
  const auto with = [](auto change) {
    AcpiConfig config = FullPc();
    change(config);
    return config;
  };
  struct Row {
    AcpiConfig config;
    const char* message;
  };
  for (const Row& row : {
           Row{with([](auto& c) { c.identity.oem_id = "TOO LONG"; }),
               "ACPI oem_id is \"TOO LONG\", expected at most 6 printable "
               "ASCII characters"},
           {with([](auto& c) { c.reset->reg.size = 2; }),
            "ACPI reset register size is 2, expected 1 byte"},
           {with([](auto& c) { c.interrupts.processors.clear(); }),
            "MADT processors is empty"},
           {with([](auto& c) { c.soft_off_slp_typ = 8; }),
            "ACPI soft_off_slp_typ is 8, expected at most 7"},
           {with([](auto& c) { c.serial_ports.resize(16); }),
            "ACPI serial_ports has 16 entries, expected at most 15"},
           {with([](auto& c) {
              c.virtio_mmio.resize(4097, {{Gpa(0), 1}, 5});
            }),
            "ACPI virtio_mmio has 4097 entries, expected at most 4096"},
           {with([](auto& c) { c.pci.resize(17); }),
            "ACPI pci has 17 entries, expected at most 16"},
           {with([](auto& c) {
              c.interrupts.processors.clear();
              for (uint32_t i = 0; i <= 65536; ++i) {
                c.interrupts.processors.push_back({.apic_id = i});
              }
            }),
            "ACPI processors has 65537 entries, expected at most 65536"},
           {with([](auto& c) { c.virtio_mmio[0].registers.size = 0; }),
            "ACPI virtio_mmio at gpa 0xd0000000 is empty"},
           {with([](auto& c) {
              c.reserved.memory = {{Gpa(~uint64_t{0}), 2}};
            }),
            "ACPI reserved memory of 0x2 bytes at gpa 0xffffffffffffffff "
            "passes the end of the address space"},
           {with([](auto& c) {
              c.pci[0].bridge.buses.first = 9;
              c.pci[0].bridge.buses.last = 8;
            }),
            "PCI host bridge buses 9 to 8 are none"},
           {with([](auto& c) {
              c.pci[0].ecam = Gpa(uint64_t{0} - (uint64_t{1} << 20));
            }),
            "ACPI ecam of 0x10000000 bytes at gpa 0xfffffffffff00000 passes "
            "the end of the address space"},
           {with([](auto& c) { c.power_button_gsi = 7; }),
            "ACPI power_button_gsi is 7, but the fixed hardware has a power "
            "button"},
       }) {
    EXPECT_THAT(BuildAcpiTables(row.config, {Gpa(0), uint64_t{1} << 30}),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
  EXPECT_THAT(BuildAcpiTables({}, {Gpa(0xe0000), 0}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "ACPI table space at gpa 0xe0000 is empty"));
  EXPECT_THAT(BuildAcpiTables({}, {Gpa(~uint64_t{0}), 2}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(AcpiTablesTest, MostOfEverythingFits) {
  AcpiConfig config;
  config.interrupts.processors.clear();
  for (uint32_t i = 0; i < 65536; ++i) {
    config.interrupts.processors.push_back({.apic_id = i});
  }
  config.serial_ports.resize(15);
  config.virtio_mmio.resize(4096, {{Gpa(0xd0000000), 0x1000}, 5});
  config.pci.resize(16);
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(config, {Gpa(0), uint64_t{1} << 30}));
  const AmlWalker dsdt = WalkDsdt(tables);
  EXPECT_EQ(dsdt.hids().at("ACPI0007"), 65536);
  EXPECT_EQ(dsdt.hids().at("LNRO0005"), 4096);
  EXPECT_EQ(dsdt.hids().at("41d00a08"), 16);
  EXPECT_EQ(dsdt.hids().at("41d00501"), 15);
  std::vector<std::string> paths = dsdt.paths();
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(std::adjacent_find(paths.begin(), paths.end()), paths.end())
      << "two devices of one name";
}

TEST(AcpiTablesTest, WriteGoesWhereTheAddressesSay) {
  ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                       BuildAcpiTables(FullPc(), kSpace));
  auto memory = GuestMemory::Create();
  auto region = MemoryRegion::Anonymous({.size = kSpace.size});
  ASSERT_OK(region);
  ASSERT_OK(memory->Add(kSpace.start, *region));
  ASSERT_OK(tables.memory.Write(*memory));
  std::vector<std::byte> read(tables.memory.bytes.size());
  ASSERT_TRUE(memory->Read(tables.rsdp(), read));
  EXPECT_EQ(read, tables.memory.bytes);
}

// What a firmware's table loader does: places each table anew and patches the
// pointers. The result must be the same as if built there.
TEST(AcpiTablesTest, PointersAreAllThatDependsOnThePlace) {
  for (const bool reduced : {false, true}) {
    AcpiConfig config = FullPc();
    if (reduced) config.hardware = AcpiReducedHardware{};
    ASSERT_OK_AND_ASSIGN(AcpiTables moved, BuildAcpiTables(config, kSpace));
    const GpaRange elsewhere = {Gpa(0x7fe00000), kSpace.size};
    ASSERT_OK_AND_ASSIGN(const AcpiTables expected,
                         BuildAcpiTables(config, elsewhere));
    for (const AcpiTables::Pointer& pointer : moved.pointers) {
      const uint64_t target =
          elsewhere.start.value() + moved.tables[pointer.target].offset;
      std::memcpy(moved.memory.bytes.data() +
                      moved.tables[pointer.source].offset + pointer.offset,
                  &target, pointer.size);
    }
    const auto fix = [&](size_t table, size_t checksum, size_t size) {
      char* bytes = reinterpret_cast<char*>(moved.memory.bytes.data()) +
                    moved.tables[table].offset;
      bytes[checksum] = 0;
      bytes[checksum] = static_cast<char>(-Sum({bytes, size}));
    };
    fix(0, 32, 36);
    fix(1, 9, moved.tables[1].size);
    fix(2, 9, moved.tables[2].size);
    EXPECT_EQ(moved.memory.bytes, expected.memory.bytes);
  }
}

TEST(AcpiTablesTest, RandomConfigsAreReadBack) {
  std::mt19937_64 random(20261126);
  const auto below = [&](uint64_t limit) { return random() % limit; };
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    AcpiConfig config;
    std::map<std::string, int> expected;
    config.interrupts.processors.clear();
    const size_t cpus = 1 + below(400);
    for (uint32_t i = 0; i < cpus; ++i) {
      config.interrupts.processors.push_back(
          {.apic_id = i * 3, .enabled = below(2) == 0});
    }
    expected["ACPI0007"] = static_cast<int>(cpus);
    expected["41d00c02"] = 1;
    if (below(2) == 0) {
      config.hardware = AcpiReducedHardware{};
      if (below(2) == 0) {
        config.power_button_gsi = static_cast<uint32_t>(below(200));
        expected["41d00c0c"] = expected["ACPI0013"] = 1;
      }
    }
    config.serial_ports.resize(below(16),
                               {.port = static_cast<uint16_t>(below(0x10000)),
                                .irq = static_cast<uint32_t>(below(32))});
    config.virtio_mmio.resize(
        below(50), {.registers = {Gpa(below(uint64_t{1} << 40)), 0x1000},
                    .gsi = static_cast<uint32_t>(below(300))});
    if (below(2) == 0) {
      config.rtc = true;
      expected["41d00b00"] = 1;
    }
    if (below(2) == 0) {
      config.pvpanic_port = 0x505;
      expected["QEMU0001"] = 1;
    }
    const size_t segments = below(3);
    size_t windows = 0;
    for (uint16_t i = 0; i < segments; ++i) {
      const std::vector<uint32_t> gsis(below(9), 16);
      AcpiConfig::PciSegment segment;
      segment.bridge.segment = i;
      segment.bridge.routes = SwizzledPciRoutes(gsis);
      segment.bridge.memory = {
          {.range = {Gpa(below(uint64_t{1} << 50)), 1 + below(1u << 30)},
           .prefetchable = below(2) == 0}};
      if (below(2) == 0) {
        segment.ecam = Gpa(below(1 << 12) << 28);
        ++windows;
      }
      config.pci.push_back(segment);
    }
    const auto expect = [&](const char* hid, size_t count) {
      if (count != 0) expected[hid] = static_cast<int>(count);
    };
    expect("41d00501", config.serial_ports.size());
    expect("LNRO0005", config.virtio_mmio.size());
    expect("41d00a08", segments);

    const GpaRange space = {Gpa(below(uint64_t{1} << 36)), 1 << 20};
    ASSERT_OK_AND_ASSIGN(const AcpiTables tables,
                         BuildAcpiTables(config, space));
    EXPECT_TRUE(space.Contains(tables.memory.gpa, tables.memory.bytes.size()));
    const auto all = Reader(tables).All();
    EXPECT_EQ(WalkDsdt(tables).hids(), expected);
    ASSERT_EQ(all.count("MCFG"), windows != 0 ? 1u : 0u);
    if (windows != 0) {
      EXPECT_EQ(all.at("MCFG").size(), 44 + 16 * windows);
    }
    // Every entry of the MADT has the length that it says.
    std::map<int, size_t> entries;
    absl::string_view madt = all.at("APIC").substr(44);
    while (!madt.empty()) {
      const auto length = static_cast<uint8_t>(madt[1]);
      ASSERT_GE(length, 2);
      ASSERT_LE(length, madt.size());
      ++entries[madt[0]];
      madt.remove_prefix(length);
    }
    EXPECT_EQ(entries[0] + entries[9], cpus);
    EXPECT_EQ(entries[0], std::min<size_t>(cpus, 85)) << "ids below 255";
    // The tables one by one are those in memory, aligned and apart.
    size_t end = 0;
    for (const AcpiTables::Table& table : tables.tables) {
      EXPECT_GE(table.offset, end);
      EXPECT_TRUE(
          (tables.memory.gpa + table.offset).IsAligned(table.alignment));
      end = table.offset + table.size;
      const std::string name(table.signature.data(), 4);
      const auto found = all.find(name);
      if (found == all.end()) continue;
      const auto bytes = tables.bytes_of(table);
      EXPECT_EQ(found->second,
                absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                                  bytes.size()));
    }
    EXPECT_EQ(end, tables.memory.bytes.size());
    for (const AcpiTables::Pointer& pointer : tables.pointers) {
      uint64_t value = 0;
      std::memcpy(&value,
                  tables.bytes_of(tables.tables[pointer.source]).data() +
                      pointer.offset,
                  pointer.size);
      EXPECT_EQ(
          value,
          (tables.memory.gpa + tables.tables[pointer.target].offset).value());
    }
  }
}

}  // namespace
}  // namespace libvmm
