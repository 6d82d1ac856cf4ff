// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

PcLayout LayoutOf(const PcConfig& config) {
  return PcLayout::ForRam(config.memory.size_mib * kMiB);
}

// "0 0x9fc00 RAM" and so on.
std::vector<E820Entry> MapOf(const PcConfig& config) {
  const absl::StatusOr<E820Map> map = PcMemoryMap(config, LayoutOf(config));
  EXPECT_OK(map);
  if (!map.ok()) return {};
  return {map->entries().begin(), map->entries().end()};
}

E820Entry Ram(uint64_t start, uint64_t end) {
  return {{Gpa(start), end - start}, E820Type::kRam};
}
E820Entry Reserved(uint64_t start, uint64_t end) {
  return {{Gpa(start), end - start}, E820Type::kReserved};
}

TEST(PcTablesTest, TheMemoryMapIsThatOfTheLayout) {
  EXPECT_THAT(
      MapOf({.memory = {.size_mib = 512}}),
      ElementsAre(Ram(0, 0x9fc00), Reserved(0x9fc00, kMiB),
                  Ram(kMiB, 512 * kMiB), Reserved(0xe0000000, 0xe0100000)));
  EXPECT_THAT(
      MapOf({.memory = {.size_mib = 4096}}),
      ElementsAre(Ram(0, 0x9fc00), Reserved(0x9fc00, kMiB), Ram(kMiB, 3 * kGiB),
                  Reserved(0xe0000000, 0xe0100000), Ram(4 * kGiB, 5 * kGiB)));
}

TEST(PcTablesTest, OneMebibyteIsBasicMemoryAlone) {
  EXPECT_THAT(MapOf({.memory = {.size_mib = 1}, .devices = {.pci = false}}),
              ElementsAre(Ram(0, 0x9fc00), Reserved(0x9fc00, kMiB)));
}

TEST(PcTablesTest, DevicesAreThoseOfTheConfig) {
  const PcConfig all{.devices = {.serial_ports = 4, .keyboard = true}};
  const AcpiConfig acpi = PcAcpiConfig(all, LayoutOf(all));
  EXPECT_OK(acpi.Validate());
  ASSERT_THAT(acpi.serial_ports, SizeIs(4));
  EXPECT_EQ(acpi.serial_ports[1].port, 0x2f8);
  EXPECT_EQ(acpi.serial_ports[1].irq, 3);
  EXPECT_TRUE(acpi.rtc);
  EXPECT_TRUE(acpi.i8042.has_value());
  EXPECT_EQ(acpi.pvpanic_port, 0x505);
  ASSERT_THAT(acpi.pci, SizeIs(1));
  EXPECT_EQ(acpi.pci[0].ecam, Gpa(0xe0000000));
  EXPECT_THAT(acpi.pci[0].bridge.memory, SizeIs(3));

  const PcConfig none{
      .devices = {
          .serial_ports = 0, .rtc = false, .pci = false, .pvpanic = false}};
  const AcpiConfig empty = PcAcpiConfig(none, LayoutOf(none));
  EXPECT_OK(empty.Validate());
  EXPECT_THAT(empty.serial_ports, IsEmpty());
  EXPECT_FALSE(empty.rtc);
  EXPECT_FALSE(empty.i8042.has_value());
  EXPECT_FALSE(empty.pvpanic_port.has_value());
  EXPECT_THAT(empty.pci, IsEmpty());
}

TEST(PcTablesTest, ProcessorsHaveTheIdsOfTheTopology) {
  const PcConfig config{.topology = {.sockets = 2, .cores_per_socket = 3}};
  const AcpiConfig acpi = PcAcpiConfig(config, LayoutOf(config));
  std::vector<uint32_t> ids;
  for (const AcpiProcessor& processor : acpi.interrupts.processors) {
    ids.push_back(processor.apic_id);
  }
  EXPECT_THAT(ids, ElementsAre(0, 1, 2, 4, 5, 6));
}

