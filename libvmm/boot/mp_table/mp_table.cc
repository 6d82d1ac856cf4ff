// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/mp_table/mp_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/mp_table/mp_table_entries.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {
namespace {

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("MP table ", parts...));
}

absl::Status CheckText(absl::string_view field, absl::string_view text,
                       size_t max_size) {
  if (text.size() <= max_size &&
      std::all_of(text.begin(), text.end(), absl::ascii_isprint)) {
    return absl::OkStatus();
  }
  return Invalid(field, " is \"", absl::CHexEscape(text),
                 "\", expected at most ", max_size,
                 " printable ASCII characters");
}

// The configuration table, which counts its entries.
class ConfigurationTable {
 public:
  explicit ConfigurationTable(const MpConfig& config) {
    bytes_.Text("PCMP");
    bytes_.U16(0);  // Base Table Length
    bytes_.U8(mp_table::kSpecificationRevision);
    bytes_.U8(0);  // Checksum
    bytes_.Text(config.oem_id, mp_table::kOemIdSize);
    bytes_.Text(config.product_id, mp_table::kProductIdSize);
    bytes_.U32(0).U16(0);  // OEM Table Pointer and Size
    bytes_.U16(0);         // Entry Count
    bytes_.U32(config.local_apic);
    bytes_.U16(0).U8(0);  // Extended Table Length and Checksum
    bytes_.U8(0);         // Reserved
    LIBVMM_CHECK(bytes_.size() == mp_table::kHeaderSize);
  }

  // Begins an entry; its fields follow.
  TableBytes& Entry(mp_table::EntryType type) {
    ++count_;
    return bytes_.U8(static_cast<uint8_t>(type));
  }

  [[nodiscard]] TableBytes Finish() && {
    bytes_.PatchU16(mp_table::kLengthOffset,
                    static_cast<uint16_t>(bytes_.size()));
    bytes_.PatchU16(mp_table::kCountOffset, count_);
    bytes_.PatchU8(mp_table::kChecksumOffset, ChecksumOf(bytes_.bytes()));
    return std::move(bytes_);
  }

 private:
  TableBytes bytes_;
  uint16_t count_ = 0;
};

void AppendProcessors(ConfigurationTable& table, const MpConfig& config) {
  constexpr size_t kReserved = 8;
  for (size_t i = 0; i < config.apic_ids.size(); ++i) {
    TableBytes& entry = table.Entry(mp_table::EntryType::kProcessor);
    entry.U8(config.apic_ids[i]).U8(config.local_apic_version);
    entry.U8(mp_table::CpuEnabled::kMask | mp_table::CpuBootstrap::Of(i == 0));
    entry.U32(mp_table::CpuSignature::Get(config.cpu_signature));
    entry.U32(config.cpu_features).Zeros(kReserved);
  }
}

void AppendInterrupts(ConfigurationTable& table, const MpConfig& config) {
  using mp_table::InterruptType;
  for (const MpConfig::IsaInterrupt& interrupt : config.isa_interrupts) {
    const uint16_t flags =
        interrupt.level
            ? mp_table::Polarity::Of(mp_table::kActiveHigh) |
                  mp_table::TriggerMode::Of(mp_table::kLevelTriggered)
            : 0;
    TableBytes& entry = table.Entry(mp_table::EntryType::kIoInterrupt);
    entry.U8(static_cast<uint8_t>(InterruptType::kInt)).U16(flags);
    entry.U8(mp_table::kIsaBusId).U8(interrupt.irq);
    entry.U8(config.io_apic.id).U8(interrupt.pin);
  }
  // The 8259s at LINT0 and NMIs at LINT1, at every CPU.
  constexpr std::pair<InterruptType, uint8_t> kLocal[] = {
      {InterruptType::kExtInt, 0}, {InterruptType::kNmi, 1}};
  for (const auto& [type, lint] : kLocal) {
    TableBytes& entry = table.Entry(mp_table::EntryType::kLocalInterrupt);
    entry.U8(static_cast<uint8_t>(type)).U16(0);
    entry.U8(mp_table::kIsaBusId).U8(0);
    entry.U8(mp_table::kAllLocalApics).U8(lint);
  }
}

