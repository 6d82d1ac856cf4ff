// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/smbios/smbios.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/smbios/smbios_structures.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {
namespace {

constexpr size_t kMaxSockets = 256;
constexpr size_t kMaxRanges = 256;
constexpr size_t kMaxDevices = 256;
constexpr size_t kMaxOemStrings = 255;
constexpr size_t kMaxOemString = 65535;
constexpr uint64_t kKib = uint64_t{1} << 10;
constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;
constexpr uint64_t kDeviceSize = 16 * kGib;

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("SMBIOS ", parts...));
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isprint);
}

absl::Status CheckText(absl::string_view field, absl::string_view text) {
  if (text.size() <= smbios::kMaxText && IsPrintable(text)) {
    return absl::OkStatus();
  }
  return Invalid(field, " is \"", absl::CHexEscape(text),
                 "\", expected at most ", smbios::kMaxText,
                 " printable ASCII characters");
}

absl::Status CheckNumber(absl::string_view field, uint32_t value, uint32_t min,
                         uint32_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return Invalid(field, " is ", value, ", expected ", min, " to ", max);
}

absl::Status CheckRanges(const std::vector<GpaRange>& ranges) {
  if (ranges.size() > kMaxRanges) {
    return Invalid("memory.ranges has ", ranges.size(),
                   " entries, expected at most ", kMaxRanges);
  }
  const GpaRange* last = nullptr;
  for (const GpaRange& range : ranges) {
    const auto invalid = [&](absl::string_view why) {
      return Invalid("memory range of 0x", absl::Hex(range.size),
                     " bytes at gpa 0x", absl::Hex(range.start.value()), why);
    };
    if (range.size == 0 || range.size % kKib != 0 ||
        !range.start.IsAligned(kKib)) {
      return invalid(" is not a whole number of KiB");
    }
    if (!GpaRange::Create(range.start, range.size).has_value()) {
      return invalid(" passes the end of the address space");
    }
    if (last != nullptr &&
        (range.start < last->start || range.Overlaps(*last))) {
      return invalid(" is not above the one before it");
    }
    last = &range;
  }
  return absl::OkStatus();
}

// A structure: its formatted area, then its strings (clause 6.1).
class Structure {
 public:
  Structure(smbios::Type type, uint8_t index) {
    bytes_.U8(static_cast<uint8_t>(type));
    bytes_.U8(0);  // the length, by AppendTo
    bytes_.U16(Handle(type, index));
  }

  static uint16_t Handle(smbios::Type type, uint8_t index) {
    return static_cast<uint16_t>(static_cast<uint16_t>(type) << 8 | index);
  }

  [[nodiscard]] TableBytes& fields() { return bytes_; }

  // A field with the number of a string: 0 is none.
  void Text(absl::string_view text) {
    if (text.empty()) {
      bytes_.U8(0);
      return;
    }
    AddString(text);
    bytes_.U8(string_count_);
  }
  // A string that no field names.
  void AddString(absl::string_view text) {
    LIBVMM_CHECK(!text.empty() &&
                 string_count_ < std::numeric_limits<uint8_t>::max());
    ++string_count_;
    strings_.Text(text).U8(0);
  }

  void AppendTo(TableBytes& table) && {
    LIBVMM_CHECK(bytes_.size() <= std::numeric_limits<uint8_t>::max());
    bytes_.PatchU8(1, static_cast<uint8_t>(bytes_.size()));
    // An empty string ends the set; without any there are two terminators.
    if (string_count_ == 0) strings_.U8(0);
    strings_.U8(0);
    table.Bytes(bytes_.bytes()).Bytes(strings_.bytes());
  }

 private:
  TableBytes bytes_;
  TableBytes strings_;
  uint8_t string_count_ = 0;
};

void AppendFirmware(TableBytes& table, const SmbiosConfig::Firmware& firmware) {
  Structure structure(smbios::Type::kFirmware, 0);
  TableBytes& fields = structure.fields();
  structure.Text(firmware.vendor);
  structure.Text(firmware.version);
  fields.U16(0);  // BIOS Starting Address Segment
  structure.Text(firmware.release_date);
  fields.U8(0);  // BIOS ROM Size
  fields.U64(smbios::kCharacteristicsNotSupported);
  fields.U8(0).U8(smbios::kVirtualMachine);  // Characteristics Extension Bytes
  fields.U8(smbios::kNoRelease).U8(smbios::kNoRelease);  // System BIOS
  fields.U8(smbios::kNoRelease).U8(smbios::kNoRelease);  // Embedded Controller
  std::move(structure).AppendTo(table);
}

