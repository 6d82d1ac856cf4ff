// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/acpi_tables.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/acpi/fadt_fields.h"
#include "libvmm/boot/acpi/mcfg.h"
#include "libvmm/boot/acpi/rsdp.h"

namespace libvmm {
namespace {

constexpr uint8_t kMaxSlpTyp = 7;
constexpr size_t kMaxSerialPorts = 15;
constexpr size_t kMaxPciSegments = 16;
constexpr size_t kMaxVirtioMmio = 4096;
constexpr size_t kMaxProcessors = 65536;
constexpr uint64_t kTableAlignment = 16;

absl::Status CheckCount(absl::string_view what, size_t count, size_t max) {
  if (count <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "ACPI ", what, " has ", count, " entries, expected at most ", max));
}

absl::Status CheckRange(absl::string_view what, GpaRange range) {
  if (range.size == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("ACPI ", what, " at gpa 0x",
                     absl::Hex(range.start.value()), " is empty"));
  }
  if (!GpaRange::Create(range.start, range.size).has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ACPI ", what, " of 0x", absl::Hex(range.size),
                     " bytes at gpa 0x", absl::Hex(range.start.value()),
                     " passes the end of the address space"));
  }
  return absl::OkStatus();
}

bool HasFixedHardware(const AcpiConfig& config) {
  return std::holds_alternative<AcpiFixedHardware>(config.hardware);
}

FadtConfig FadtConfigOf(const AcpiConfig& config) {
  return {.hardware = config.hardware,
          .reset = config.reset,
          .legacy_devices = !config.serial_ports.empty() || config.rtc ||
                            config.i8042.has_value(),
          .i8042 = config.i8042.has_value(),
          .vga = config.vga,
          .cmos_rtc = config.rtc};
}

std::vector<AcpiEcam> EcamOf(const AcpiConfig& config) {
  std::vector<AcpiEcam> windows;
  for (const AcpiConfig::PciSegment& pci : config.pci) {
    if (!pci.ecam.has_value()) continue;
    windows.push_back({.bus_0 = *pci.ecam,
                       .segment = pci.bridge.segment,
                       .buses = pci.bridge.buses});
  }
  return windows;
}

// What the config reserves, said or not.
AcpiReservedResources ReservedOf(const AcpiConfig& config) {
  AcpiReservedResources reserved;
  const auto add_register = [&](const AcpiRegister& reg) {
    if (reg.space == AcpiRegister::Space::kSystemIo) {
      reserved.ports.push_back(
          {.first = static_cast<uint16_t>(reg.address), .count = reg.size});
    } else {
      reserved.memory.push_back({Gpa(reg.address), reg.size});
    }
  };
  if (const auto* fixed = std::get_if<AcpiFixedHardware>(&config.hardware)) {
    reserved.ports.push_back(
        {.first = fixed->pm1a_event, .count = fadt::kPm1EventSize});
    reserved.ports.push_back(
        {.first = fixed->pm1a_control, .count = fadt::kPm1ControlSize});
    if (fixed->pm_timer.has_value()) {
      reserved.ports.push_back(
          {.first = *fixed->pm_timer, .count = fadt::kPmTimerSize});
    }
    if (fixed->gpe0.has_value()) {
      reserved.ports.push_back(
          {.first = fixed->gpe0->port, .count = fixed->gpe0->size});
    }
    if (fixed->smi.has_value()) {
      reserved.ports.push_back({.first = fixed->smi->port, .count = 1});
    }
  }
  if (const auto* reduced =
          std::get_if<AcpiReducedHardware>(&config.hardware)) {
    add_register(reduced->sleep_control);
    add_register(reduced->sleep_status);
  }
  for (const AcpiEcam& window : EcamOf(config)) {
    reserved.memory.push_back(window.range());
  }
  reserved.ports.insert(reserved.ports.end(), config.reserved.ports.begin(),
                        config.reserved.ports.end());
  reserved.memory.insert(reserved.memory.end(), config.reserved.memory.begin(),
                         config.reserved.memory.end());
  return reserved;
}