TEST(PcTablesTest, WithoutAnIoapicNothingLeadsToOne) {
  const PcConfig config{.irqchip = PcIrqChip::kNone};
  const AcpiConfig acpi = PcAcpiConfig(config, LayoutOf(config));
  EXPECT_OK(acpi.Validate());
  EXPECT_THAT(acpi.interrupts.io_apics, IsEmpty());
  EXPECT_THAT(acpi.interrupts.overrides, IsEmpty());
  EXPECT_FALSE(acpi.interrupts.nmi_lint.has_value());
  ASSERT_THAT(acpi.pci, SizeIs(1));
  ASSERT_FALSE(acpi.pci[0].bridge.routes.empty());
  for (const AcpiPciRoute& route : acpi.pci[0].bridge.routes) {
    EXPECT_LT(route.gsi, 16u);
  }
}

TEST(PcTablesTest, VirtioDevicesOverMmioAreTold) {
  const PcConfig config{
      .virtio = {
          .disks = {{.plug = {.transport = PcVirtioTransport::kMmio}}, {}},
          .rng = PcRng{.plug = {.transport = PcVirtioTransport::kMmio}}}};
  const AcpiConfig acpi = PcAcpiConfig(config, LayoutOf(config));
  EXPECT_OK(acpi.Validate());
  // Those on PCI the guest finds by itself.
  ASSERT_THAT(acpi.virtio_mmio, SizeIs(2));
  EXPECT_EQ(acpi.virtio_mmio[0].registers, (GpaRange{Gpa(0xfec10000), 0x1000}));
  EXPECT_EQ(acpi.virtio_mmio[0].gsi, 5u);
  EXPECT_EQ(acpi.virtio_mmio[1].registers, (GpaRange{Gpa(0xfec11000), 0x1000}));
  EXPECT_EQ(acpi.virtio_mmio[1].gsi, 6u);
}

TEST(PcTablesTest, AWindowWithoutRoomIsLeftOut) {
  const PcConfig config;
  const AcpiConfig acpi =
      PcAcpiConfig(config, PcLayout::ForRam(512 * kMiB, /*address_bits=*/32));
  EXPECT_OK(acpi.Validate());
  EXPECT_THAT(acpi.pci[0].bridge.memory, SizeIs(2));
}

// Writes the tables of `config` and returns where the RSDP is.
absl::StatusOr<Gpa> Write(const PcConfig& config, GuestMemory& memory) {
  return WritePcTables(config, LayoutOf(config), Cpuid(), memory);
}

class PcTablesMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(MemoryRegion ram,
                         MemoryRegion::Anonymous({.size = kMiB}));
    ASSERT_OK(memory_->Add(Gpa(0), std::move(ram)));
  }
  std::string TextAt(Gpa gpa, size_t size) {
    std::string text(size, '\0');
    EXPECT_TRUE(memory_->Read(gpa, std::as_writable_bytes(std::span(text))));
    return text;
  }
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
};

TEST_F(PcTablesMemoryTest, EachTableIsInItsPlace) {
  ASSERT_OK_AND_ASSIGN(const Gpa rsdp, Write(PcConfig(), *memory_));
  EXPECT_EQ(rsdp, Gpa(0xe0000));
  EXPECT_EQ(TextAt(rsdp, 8), "RSD PTR ");
  EXPECT_EQ(TextAt(Gpa(0xf0000), 5), "_SM3_");
  EXPECT_EQ(TextAt(Gpa(0xf8000), 4), "_MP_");
  EXPECT_NE(TextAt(Gpa(0xffff0), 1), std::string(1, '\0'));
}

TEST_F(PcTablesMemoryTest, WithoutApicsThereIsNoMpTable) {
  ASSERT_OK(Write({.irqchip = PcIrqChip::kNone}, *memory_));
  EXPECT_EQ(TextAt(Gpa(0xf8000), 4), std::string(4, '\0'));
}

TEST_F(PcTablesMemoryTest, TheMostCpusHaveTables) {
  for (const CpuTopology& topology : {
           CpuTopology{.sockets = 255},
           CpuTopology{.sockets = 1024},
           CpuTopology{.sockets = 8, .cores_per_socket = 128},
           CpuTopology{.cores_per_socket = 512, .threads_per_core = 2},
       }) {
    const absl::StatusOr<Gpa> rsdp = Write({.topology = topology}, *memory_);
    ASSERT_OK(rsdp);
    EXPECT_EQ(TextAt(*rsdp, 8), "RSD PTR ");
  }
}

}  // namespace
}  // namespace libvmm