void AppendSystem(TableBytes& table, const SmbiosConfig::System& system) {
  Structure structure(smbios::Type::kSystem, 0);
  TableBytes& fields = structure.fields();
  structure.Text(system.manufacturer);
  structure.Text(system.product);
  structure.Text(system.version);
  structure.Text(system.serial);
  // The first three fields of a UUID are numbers, and so little-endian here
  // (clause 7.2.1).
  for (const size_t i :
       {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}) {
    fields.U8(system.uuid[i]);
  }
  fields.U8(smbios::kWakeUpPowerSwitch);
  structure.Text(system.sku);
  structure.Text(system.family);
  std::move(structure).AppendTo(table);
}

void AppendChassis(TableBytes& table, const SmbiosConfig::Chassis& chassis) {
  Structure structure(smbios::Type::kChassis, 0);
  TableBytes& fields = structure.fields();
  structure.Text(chassis.manufacturer);
  fields.U8(smbios::kChassisOther);
  structure.Text(chassis.version);
  structure.Text(chassis.serial);
  structure.Text(chassis.asset_tag);
  fields.U8(smbios::kStateSafe);  // Boot-up State
  fields.U8(smbios::kStateSafe);  // Power Supply State
  fields.U8(smbios::kStateSafe);  // Thermal State
  fields.U8(smbios::kSecurityNone);
  fields.U32(0);       // OEM-defined
  fields.U8(0).U8(0);  // Height, Number of Power Cords
  fields.U8(0).U8(0);  // Contained Element Count and Record Length
  structure.Text({});  // SKU Number
  std::move(structure).AppendTo(table);
}

// A count in a byte; the word that follows later has it whole.
uint8_t ByteCount(uint32_t count) {
  return static_cast<uint8_t>(std::min<uint32_t>(count, smbios::kCountInWord));
}

void AppendProcessor(TableBytes& table,
                     const SmbiosConfig::Processors& processors,
                     uint8_t index) {
  Structure structure(smbios::Type::kProcessor, index);
  TableBytes& fields = structure.fields();
  structure.Text(absl::StrCat("CPU ", index));  // Socket Designation
  fields.U8(smbios::kCentralProcessor);
  fields.U8(smbios::kFamilyOther);
  structure.Text(processors.manufacturer);
  fields.U32(processors.signature).U32(processors.features);  // Processor ID
  structure.Text(processors.version);
  fields.U8(0);                      // Voltage
  fields.U16(0);                     // External Clock
  fields.U16(processors.megahertz);  // Max Speed
  fields.U16(processors.megahertz);  // Current Speed
  fields.U8(smbios::kStatusEnabledPopulated);
  fields.U8(smbios::kUpgradeOther);
  for (int level = 1; level <= 3; ++level) fields.U16(smbios::kNoCache);
  structure.Text({});                        // Serial Number
  structure.Text({});                        // Asset Tag
  structure.Text({});                        // Part Number
  fields.U8(ByteCount(processors.cores));    // Core Count
  fields.U8(ByteCount(processors.cores));    // Core Enabled
  fields.U8(ByteCount(processors.threads));  // Thread Count
  uint16_t characteristics = smbios::kCapable64Bit;
  if (processors.cores > 1) characteristics |= smbios::kMultiCore;
  if (processors.threads > processors.cores) {
    characteristics |= smbios::kHardwareThread;
  }
  fields.U16(characteristics);
  fields.U16(smbios::kFamilyOther);                       // Processor Family 2
  fields.U16(static_cast<uint16_t>(processors.cores));    // Core Count 2
  fields.U16(static_cast<uint16_t>(processors.cores));    // Core Enabled 2
  fields.U16(static_cast<uint16_t>(processors.threads));  // Thread Count 2
  std::move(structure).AppendTo(table);
}

void AppendOemStrings(TableBytes& table,
                      const std::vector<std::string>& strings) {
  if (strings.empty()) return;
  Structure structure(smbios::Type::kOemStrings, 0);
  structure.fields().U8(static_cast<uint8_t>(strings.size()));
  for (const std::string& string : strings) structure.AddString(string);
  std::move(structure).AppendTo(table);
}

void AppendMemoryArray(TableBytes& table, uint64_t size, size_t devices) {
  Structure structure(smbios::Type::kMemoryArray, 0);
  TableBytes& fields = structure.fields();
  fields.U8(smbios::kLocationOther).U8(smbios::kUseSystemMemory);
  fields.U8(smbios::kNoErrorCorrection);
  const bool fits = size / kKib < smbios::kExtendedCapacity;
  fields.U32(fits ? static_cast<uint32_t>(size / kKib)
                  : smbios::kExtendedCapacity);  // Maximum Capacity
  fields.U16(smbios::kNoErrorInformation);
  fields.U16(static_cast<uint16_t>(devices));
  fields.U64(fits ? 0 : size);  // Extended Maximum Capacity
  std::move(structure).AppendTo(table);
}

