// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_virtio_mmio.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {
namespace {

// The bytes are what ACPICA's compiler makes of the source above them.

// Scope (\_SB) {
//   Device (V000) {
//     Name (_HID, "LNRO0005")
//     Name (_UID, 0)
//     Name (_CCA, 1)
//     Name (_CRS, ResourceTemplate () {
//       Memory32Fixed (ReadWrite, 0xD0000000, 0x1000)
//       Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {5}
//     })
//   }
//   Device (V001) {
//     Name (_HID, "LNRO0005")
//     Name (_UID, 1)
//     Name (_CCA, 1)
//     Name (_CRS, ResourceTemplate () {
//       Memory32Fixed (ReadWrite, 0xD0001000, 0x200)
//       Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {300}
//     })
//   }
// }
constexpr char kTwoDevices[] =
    "104d085c5f53425f5b82410456303030085f4849440d4c4e524f303030350008"
    "5f55494400085f43434101085f435253111a0a1786090001000000d000100000"
    "89060003010500000079005b82410456303031085f4849440d4c4e524f303030"
    "3500085f55494401085f43434101085f435253111a0a1786090001001000d000"
    "02000089060003012c0100007900";

std::string Hex(const aml::Writer& aml) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(aml.bytes().data()), aml.bytes().size()));
}

TEST(DsdtVirtioMmioTest, Devices) {
  const AcpiVirtioMmio devices[] = {
      {.registers = {Gpa(0xd0000000), 0x1000}, .gsi = 5},
      {.registers = {Gpa(0xd0001000), 0x200}, .gsi = 300}};
  aml::Writer aml;
  AppendVirtioMmio(aml, devices);
  EXPECT_EQ(Hex(aml), kTwoDevices);
  aml::Writer none;
  AppendVirtioMmio(none, {});
  EXPECT_TRUE(none.bytes().empty());
}

}  // namespace
}  // namespace libvmm
