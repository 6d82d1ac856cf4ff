// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_system.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/check.h"

namespace libvmm {
namespace {

constexpr char kSystemBus[] = "\\_SB_";
constexpr char kPowerButton[] = "\\_SB_.PWRB";
// Notification of a button that was pressed (ACPI 6.4, table 5.165).
constexpr uint8_t kButtonPressed = 0x80;

}  // namespace

void AppendSoftOffState(aml::Writer& aml, uint8_t slp_typ) {
  // PM1a, PM1b, two reserved.
  aml.Name("\\_S5_", aml::Package({aml::Integer(slp_typ), aml::Integer(slp_typ),
                                   aml::Integer(0), aml::Integer(0)}));
}

void AppendProcessors(aml::Writer& aml, size_t count) {
  constexpr size_t kMaxCount = 65536;
  LIBVMM_CHECK(count <= kMaxCount);
  // A name has four characters, the first of them no digit: a letter from C on
  // for the highest digit of the UID, then the others.
  const auto name = [](size_t uid) {
    constexpr size_t kPerLetter = 0x1000;
    const char letter = static_cast<char>('C' + uid / kPerLetter);
    return absl::AsciiStrToUpper(
        absl::StrCat(absl::string_view(&letter, 1),
                     absl::Hex(uid % kPerLetter, absl::kZeroPad3)));
  };
  aml.Scope(kSystemBus, [&] {
    for (size_t uid = 0; uid < count; ++uid) {
      aml.Device(name(uid), [&] {
        aml.Name("_HID", aml::String("ACPI0007"));
        aml.Name("_UID", aml::Integer(uid));
      });
    }
  });
}

void AppendReservedResources(aml::Writer& aml,
                             const AcpiReservedResources& resources) {
  if (resources.ports.empty() && resources.memory.empty()) return;
  aml::ResourceTemplate current;
  for (const aml::IoPorts& ports : resources.ports) current.Ports(ports);
  for (const GpaRange& range : resources.memory) current.Memory(range);
  aml.Scope(kSystemBus, [&] {
    aml.Device("MBRD", [&] {
      aml.Name("_HID", aml::EisaId("PNP0C02"));
      aml.Name("_UID", aml::Integer(0));
      aml.Name("_CRS", current.ToTerm());
    });
  });
}

void AppendEventPowerButton(aml::Writer& aml, uint32_t gsi) {
  aml.Scope(kSystemBus, [&] {
    aml.Device("PWRB", [&] {
      aml.Name("_HID", aml::EisaId("PNP0C0C"));
      aml.Name("_UID", aml::Integer(0));
    });
    aml.Device("GED_", [&] {
      aml.Name("_HID", aml::String("ACPI0013"));
      aml.Name("_UID", aml::Integer(0));
      aml.Name("_CRS", aml::ResourceTemplate()
                           .Interrupt(gsi, aml::Trigger::kEdge,
                                      aml::Polarity::kActiveHigh)
                           .ToTerm());
      aml.Method("_EVT", {.argument_count = 1, .serialized = true}, [&] {
        aml.If(aml::Equal(aml::Arg(0), aml::Integer(gsi)),
               [&] { aml.Notify(kPowerButton, kButtonPressed); });
      });
    });
  });
}

}  // namespace libvmm