void AppendMemoryDevice(TableBytes& table, uint64_t size, uint8_t index) {
  Structure structure(smbios::Type::kMemoryDevice, index);
  TableBytes& fields = structure.fields();
  fields.U16(Structure::Handle(smbios::Type::kMemoryArray, 0));
  fields.U16(smbios::kNoErrorInformation);
  fields.U16(smbios::kUnknownWidth).U16(smbios::kUnknownWidth);
  const uint64_t kib = size / kKib;
  const uint64_t mib = size / kMib;
  const bool extended = mib >= smbios::kExtendedSize;
  if (size % kMib != 0 && kib < smbios::kSizeInKib) {
    fields.U16(static_cast<uint16_t>(smbios::kSizeInKib | kib));
  } else {
    fields.U16(extended ? smbios::kExtendedSize : static_cast<uint16_t>(mib));
  }
  fields.U8(smbios::kFormFactorDimm);
  fields.U8(0);                                  // Device Set
  structure.Text(absl::StrCat("DIMM ", index));  // Device Locator
  structure.Text({});                            // Bank Locator
  fields.U8(smbios::kMemoryTypeRam);
  fields.U16(smbios::kTypeDetailOther);
  fields.U16(0);                                          // Speed
  structure.Text({});                                     // Manufacturer
  structure.Text({});                                     // Serial Number
  structure.Text({});                                     // Asset Tag
  structure.Text({});                                     // Part Number
  fields.U8(0);                                           // Attributes
  fields.U32(extended ? static_cast<uint32_t>(mib) : 0);  // Extended Size
  fields.U16(0);                // Configured Memory Clock Speed
  fields.U16(0).U16(0).U16(0);  // Voltages
  std::move(structure).AppendTo(table);
}

void AppendMemoryRange(TableBytes& table, GpaRange range, size_t devices,
                       uint8_t index) {
  Structure structure(smbios::Type::kMemoryArrayAddress, index);
  TableBytes& fields = structure.fields();
  const uint64_t first = range.start.value();
  const uint64_t last = first + (range.size - 1);
  const bool fits = last / kKib < smbios::kExtendedAddress;
  const auto kib = [&](uint64_t address) {
    return fits ? static_cast<uint32_t>(address / kKib)
                : smbios::kExtendedAddress;
  };
  fields.U32(kib(first)).U32(kib(last));
  fields.U16(Structure::Handle(smbios::Type::kMemoryArray, 0));
  // Partition Width: devices that form one row of memory.
  fields.U8(static_cast<uint8_t>(
      std::min<size_t>(devices, std::numeric_limits<uint8_t>::max())));
  fields.U64(fits ? 0 : first).U64(fits ? 0 : last);
  std::move(structure).AppendTo(table);
}

void AppendMemory(TableBytes& table, const std::vector<GpaRange>& ranges) {
  if (ranges.empty()) return;
  uint64_t total = 0;
  for (const GpaRange& range : ranges) total += range.size;
  // Devices of more than 16 GiB where 256 would not do.
  const uint64_t least = (total - 1) / kMaxDevices + 1;
  const uint64_t device_size =
      std::max(kDeviceSize, (least + kGib - 1) / kGib * kGib);
  const auto devices = static_cast<size_t>((total - 1) / device_size + 1);
  AppendMemoryArray(table, total, devices);
  for (size_t i = 0; i < devices; ++i) {
    AppendMemoryDevice(table, std::min(device_size, total - i * device_size),
                       static_cast<uint8_t>(i));
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    AppendMemoryRange(table, ranges[i], devices, static_cast<uint8_t>(i));
  }
}

void AppendBoot(TableBytes& table) {
  constexpr size_t kReserved = 6;
  constexpr uint8_t kNoErrors = 0;
  Structure structure(smbios::Type::kBoot, 0);
  structure.fields().Zeros(kReserved).U8(kNoErrors);
  std::move(structure).AppendTo(table);
}

TableBytes MakeStructures(const SmbiosConfig& config) {
  TableBytes table;
  AppendFirmware(table, config.firmware);
  AppendSystem(table, config.system);
  AppendChassis(table, config.chassis);
  for (uint32_t i = 0; i < config.processors.sockets; ++i) {
    AppendProcessor(table, config.processors, static_cast<uint8_t>(i));
  }
  AppendOemStrings(table, config.oem_strings);
  AppendMemory(table, config.memory.ranges);
  AppendBoot(table);
  Structure(smbios::Type::kEnd, 0).AppendTo(table);
  return table;
}