std::vector<std::byte> MakeDsdt(const AcpiConfig& config) {
  constexpr uint8_t kRevision = 2;  // integers of 64 bits
  aml::Writer aml;
  AppendSoftOffState(aml, config.soft_off_slp_typ);
  AppendProcessors(aml, config.interrupts.processors.size());
  AppendReservedResources(aml, ReservedOf(config));
  AppendSerialPorts(aml, config.serial_ports);
  if (config.rtc) AppendRtc(aml);
  if (config.i8042.has_value()) AppendI8042(aml, *config.i8042);
  if (config.pvpanic_port.has_value()) AppendPvpanic(aml, *config.pvpanic_port);
  for (size_t i = 0; i < config.pci.size(); ++i) {
    AppendPciHostBridge(aml, config.pci[i].bridge, static_cast<uint8_t>(i));
  }
  AppendVirtioMmio(aml, config.virtio_mmio);
  if (config.power_button_gsi.has_value()) {
    AppendEventPowerButton(aml, *config.power_button_gsi);
  }
  TableBytes body;
  body.Bytes(aml.bytes()).Bytes(config.extra_aml);
  return MakeAcpiTable(config.identity,
                       {.signature = "DSDT", .revision = kRevision},
                       body.bytes());
}

// A table's place is known before its contents, which may hold the place of
// others.
class Layout {
 public:
  explicit Layout(Gpa base) : base_(base) {}

  // Keeps room behind the tables so far; gives the table's index.
  size_t Add(absl::string_view signature, size_t size,
             uint64_t alignment = kTableAlignment) {
    LIBVMM_CHECK(signature.size() == 4);
    AcpiTables::Table table;
    std::copy(signature.begin(), signature.end(), table.signature.begin());
    table.offset = static_cast<size_t>(Gpa(size_).AlignUp(alignment).value());
    table.size = size;
    table.alignment = alignment;
    size_ = table.offset + size;
    tables_.push_back(table);
    return tables_.size() - 1;
  }

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] Gpa gpa_of(size_t index) const {
    return base_ + tables_[index].offset;
  }

  // Puts the contents in place.
  void Fill(size_t index, std::span<const std::byte> bytes) {
    LIBVMM_CHECK(bytes.size() == tables_[index].size);
    bytes_.resize(size_);
    std::copy(
        bytes.begin(), bytes.end(),
        bytes_.begin() + static_cast<std::ptrdiff_t>(tables_[index].offset));
  }

  [[nodiscard]] AcpiTables Take() && {
    return {.memory = {.gpa = base_, .bytes = std::move(bytes_)},
            .tables = std::move(tables_),
            .pointers = {}};
  }

 private:
  Gpa base_;
  size_t size_ = 0;
  std::vector<AcpiTables::Table> tables_;
  std::vector<std::byte> bytes_;
};

// Which of the FADT's pointers are in use depends on where the tables are, so
// see which are not zero.
void AppendFadtPointers(AcpiTables& tables, size_t fadt, size_t dsdt,
                        std::optional<size_t> facs) {
  const std::span<const std::byte> bytes = tables.bytes_of(tables.tables[fadt]);
  const auto add_if_used = [&](size_t offset, size_t size, size_t target) {
    const std::span<const std::byte> field = bytes.subspan(offset, size);
    if (std::all_of(field.begin(), field.end(),
                    [](std::byte byte) { return byte == std::byte{0}; })) {
      return;
    }
    tables.pointers.push_back(
        {.source = fadt, .offset = offset, .size = size, .target = target});
  };
  if (facs.has_value()) {
    add_if_used(kFadtFacsOffset, sizeof(uint32_t), *facs);
    add_if_used(kFadtXFacsOffset, sizeof(uint64_t), *facs);
  }
  add_if_used(kFadtDsdtOffset, sizeof(uint32_t), dsdt);
  add_if_used(kFadtXDsdtOffset, sizeof(uint64_t), dsdt);
}

}  // namespace

