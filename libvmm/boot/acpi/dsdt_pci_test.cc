// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/dsdt_pci.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/acpi/aml_writer.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

// The bytes are what ACPICA's compiler makes of the source above them.

using ::libvmm::testing::StatusIs;

// Scope (\_SB) {
//   Device (PCI1) {
//     Name (_HID, EisaId ("PNP0A08"))
//     Name (_CID, EisaId ("PNP0A03"))
//     Name (_UID, 1)
//     Name (_SEG, 2)
//     Name (_BBN, 8)
//     Name (_CRS, ResourceTemplate () {
//       WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
//                      0, 8, 15, 0, 8)
//       IO (Decode16, 0xCF8, 0xCF8, 1, 8)
//       WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
//               0, 0xD00, 0xFFFF, 0, 0xF300)
//       DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
//                    NonCacheable, ReadWrite,
//                    0, 0xC0000000, 0xCFFFFFFF, 0, 0x10000000)
//     })
//     Name (_PRT, Package () {
//       Package () {0x0001FFFF, 0, 0, 16},
//       Package () {0x001FFFFF, 3, 0, 17}
//     })
//     Method (_OSC, 4, Serialized) {
//       CreateDWordField (Arg3, 0, CDW1)
//       If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766")) {
//         CreateDWordField (Arg3, 8, CDW3)
//         Local0 = CDW3 & 0x1D
//         If (Arg1 != 1) { CDW1 |= 8 }
//         If (CDW3 != Local0) { CDW1 |= 16 }
//         CDW3 = Local0
//       } Else {
//         CDW1 |= 4
//       }
//       Return (Arg3)
//     }
//   }
// }
constexpr char kBridge[] =
    "1048115c5f53425f5b824f1050434931085f4849440c41d00a08085f4349440c"
    "41d00a03085f55494401085f5345470a02085f42424e0a08085f435253114804"
    "0a44880d00020c00000008000f00000008004701f80cf80c0108880d00010c03"
    "0000000dffff000000f3871700000c0100000000000000c0ffffffcf00000000"
    "000000107900085f505254121b02120b040cffff010000000a10120c040cffff"
    "1f000a03000a111441075f4f53430c8a6b0043445731a04305936811130a105b"
    "4ddb33f71f1c4096577441c03dd7668a6b0a08434457337b434457330a1d60a0"
    "10929369017d434457310a0843445731a013929343445733607d434457310a10"
    "43445731706043445733a10c7d434457310a0443445731a46b";

std::string Hex(const aml::Writer& aml) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(aml.bytes().data()), aml.bytes().size()));
}

AcpiPciHostBridge Bridge() {
  return {.segment = 2,
          .buses = {.first = 8, .last = 15},
          .io = {{.first = 0xd00, .last = 0xffff}},
          .memory = {{.range = {Gpa(0xc0000000), 0x10000000}}},
          .routes = {{.device = 1, .pin = 0, .gsi = 16},
                     {.device = 31, .pin = 3, .gsi = 17}}};
}

TEST(DsdtPciTest, HostBridge) {
  aml::Writer aml;
  AppendPciHostBridge(aml, Bridge(), 1);
  EXPECT_EQ(Hex(aml), kBridge);
}

TEST(DsdtPciTest, WithoutRoutesThereIsNoTable) {
  AcpiPciHostBridge bridge = Bridge();
  bridge.routes.clear();
  bridge.config_ports = false;
  aml::Writer aml;
  AppendPciHostBridge(aml, bridge);
  EXPECT_EQ(Hex(aml).find(absl::BytesToHexString("_PRT")), std::string::npos);
  EXPECT_EQ(Hex(aml).find("4701f80c"), std::string::npos) << "ports";
  EXPECT_NE(Hex(aml).find(absl::BytesToHexString("PCI0")), std::string::npos);
}

