// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VIRTIO_PLACES_H_
#define LIBVMM_PLATFORM_PC_VIRTIO_PLACES_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/platform/pc_virtio_config.h"

namespace libvmm {

// Where a PC's virtio devices are: what its board follows and its tables tell.

// What of a machine there is for them.
struct PcVirtioRoom {
  bool pci = true;
  // Without one there are the lines of the PICs alone.
  bool io_apic = true;
  // Serial ports, whose lines are taken.
  uint32_t serial_ports = 1;
};

enum class PcVirtioKind : uint8_t {
  kDisk,
  kNet,
  kVsock,
  kShare,
  kRng,
  kBalloon,
  kConsole,
  kKeyboard,
  kTablet,
};

// A function 0 of PCI bus 0.
struct PcVirtioPciPlace {
  uint8_t device = 0;
};

// A register window and an edge-triggered line that is its own.
struct PcVirtioMmioPlace {
  GpaRange registers;
  uint32_t gsi = 0;
};

struct PcVirtioPlace {
  PcVirtioKind kind = PcVirtioKind::kDisk;
  // In the list of its kind.
  uint32_t index = 0;
  // Not kDefault.
  PcVirtioDoorbell doorbell = PcVirtioDoorbell::kInline;
  std::variant<PcVirtioPciPlace, PcVirtioMmioPlace> where = {};
};

// The device's place in a PcConfig, as "virtio.disks[1]" or "virtio.rng".
std::string PcVirtioPath(const PcVirtioPlace& place);

// A place for each device of `config`, in the order of PcVirtioKind: on PCI the
// devices 1, 2 and so on; the windows and lines of MMIO from the first on.
// kInvalidArgument names the device that there is no place for.
absl::StatusOr<std::vector<PcVirtioPlace>> PlacePcVirtio(
    const PcVirtioConfig& config, const PcVirtioRoom& room);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VIRTIO_PLACES_H_