absl::Status AcpiConfig::Validate() const {
  LIBVMM_RETURN_IF_ERROR(identity.Validate());
  LIBVMM_RETURN_IF_ERROR(FadtConfigOf(*this).Validate());
  LIBVMM_RETURN_IF_ERROR(interrupts.Validate());
  if (soft_off_slp_typ > kMaxSlpTyp) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ACPI soft_off_slp_typ is ", soft_off_slp_typ, ", expected at most 7"));
  }
  LIBVMM_RETURN_IF_ERROR(
      CheckCount("processors", interrupts.processors.size(), kMaxProcessors));
  LIBVMM_RETURN_IF_ERROR(
      CheckCount("serial_ports", serial_ports.size(), kMaxSerialPorts));
  LIBVMM_RETURN_IF_ERROR(
      CheckCount("virtio_mmio", virtio_mmio.size(), kMaxVirtioMmio));
  LIBVMM_RETURN_IF_ERROR(CheckCount("pci", pci.size(), kMaxPciSegments));
  for (const AcpiVirtioMmio& device : virtio_mmio) {
    LIBVMM_RETURN_IF_ERROR(CheckRange("virtio_mmio", device.registers));
  }
  for (const GpaRange& range : reserved.memory) {
    LIBVMM_RETURN_IF_ERROR(CheckRange("reserved memory", range));
  }
  for (const PciSegment& segment : pci) {
    LIBVMM_RETURN_IF_ERROR(segment.bridge.Validate());
  }
  for (const AcpiEcam& window : EcamOf(*this)) {
    LIBVMM_RETURN_IF_ERROR(CheckRange(
        "ecam", {window.bus_0,
                 window.range().start - window.bus_0 + window.range().size}));
  }
  if (power_button_gsi.has_value() && HasFixedHardware(*this)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ACPI power_button_gsi is ", *power_button_gsi,
                     ", but the fixed hardware has a power button"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AcpiTables> BuildAcpiTables(const AcpiConfig& config,
                                           GpaRange space) {
  LIBVMM_RETURN_IF_ERROR(config.Validate());
  LIBVMM_RETURN_IF_ERROR(CheckRange("table space", space));
  const std::vector<std::byte> dsdt_bytes = MakeDsdt(config);
  const std::vector<std::byte> madt_bytes =
      MakeMadt(config.identity, config.interrupts);
  const std::vector<AcpiEcam> ecam = EcamOf(config);
  const std::vector<std::byte> mcfg_bytes = MakeMcfg(config.identity, ecam);

  const Gpa base = space.start.AlignUp(kFacsAlignment);
  Layout layout(base);
  const size_t listed_count = ecam.empty() ? 2 : 3;
  const size_t rsdp = layout.Add("RSD ", kRsdpSize, kRsdpAlignment);
  const size_t xsdt = layout.Add(
      "XSDT", kAcpiTableHeaderSize + listed_count * sizeof(uint64_t));
  const size_t fadt = layout.Add("FACP", kFadtSize);
  std::optional<size_t> facs;
  if (HasFixedHardware(config)) {
    facs = layout.Add("FACS", MakeFacs().size(), kFacsAlignment);
  }
  const size_t dsdt = layout.Add("DSDT", dsdt_bytes.size());
  const size_t madt = layout.Add("APIC", madt_bytes.size());
  std::vector<size_t> listed = {fadt, madt};
  if (!ecam.empty()) listed.push_back(layout.Add("MCFG", mcfg_bytes.size()));
  if (base < space.start || !space.Contains(base, layout.size())) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "ACPI tables need ", layout.size(), " bytes from a multiple of ",
        kFacsAlignment, " on; the space has ", space.size, " at gpa 0x",
        absl::Hex(space.start.value())));
  }

  std::vector<Gpa> listed_gpas;
  for (const size_t table : listed) listed_gpas.push_back(layout.gpa_of(table));
  layout.Fill(rsdp, MakeRsdp(config.identity, layout.gpa_of(xsdt)));
  layout.Fill(xsdt, MakeXsdt(config.identity, listed_gpas));
  layout.Fill(fadt, MakeFadt(config.identity, FadtConfigOf(config),
                             {.dsdt = layout.gpa_of(dsdt),
                              .facs = facs ? layout.gpa_of(*facs) : Gpa(0)}));
  if (facs.has_value()) layout.Fill(*facs, MakeFacs());
  layout.Fill(dsdt, dsdt_bytes);
  layout.Fill(madt, madt_bytes);
  if (!ecam.empty()) layout.Fill(listed.back(), mcfg_bytes);

  AcpiTables tables = std::move(layout).Take();
  tables.pointers.push_back({.source = rsdp,
                             .offset = kRsdpXsdtOffset,
                             .size = sizeof(uint64_t),
                             .target = xsdt});
  for (size_t i = 0; i < listed.size(); ++i) {
    tables.pointers.push_back(
        {.source = xsdt,
         .offset = kAcpiTableHeaderSize + i * sizeof(uint64_t),
         .size = sizeof(uint64_t),
         .target = listed[i]});
  }
  AppendFadtPointers(tables, fadt, dsdt, facs);
  return tables;
}

}  // namespace libvmm