TableBytes MakeConfigurationTable(const MpConfig& config) {
  ConfigurationTable table(config);
  AppendProcessors(table, config);
  table.Entry(mp_table::EntryType::kBus)
      .U8(mp_table::kIsaBusId)
      .Text("ISA", mp_table::kBusNameSize);
  table.Entry(mp_table::EntryType::kIoApic)
      .U8(config.io_apic.id)
      .U8(config.io_apic.version)
      .U8(mp_table::IoApicEnabled::kMask)
      .U32(config.io_apic.gpa);
  AppendInterrupts(table, config);
  return std::move(table).Finish();
}

TableBytes MakePointer(Gpa table) {
  constexpr size_t kFeatures = 5;  // none: the table says it all, no IMCR
  TableBytes pointer;
  pointer.Text("_MP_");
  pointer.U32(static_cast<uint32_t>(table.value()));
  pointer.U8(mp_table::kPointerSize / mp_table::kPointerUnit);
  pointer.U8(mp_table::kSpecificationRevision);
  pointer.U8(0);  // Checksum
  pointer.Zeros(kFeatures);
  LIBVMM_CHECK(pointer.size() == mp_table::kPointerSize);
  pointer.PatchU8(mp_table::kPointerChecksumOffset,
                  ChecksumOf(pointer.bytes()));
  return pointer;
}

}  // namespace

std::vector<MpConfig::IsaInterrupt> MpConfig::DefaultIsaInterrupts() {
  constexpr uint8_t kTimer = 0;
  constexpr uint8_t kCascade = 2;
  std::vector<IsaInterrupt> interrupts;
  for (uint8_t irq = 0; irq < mp_table::kIsaInterrupts; ++irq) {
    if (irq == kCascade) continue;
    interrupts.push_back({.irq = irq, .pin = irq == kTimer ? kCascade : irq});
  }
  return interrupts;
}

absl::Status MpConfig::Validate() const {
  LIBVMM_RETURN_IF_ERROR(CheckText("oem_id", oem_id, mp_table::kOemIdSize));
  LIBVMM_RETURN_IF_ERROR(
      CheckText("product_id", product_id, mp_table::kProductIdSize));
  if (apic_ids.empty()) return Invalid("apic_ids is empty");
  std::set<uint8_t> ids;
  for (const uint8_t id : apic_ids) {
    if (id == mp_table::kAllLocalApics) {
      return Invalid("apic_ids has 255, which addresses all");
    }
    if (!ids.insert(id).second) return Invalid("apic_ids has ", id, " twice");
  }
  if (io_apic.id == mp_table::kAllLocalApics) {
    return Invalid("io_apic.id is 255, which addresses all");
  }
  if (ids.count(io_apic.id) != 0) {
    return Invalid("io_apic.id is ", io_apic.id, ", which is a CPU's");
  }
  std::set<uint8_t> irqs;
  for (const IsaInterrupt& interrupt : isa_interrupts) {
    if (interrupt.irq >= mp_table::kIsaInterrupts) {
      return Invalid("irq is ", interrupt.irq, ", expected at most 15");
    }
    if (!irqs.insert(interrupt.irq).second) {
      return Invalid("irq ", interrupt.irq, " is there twice");
    }
    if (interrupt.pin >= io_apic.pins) {
      return Invalid("pin of irq ", interrupt.irq, " is ", interrupt.pin,
                     ", expected below ", io_apic.pins);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PlacedBytes> BuildMpTable(const MpConfig& config,
                                         GpaRange space) {
  LIBVMM_RETURN_IF_ERROR(config.Validate());
  constexpr uint64_t kEnd = uint64_t{1} << 32;
  if (!RangeFits(kEnd, space.start.value(), space.size)) {
    return Invalid("space of 0x", absl::Hex(space.size), " bytes at gpa 0x",
                   absl::Hex(space.start.value()), " passes 4 GiB");
  }
  const TableBytes table = MakeConfigurationTable(config);
  const Gpa base = space.start.AlignUp(mp_table::kAlignment);
  const size_t size = mp_table::kPointerSize + table.size();
  if (!space.Contains(base, size)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("MP table needs ", size, " bytes from a multiple of ",
                     mp_table::kAlignment, " on; the space has ", space.size,
                     " at gpa 0x", absl::Hex(space.start.value())));
  }
  TableBytes bytes = MakePointer(base + mp_table::kPointerSize);
  bytes.Bytes(table.bytes());
  return PlacedBytes{.gpa = base, .bytes = std::move(bytes).Take()};
}

}  // namespace libvmm