TableBytes MakeEntryPoint(Gpa structures, size_t size) {
  TableBytes entry;
  entry.Text("_SM3_");
  entry.U8(0);  // Checksum
  entry.U8(smbios::kEntryPointSize);
  entry.U8(smbios::kMajorVersion).U8(smbios::kMinorVersion);
  entry.U8(smbios::kDocumentRevision).U8(smbios::kEntryPointRevision);
  entry.U8(0);  // Reserved
  entry.U32(static_cast<uint32_t>(size));
  entry.U64(structures.value());
  LIBVMM_CHECK(entry.size() == smbios::kEntryPointSize);
  entry.PatchU8(smbios::kEntryPointChecksumOffset, ChecksumOf(entry.bytes()));
  return entry;
}

}  // namespace

absl::Status SmbiosConfig::Validate() const {
  struct Text {
    absl::string_view field;
    const std::string& text;
  };
  for (const Text& text : {Text{"firmware.vendor", firmware.vendor},
                           {"firmware.version", firmware.version},
                           {"firmware.release_date", firmware.release_date},
                           {"system.manufacturer", system.manufacturer},
                           {"system.product", system.product},
                           {"system.version", system.version},
                           {"system.serial", system.serial},
                           {"system.sku", system.sku},
                           {"system.family", system.family},
                           {"chassis.manufacturer", chassis.manufacturer},
                           {"chassis.version", chassis.version},
                           {"chassis.serial", chassis.serial},
                           {"chassis.asset_tag", chassis.asset_tag},
                           {"processors.manufacturer", processors.manufacturer},
                           {"processors.version", processors.version}}) {
    LIBVMM_RETURN_IF_ERROR(CheckText(text.field, text.text));
  }
  LIBVMM_RETURN_IF_ERROR(
      CheckNumber("processors.sockets", processors.sockets, 1, kMaxSockets));
  LIBVMM_RETURN_IF_ERROR(
      CheckNumber("processors.cores", processors.cores, 1, smbios::kMaxCount));
  LIBVMM_RETURN_IF_ERROR(CheckNumber("processors.threads", processors.threads,
                                     processors.cores, smbios::kMaxCount));
  LIBVMM_RETURN_IF_ERROR(CheckRanges(memory.ranges));
  if (oem_strings.size() > kMaxOemStrings) {
    return Invalid("oem_strings has ", oem_strings.size(),
                   " entries, expected at most ", kMaxOemStrings);
  }
  for (size_t i = 0; i < oem_strings.size(); ++i) {
    if (oem_strings[i].empty() || oem_strings[i].size() > kMaxOemString ||
        !IsPrintable(oem_strings[i])) {
      return Invalid("oem_strings[", i, "] has ", oem_strings[i].size(),
                     " characters, expected 1 to ", kMaxOemString,
                     " of printable ASCII");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SmbiosTables> BuildSmbiosTables(const SmbiosConfig& config,
                                               GpaRange space) {
  LIBVMM_RETURN_IF_ERROR(config.Validate());
  if (!GpaRange::Create(space.start, space.size).has_value()) {
    return Invalid("table space of 0x", absl::Hex(space.size),
                   " bytes at gpa 0x", absl::Hex(space.start.value()),
                   " passes the end of the address space");
  }
  const TableBytes structures = MakeStructures(config);
  SmbiosTables tables;
  tables.entry_point = space.start.AlignUp(smbios::kAlignment);
  tables.structures_offset = static_cast<size_t>(
      Gpa(smbios::kEntryPointSize).AlignUp(smbios::kAlignment).value());
  tables.structures_size = structures.size();
  const size_t size = tables.structures_offset + structures.size();
  if (tables.entry_point < space.start ||
      !space.Contains(tables.entry_point, size)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("SMBIOS tables need ", size, " bytes from a multiple of ",
                     smbios::kAlignment, " on; the space has ", space.size,
                     " at gpa 0x", absl::Hex(space.start.value())));
  }
  TableBytes bytes = MakeEntryPoint(
      tables.entry_point + tables.structures_offset, structures.size());
  bytes.AlignTo(smbios::kAlignment).Bytes(structures.bytes());
  tables.memory = {.gpa = tables.entry_point, .bytes = std::move(bytes).Take()};
  return tables;
}

}  // namespace libvmm
