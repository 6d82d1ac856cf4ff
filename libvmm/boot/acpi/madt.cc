// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/madt.h"

#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/field.h"

namespace libvmm {
namespace {

constexpr uint8_t kRevision = 5;  // ACPI 6.4

// Interrupt Controller Structures, table 5.21.
enum class EntryType : uint8_t {
  kLocalApic = 0,
  kIoApic = 1,
  kInterruptSourceOverride = 2,
  kLocalApicNmi = 4,
  kLocalX2Apic = 9,
  kLocalX2ApicNmi = 10,
};

// Multiple APIC Flags, table 5.20.
using PcatCompat = Field<uint32_t, 0, 0>;
// Local APIC Flags, table 5.23.
using ProcessorEnabled = Field<uint32_t, 0, 0>;
using ProcessorOnlineCapable = Field<uint32_t, 1, 1>;
// MPS INTI Flags, table 5.26. Zero conforms to the bus: edge-triggered and
// active high on ISA.
using IntiPolarity = Field<uint16_t, 1, 0>;
using IntiTrigger = Field<uint16_t, 3, 2>;
constexpr uint16_t kActiveHigh = 1;
constexpr uint16_t kActiveLow = 3;
constexpr uint16_t kEdge = 1;
constexpr uint16_t kLevel = 3;

constexpr uint8_t kIsaBus = 0;
constexpr unsigned kIsaInterrupts = 16;
// Ids from here on do not fit a Processor Local APIC Structure; as a UID this
// is all processors.
constexpr uint8_t kFirstX2ApicId = 0xff;
constexpr uint8_t kAllProcessors = 0xff;
constexpr uint32_t kAllX2Processors = 0xffff'ffff;
constexpr uint32_t kNoApicId = 0xffff'ffff;
constexpr uint8_t kLintCount = 2;

// Appends type and length, then what `body` appends.
template <typename Body>
void AppendEntry(TableBytes& bytes, EntryType type, Body body) {
  TableBytes content;
  body(content);
  constexpr size_t kHeadSize = 2;
  bytes.U8(static_cast<uint8_t>(type));
  bytes.U8(static_cast<uint8_t>(kHeadSize + content.size()));
  bytes.Bytes(content.bytes());
}

bool NeedsX2Apic(const AcpiProcessor& processor) {
  return processor.apic_id >= kFirstX2ApicId;
}

void AppendProcessor(TableBytes& bytes, const AcpiProcessor& processor,
                     uint32_t uid) {
  const uint32_t flags = ProcessorEnabled::Of(processor.enabled) |
                         ProcessorOnlineCapable::Of(!processor.enabled);
  if (NeedsX2Apic(processor)) {
    AppendEntry(bytes, EntryType::kLocalX2Apic, [&](TableBytes& entry) {
      entry.U16(0).U32(processor.apic_id).U32(flags).U32(uid);
    });
    return;
  }
  AppendEntry(bytes, EntryType::kLocalApic, [&](TableBytes& entry) {
    entry.U8(static_cast<uint8_t>(uid));
    entry.U8(static_cast<uint8_t>(processor.apic_id)).U32(flags);
  });
}

uint16_t IntiFlags(const AcpiInterruptOverride& override) {
  const bool edge = override.trigger == aml::Trigger::kEdge;
  const bool high = override.polarity == aml::Polarity::kActiveHigh;
  if (edge && high) return 0;
  return IntiTrigger::Of(edge ? kEdge : kLevel) |
         IntiPolarity::Of(high ? kActiveHigh : kActiveLow);
}

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("MADT ", parts...));
}

}  // namespace

absl::Status MadtConfig::Validate() const {
  if (processors.empty()) return Invalid("processors is empty");
  std::set<uint32_t> apic_ids;
  for (size_t uid = 0; uid < processors.size(); ++uid) {
    const uint32_t id = processors[uid].apic_id;
    if (id == kNoApicId) {
      return Invalid("apic_id of processor ", uid, " is 0xffffffff, which ",
                     "addresses all");
    }
    if (!apic_ids.insert(id).second) {
      return Invalid("apic_id ", id, " is there twice");
    }
    if (!NeedsX2Apic(processors[uid]) && uid >= kAllProcessors) {
      return Invalid("apic_id of processor ", uid, " is ", id,
                     ", expected 255 or more from processor 255 on");
    }
  }
  std::set<uint8_t> io_apic_ids;
  for (const AcpiIoApic& io_apic : io_apics) {
    if (!io_apic_ids.insert(io_apic.id).second) {
      return Invalid("IOAPIC id ", io_apic.id, " is there twice");
    }
  }
  std::set<uint8_t> irqs;
  for (const AcpiInterruptOverride& override : overrides) {
    if (override.irq >= kIsaInterrupts) {
      return Invalid("override irq is ", override.irq, ", expected at most 15");
    }
    if (!irqs.insert(override.irq).second) {
      return Invalid("override of irq ", override.irq, " is there twice");
    }
  }
  if (nmi_lint.has_value() && *nmi_lint >= kLintCount) {
    return Invalid("nmi_lint is ", *nmi_lint, ", expected 0 or 1");
  }
  return absl::OkStatus();
}

std::vector<std::byte> MakeMadt(const AcpiIdentity& identity,
                                const MadtConfig& config) {
  TableBytes body;
  body.U32(config.local_apic);
  body.U32(PcatCompat::Of(config.dual_8259));
  bool any_xapic = false;
  bool any_x2apic = false;
  for (size_t uid = 0; uid < config.processors.size(); ++uid) {
    const AcpiProcessor& processor = config.processors[uid];
    (NeedsX2Apic(processor) ? any_x2apic : any_xapic) = true;
    AppendProcessor(body, processor, static_cast<uint32_t>(uid));
  }
  for (const AcpiIoApic& io_apic : config.io_apics) {
    AppendEntry(body, EntryType::kIoApic, [&](TableBytes& entry) {
      entry.U8(io_apic.id).U8(0).U32(io_apic.gpa).U32(io_apic.gsi_base);
    });
  }
  for (const AcpiInterruptOverride& override : config.overrides) {
    AppendEntry(body, EntryType::kInterruptSourceOverride,
                [&](TableBytes& entry) {
                  entry.U8(kIsaBus).U8(override.irq);
                  entry.U32(override.gsi).U16(IntiFlags(override));
                });
  }
  if (config.nmi_lint.has_value() && any_xapic) {
    AppendEntry(body, EntryType::kLocalApicNmi, [&](TableBytes& entry) {
      entry.U8(kAllProcessors).U16(0).U8(*config.nmi_lint);
    });
  }
  if (config.nmi_lint.has_value() && any_x2apic) {
    AppendEntry(body, EntryType::kLocalX2ApicNmi, [&](TableBytes& entry) {
      entry.U16(0).U32(kAllX2Processors).U8(*config.nmi_lint).Zeros(3);
    });
  }
  return MakeAcpiTable(identity, {.signature = "APIC", .revision = kRevision},
                       body.bytes());
}

}  // namespace libvmm
