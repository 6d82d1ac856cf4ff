// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/mcfg.h"

#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {
namespace {

constexpr uint8_t kRevision = 1;
constexpr size_t kReservedSize = 8;  // behind the header
constexpr uint64_t kBytesPerBus = uint64_t{1} << 20;

}  // namespace

GpaRange AcpiEcam::range() const {
  return {bus_0 + buses.first * kBytesPerBus,
          (uint64_t{buses.last} - buses.first + 1) * kBytesPerBus};
}

std::vector<std::byte> MakeMcfg(const AcpiIdentity& identity,
                                std::span<const AcpiEcam> windows) {
  TableBytes body;
  body.Zeros(kReservedSize);
  for (const AcpiEcam& window : windows) {
    body.U64(window.bus_0.value()).U16(window.segment);
    body.U8(window.buses.first).U8(window.buses.last).U32(0);
  }
  return MakeAcpiTable(identity, {.signature = "MCFG", .revision = kRevision},
                       body.bytes());
}

}  // namespace libvmm
