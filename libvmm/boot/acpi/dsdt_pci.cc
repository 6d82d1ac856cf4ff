// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_pci.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/field.h"
#include "libvmm/boot/acpi/aml_opcodes.h"
#include "libvmm/boot/acpi/aml_term.h"

namespace libvmm {
namespace {

constexpr uint8_t kDevices = 32;
constexpr uint8_t kPins = 4;
constexpr uint16_t kConfigPorts = 0xcf8;
constexpr uint8_t kConfigPortCount = 8;

// _PRT's address of a device with any function (ACPI 6.4, chapter 6.2.13).
using RouteDevice = Field<uint32_t, 31, 16>;
constexpr uint32_t kAnyFunction = 0xffff;

// _OSC of a PCI host bridge (PCI Firmware Specification 3.0, section 4.5.1).
constexpr char kOscUuid[] = "33db4d5b-1ff7-401c-9657-7441c03dd766";
constexpr uint64_t kOscRevision = 1;
constexpr uint64_t kOscUnrecognizedUuid = 1u << 2;
constexpr uint64_t kOscUnrecognizedRevision = 1u << 3;
constexpr uint64_t kOscCapabilitiesMasked = 1u << 4;

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("PCI host bridge ", parts...));
}

std::string Describe(const aml::IoWindow& window) {
  return absl::StrCat("io window 0x", absl::Hex(window.first), " to 0x",
                      absl::Hex(window.last));
}

std::string Describe(const aml::MemoryWindow& window) {
  return absl::StrCat("memory window of 0x", absl::Hex(window.range.size),
                      " bytes at gpa 0x",
                      absl::Hex(window.range.start.value()));
}

bool Overlap(const aml::IoWindow& a, const aml::IoWindow& b) {
  return a.first <= b.last && b.first <= a.last;
}

bool Overlap(const aml::MemoryWindow& a, const aml::MemoryWindow& b) {
  return a.range.Overlaps(b.range);
}

template <typename Window>
absl::Status CheckDisjoint(const std::vector<Window>& windows) {
  for (size_t i = 0; i < windows.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (Overlap(windows[i], windows[j])) {
        return Invalid(Describe(windows[i]), " overlaps ",
                       Describe(windows[j]));
      }
    }
  }
  return absl::OkStatus();
}

aml::ResourceTemplate Resources(const AcpiPciHostBridge& bridge) {
  aml::ResourceTemplate resources;
  resources.BusRange(bridge.buses);
  if (bridge.config_ports) {
    resources.Ports({.first = kConfigPorts, .count = kConfigPortCount});
  }
  for (const aml::IoWindow& window : bridge.io) resources.IoRange(window);
  for (const aml::MemoryWindow& window : bridge.memory) {
    resources.MemoryRange(window);
  }
  return resources;
}

aml::Term RoutingTable(std::span<const AcpiPciRoute> routes) {
  std::vector<aml::Term> entries;
  for (const AcpiPciRoute& route : routes) {
    // The GSI itself, without a link device: source 0, and the GSI as index.
    entries.push_back(aml::Package(
        {aml::Integer(RouteDevice::Of(route.device) | kAnyFunction),
         aml::Integer(route.pin), aml::Integer(0), aml::Integer(route.gsi)}));
  }
  return aml::Package(entries);
}

// _OSC(uuid, revision, count, capabilities): gives up the features of `control`
// as far as they are asked for.
void AppendOsc(aml::Writer& aml, uint32_t control) {
  const aml::Term status = aml::Name("CDW1");
  const aml::Term wanted = aml::Name("CDW3");
  const aml::Term granted = aml::Local(0);
  const auto report = [&](uint64_t bits) {
    aml.Evaluate(aml::Or(status, aml::Integer(bits), status));
  };
  aml.Method("_OSC", {.argument_count = 4, .serialized = true}, [&] {
    aml.CreateDWordField(aml::Arg(3), aml::Integer(0), "CDW1");
    aml.If(aml::Equal(aml::Arg(0), aml::Uuid(kOscUuid)), [&] {
      aml.CreateDWordField(aml::Arg(3), aml::Integer(8), "CDW3");
      aml.Evaluate(aml::And(wanted, aml::Integer(control), granted));
      aml.If(aml::NotEqual(aml::Arg(1), aml::Integer(kOscRevision)),
             [&] { report(kOscUnrecognizedRevision); });
      aml.If(aml::NotEqual(wanted, granted),
             [&] { report(kOscCapabilitiesMasked); });
      aml.Store(granted, wanted);
    });
    aml.Else([&] { report(kOscUnrecognizedUuid); });
    aml.Return(aml::Arg(3));
  });
}

}  // namespace

