// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_isa.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {
namespace {

// The bytes are what ACPICA's compiler makes of the source above them.

// Scope (\_SB) {
//   Device (COM1) {
//     Name (_HID, EisaId ("PNP0501"))
//     Name (_UID, 1)
//     Name (_DDN, "COM1")
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () {
//       IO (Decode16, 0x3F8, 0x3F8, 1, 8)
//       IRQNoFlags () {4}
//     })
//   }
//   Device (COM2) {
//     Name (_HID, EisaId ("PNP0501"))
//     Name (_UID, 2)
//     Name (_DDN, "COM2")
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () {
//       IO (Decode16, 0x2F8, 0x2F8, 1, 8)
//       Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {20}
//     })
//   }
// }
constexpr char kTwoPorts[] =
    "104d085c5f53425f5b823d434f4d31085f4849440c41d00501085f5549440108"
    "5f44444e0d434f4d3100085f5354410a0f085f43525311100a0d4701f803f803"
    "010822100079005b824504434f4d32085f4849440c41d00501085f5549440a02"
    "085f44444e0d434f4d3200085f5354410a0f085f43525311160a134701f802f8"
    "0201088906000301140000007900";

// Scope (\_SB) {
//   Device (RTC) {
//     Name (_HID, EisaId ("PNP0B00"))
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () {
//       IO (Decode16, 0x70, 0x70, 1, 2)
//       IRQNoFlags () {8}
//     })
//   }
// }
constexpr char kRtc[] =
    "10345c5f53425f5b822c5254435f085f4849440c41d00b00085f5354410a0f08"
    "5f43525311100a0d47017000700001022200017900";

// Scope (\_SB) {
//   Device (KBD) {
//     Name (_HID, EisaId ("PNP0303"))
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () {
//       IO (Decode16, 0x60, 0x60, 1, 1)
//       IO (Decode16, 0x64, 0x64, 1, 1)
//       IRQNoFlags () {1}
//     })
//   }
// }
constexpr char kKeyboard[] =
    "103c5c5f53425f5b82344b42445f085f4849440c41d00303085f5354410a0f08"
    "5f43525311180a15470160006000010147016400640001012202007900";

// Scope (\_SB) {
//   Device (MOU) {
//     Name (_HID, EisaId ("PNP0F13"))
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () { IRQNoFlags () {12} })
//   }
// }
constexpr char kMouse[] =
    "102c5c5f53425f5b82244d4f555f085f4849440c41d00f13085f5354410a0f08"
    "5f43525311080a052200107900";

// Scope (\_SB) {
//   Device (PEVT) {
//     Name (_HID, "QEMU0001")
//     Name (_STA, 15)
//     Name (_CRS, ResourceTemplate () { IO (Decode16, 0x505, 0x505, 1, 1) })
//   }
// }
constexpr char kPvpanic[] =
    "10365c5f53425f5b822e50455654085f4849440d51454d553030303100085f53"
    "54410a0f085f435253110d0a0a47010505050501017900";

std::string Hex(const aml::Writer& aml) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(aml.bytes().data()), aml.bytes().size()));
}

TEST(DsdtIsaTest, SerialPorts) {
  const AcpiSerialPort ports[] = {{.port = 0x3f8, .irq = 4},
                                  {.port = 0x2f8, .irq = 20}};
  aml::Writer aml;
  AppendSerialPorts(aml, ports);
  EXPECT_EQ(Hex(aml), kTwoPorts);
  aml::Writer none;
  AppendSerialPorts(none, {});
  EXPECT_TRUE(none.bytes().empty());
}

TEST(DsdtIsaTest, Rtc) {
  aml::Writer aml;
  AppendRtc(aml);
  EXPECT_EQ(Hex(aml), kRtc);
}

TEST(DsdtIsaTest, KeyboardWithAndWithoutMouse) {
  aml::Writer both;
  AppendI8042(both, {.mouse = true});
  EXPECT_EQ(Hex(both), std::string(kKeyboard) + kMouse);
  aml::Writer keyboard;
  AppendI8042(keyboard, {.mouse = false});
  EXPECT_EQ(Hex(keyboard), kKeyboard);
}

TEST(DsdtIsaTest, Pvpanic) {
  aml::Writer aml;
  AppendPvpanic(aml, 0x505);
  EXPECT_EQ(Hex(aml), kPvpanic);
}

}  // namespace
}  // namespace libvmm
