// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_virtio_mmio.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/boot/acpi/aml_resources.h"
#include "libvmm/boot/acpi/aml_term.h"

namespace libvmm {

void AppendVirtioMmio(aml::Writer& aml,
                      std::span<const AcpiVirtioMmio> devices) {
  constexpr size_t kMaxCount = 4096;
  LIBVMM_CHECK(devices.size() <= kMaxCount);
  if (devices.empty()) return;
  aml.Scope("\\_SB_", [&] {
    size_t uid = 0;
    for (const AcpiVirtioMmio& device : devices) {
      const std::string name = absl::AsciiStrToUpper(
          absl::StrCat("V", absl::Hex(uid, absl::kZeroPad3)));
      aml.Device(name, [&] {
        aml.Name("_HID", aml::String("LNRO0005"));
        aml.Name("_UID", aml::Integer(uid));
        aml.Name("_CCA", aml::Integer(1));
        aml.Name("_CRS", aml::ResourceTemplate()
                             .Memory(device.registers)
                             .Interrupt(device.gsi, aml::Trigger::kEdge,
                                        aml::Polarity::kActiveHigh)
                             .ToTerm());
      });
      ++uid;
    }
  });
}

}  // namespace libvmm
