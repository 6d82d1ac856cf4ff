// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_isa.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/check.h"
#include "libvmm/boot/acpi/aml_resources.h"
#include "libvmm/boot/acpi/aml_term.h"

namespace libvmm {
namespace {

constexpr char kSystemBus[] = "\\_SB_";
constexpr uint32_t kIsaInterrupts = 16;
// Present, enabled, shown, working (ACPI 6.4, chapter 6.3.7).
constexpr uint8_t kWorking = 0x0f;

void AppendDevice(aml::Writer& aml, absl::string_view name,
                  absl::string_view eisa_id,
                  const aml::ResourceTemplate& resources) {
  aml.Scope(kSystemBus, [&] {
    aml.Device(name, [&] {
      aml.Name("_HID", aml::EisaId(eisa_id));
      aml.Name("_STA", aml::Integer(kWorking));
      aml.Name("_CRS", resources.ToTerm());
    });
  });
}

}  // namespace

void AppendSerialPorts(aml::Writer& aml,
                       std::span<const AcpiSerialPort> ports) {
  constexpr size_t kMaxCount = 15;
  constexpr uint8_t kRegisters = 8;
  LIBVMM_CHECK(ports.size() <= kMaxCount);
  if (ports.empty()) return;
  aml.Scope(kSystemBus, [&] {
    size_t uid = 0;
    for (const AcpiSerialPort& port : ports) {
      ++uid;
      aml::ResourceTemplate resources;
      resources.Ports({.first = port.port, .count = kRegisters});
      if (port.irq < kIsaInterrupts) {
        resources.IsaInterrupt(static_cast<uint8_t>(port.irq));
      } else {
        resources.Interrupt(port.irq, aml::Trigger::kEdge,
                            aml::Polarity::kActiveHigh);
      }
      const std::string name =
          absl::AsciiStrToUpper(absl::StrCat("COM", absl::Hex(uid)));
      aml.Device(name, [&] {
        aml.Name("_HID", aml::EisaId("PNP0501"));
        aml.Name("_UID", aml::Integer(uid));
        aml.Name("_DDN", aml::String(absl::StrCat("COM", uid)));
        aml.Name("_STA", aml::Integer(kWorking));
        aml.Name("_CRS", resources.ToTerm());
      });
    }
  });
}

void AppendRtc(aml::Writer& aml) {
  aml::ResourceTemplate resources;
  resources.Ports({.first = 0x70, .count = 2}).IsaInterrupt(8);
  AppendDevice(aml, "RTC_", "PNP0B00", resources);
}

void AppendI8042(aml::Writer& aml, const AcpiI8042& i8042) {
  aml::ResourceTemplate keyboard;
  keyboard.Ports({.first = 0x60, .count = 1})
      .Ports({.first = 0x64, .count = 1});
  keyboard.IsaInterrupt(1);
  AppendDevice(aml, "KBD_", "PNP0303", keyboard);
  if (!i8042.mouse) return;
  aml::ResourceTemplate mouse;
  mouse.IsaInterrupt(12);
  AppendDevice(aml, "MOU_", "PNP0F13", mouse);
}

void AppendPvpanic(aml::Writer& aml, uint16_t port) {
  aml.Scope(kSystemBus, [&] {
    aml.Device("PEVT", [&] {
      aml.Name("_HID", aml::String("QEMU0001"));
      aml.Name("_STA", aml::Integer(kWorking));
      aml.Name(
          "_CRS",
          aml::ResourceTemplate().Ports({.first = port, .count = 1}).ToTerm());
    });
  });
}

}  // namespace libvmm
