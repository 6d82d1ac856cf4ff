// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_system.h"

#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {
namespace {

// The bytes are what ACPICA's compiler makes of the source above them.

// Name (\_S5, Package () {7, 7, 0, 0})
constexpr char kSoftOff[] = "085c5f53355f1208040a070a070000";

// Scope (\_SB) {
//   Device (C000) { Name (_HID, "ACPI0007") Name (_UID, 0) }
//   Device (C001) { Name (_HID, "ACPI0007") Name (_UID, 1) }
// }
constexpr char kTwoProcessors[] =
    "103e5c5f53425f5b821a43303030085f4849440d414350493030303700085f55"
    "4944005b821a43303031085f4849440d414350493030303700085f55494401";

// Scope (\_SB) {
//   Device (MBRD) {
//     Name (_HID, EisaId ("PNP0C02"))
//     Name (_UID, 0)
//     Name (_CRS, ResourceTemplate () {
//       IO (Decode16, 0x600, 0x600, 1, 4)
//       Memory32Fixed (ReadWrite, 0xE0000000, 0x10000000)
//     })
//   }
// }
constexpr char kReserved[] =
    "103c5c5f53425f5b82344d425244085f4849440c41d00c02085f55494400085f"
    "43525311190a16470100060006010486090001000000e0000000107900";

// Scope (\_SB) {
//   Device (PWRB) { Name (_HID, EisaId ("PNP0C0C")) Name (_UID, 0) }
//   Device (GED) {
//     Name (_HID, "ACPI0013")
//     Name (_UID, 0)
//     Name (_CRS, ResourceTemplate () {
//       Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {21}
//     })
//     Method (_EVT, 1, Serialized) {
//       If (Arg0 == 21) { Notify (\_SB.PWRB, 0x80) }
//     }
//   }
// }
constexpr char kButton[] =
    "1049065c5f53425f5b821550575242085f4849440c41d00c0c085f554944005b"
    "8249044745445f085f4849440d414350493030313300085f55494400085f4352"
    "53110e0a0b890600030115000000790014195f45565409a01293680a15865c2e"
    "5f53425f505752420a80";

std::string Hex(const aml::Writer& aml) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(aml.bytes().data()), aml.bytes().size()));
}

TEST(DsdtSystemTest, SoftOff) {
  aml::Writer aml;
  AppendSoftOffState(aml, 7);
  EXPECT_EQ(Hex(aml), kSoftOff);
}

TEST(DsdtSystemTest, Processors) {
  aml::Writer aml;
  AppendProcessors(aml, 2);
  EXPECT_EQ(Hex(aml), kTwoProcessors);
}

TEST(DsdtSystemTest, ManyProcessorsHaveDifferentNames) {
  constexpr size_t kCount = 65536;
  constexpr size_t kDeviceHead = 3;  // ExtOp, DeviceOp, a length of one byte
  aml::Writer aml;
  AppendProcessors(aml, kCount);
  const absl::string_view text(
      reinterpret_cast<const char*>(aml.bytes().data()), aml.bytes().size());
  std::set<absl::string_view> names;
  for (size_t at = 0; (at = text.find("\x5b\x82", at)) != text.npos;
       at += kDeviceHead) {
    names.insert(text.substr(at + kDeviceHead, 4));
  }
  EXPECT_EQ(names.size(), kCount);
  EXPECT_EQ(names.count("C000"), 1u);
  EXPECT_EQ(names.count("CFFF"), 1u);
  EXPECT_EQ(names.count("D000"), 1u);
  EXPECT_EQ(names.count("RFFF"), 1u);
}

TEST(DsdtSystemTest, ReservedResources) {
  aml::Writer aml;
  AppendReservedResources(aml, {.ports = {{.first = 0x600, .count = 4}},
                                .memory = {{Gpa(0xe0000000), 0x10000000}}});
  EXPECT_EQ(Hex(aml), kReserved);
  aml::Writer none;
  AppendReservedResources(none, {});
  EXPECT_TRUE(none.bytes().empty());
}

TEST(DsdtSystemTest, EventPowerButton) {
  aml::Writer aml;
  AppendEventPowerButton(aml, 21);
  EXPECT_EQ(Hex(aml), kButton);
}

}  // namespace
}  // namespace libvmm