TEST(DsdtPciTest, NeighboursGetDifferentGsis) {
  const uint32_t gsis[] = {16, 17, 18, 19};
  const std::vector<AcpiPciRoute> routes = SwizzledPciRoutes(gsis);
  ASSERT_EQ(routes.size(), 128u);
  EXPECT_EQ(routes[0], (AcpiPciRoute{.device = 0, .pin = 0, .gsi = 16}));
  EXPECT_EQ(routes[3], (AcpiPciRoute{.device = 0, .pin = 3, .gsi = 19}));
  EXPECT_EQ(routes[4], (AcpiPciRoute{.device = 1, .pin = 0, .gsi = 17}));
  EXPECT_EQ(routes[7], (AcpiPciRoute{.device = 1, .pin = 3, .gsi = 16}));
  EXPECT_EQ(routes[127], (AcpiPciRoute{.device = 31, .pin = 3, .gsi = 18}));
  EXPECT_TRUE(SwizzledPciRoutes({}).empty());
}

TEST(DsdtPciTest, ImpossibleBridgesAreRefused) {
  const auto with = [](auto change) {
    AcpiPciHostBridge bridge = Bridge();
    change(bridge);
    return bridge;
  };
  struct Row {
    AcpiPciHostBridge bridge;
    const char* message;
  };
  for (const Row& row : {
           Row{with([](auto& b) { b.buses = {.first = 2, .last = 1}; }),
               "PCI host bridge buses 2 to 1 are none"},
           {with([](auto& b) { b.io = {{.first = 2, .last = 1}}; }),
            "PCI host bridge io window 0x2 to 0x1 is empty"},
           {with([](auto& b) { b.io = {{.first = 0xcff, .last = 0xd00}}; }),
            "PCI host bridge io window 0xcff to 0xd00 overlaps the "
            "configuration ports"},
           {with([](auto& b) {
              b.io = {{.first = 0x1000, .last = 0x1fff},
                      {.first = 0x1fff, .last = 0x2000}};
            }),
            "PCI host bridge io window 0x1fff to 0x2000 overlaps io window "
            "0x1000 to 0x1fff"},
           {with([](auto& b) {
              b.memory = {{.range = {Gpa(0x1000), 0}}};
            }),
            "PCI host bridge memory window of 0x0 bytes at gpa 0x1000 is "
            "empty"},
           {with([](auto& b) {
              b.memory = {{.range = {Gpa(~uint64_t{0}), 2}}};
            }),
            "PCI host bridge memory window of 0x2 bytes at gpa "
            "0xffffffffffffffff passes the end of the address space"},
           {with([](auto& b) {
              b.memory = {{.range = {Gpa(0x1000), 0x1000}},
                          {.range = {Gpa(0x1800), 0x1000}}};
            }),
            "PCI host bridge memory window of 0x1000 bytes at gpa 0x1800 "
            "overlaps memory window of 0x1000 bytes at gpa 0x1000"},
           {with([](auto& b) { b.routes = {{.device = 32}}; }),
            "PCI host bridge route of device 32 pin 0, expected a device below "
            "32 and a pin below 4"},
           {with([](auto& b) { b.routes = {{.pin = 4}}; }),
            "PCI host bridge route of device 0 pin 4, expected a device below "
            "32 and a pin below 4"},
           {with([](auto& b) {
              b.routes = {{.gsi = 1}, {.gsi = 2}};
            }),
            "PCI host bridge route of device 0 pin 0 is there twice"},
           {with([](auto& b) { b.routes.resize(256); }),
            "PCI host bridge routes has 256 entries, expected at most 255"},
       }) {
    EXPECT_THAT(row.bridge.Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument, row.message));
  }
  EXPECT_OK(Bridge().Validate());
  EXPECT_OK(AcpiPciHostBridge{}.Validate());
  EXPECT_OK((AcpiPciHostBridge{.config_ports = false,
                               .io = {{.first = 0, .last = 0xffff}}}
                 .Validate()));
}

}  // namespace
}  // namespace libvmm