std::vector<AcpiPciRoute> SwizzledPciRoutes(std::span<const uint32_t> gsis) {
  std::vector<AcpiPciRoute> routes;
  if (gsis.empty()) return routes;
  for (uint8_t device = 0; device < kDevices; ++device) {
    for (uint8_t pin = 0; pin < kPins; ++pin) {
      routes.push_back({.device = device,
                        .pin = pin,
                        .gsi = gsis[(device + pin) % gsis.size()]});
    }
  }
  return routes;
}

absl::Status AcpiPciHostBridge::Validate() const {
  if (buses.first > buses.last) {
    return Invalid("buses ", buses.first, " to ", buses.last, " are none");
  }
  for (const aml::IoWindow& window : io) {
    if (window.first > window.last) {
      return Invalid(Describe(window), " is empty");
    }
    constexpr aml::IoWindow kConfig = {
        .first = kConfigPorts, .last = kConfigPorts + kConfigPortCount - 1};
    if (config_ports && Overlap(window, kConfig)) {
      return Invalid(Describe(window), " overlaps the configuration ports");
    }
  }
  for (const aml::MemoryWindow& window : memory) {
    if (window.range.size == 0) return Invalid(Describe(window), " is empty");
    if (!GpaRange::Create(window.range.start, window.range.size)) {
      return Invalid(Describe(window), " passes the end of the address space");
    }
  }
  if (absl::Status status = CheckDisjoint(io); !status.ok()) return status;
  if (absl::Status status = CheckDisjoint(memory); !status.ok()) return status;
  if (routes.size() > aml::kMaxPackageElements) {
    return Invalid("routes has ", routes.size(), " entries, expected at most ",
                   aml::kMaxPackageElements);
  }
  std::set<std::pair<uint8_t, uint8_t>> pins;
  for (const AcpiPciRoute& route : routes) {
    if (route.device >= kDevices || route.pin >= kPins) {
      return Invalid("route of device ", route.device, " pin ", route.pin,
                     ", expected a device below 32 and a pin below 4");
    }
    if (!pins.emplace(route.device, route.pin).second) {
      return Invalid("route of device ", route.device, " pin ", route.pin,
                     " is there twice");
    }
  }
  return absl::OkStatus();
}

void AppendPciHostBridge(aml::Writer& aml, const AcpiPciHostBridge& bridge,
                         uint8_t index) {
  constexpr uint8_t kMaxBridges = 16;
  LIBVMM_CHECK(index < kMaxBridges);
  const std::string name =
      absl::AsciiStrToUpper(absl::StrCat("PCI", absl::Hex(index)));
  aml.Scope("\\_SB_", [&] {
    aml.Device(name, [&] {
      aml.Name("_HID", aml::EisaId("PNP0A08"));
      aml.Name("_CID", aml::EisaId("PNP0A03"));
      aml.Name("_UID", aml::Integer(index));
      aml.Name("_SEG", aml::Integer(bridge.segment));
      aml.Name("_BBN", aml::Integer(bridge.buses.first));
      aml.Name("_CRS", Resources(bridge).ToTerm());
      if (!bridge.routes.empty()) {
        aml.Name("_PRT", RoutingTable(bridge.routes));
      }
      AppendOsc(aml, bridge.osc_control);
    });
  });
}

}  // namespace libvmm
