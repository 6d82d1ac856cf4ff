// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_SMBIOS_SMBIOS_H_
#define LIBVMM_BOOT_SMBIOS_SMBIOS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/tables/placed_bytes.h"

namespace libvmm {

// What a guest's `dmidecode` tells of the machine (DMTF DSP0134, System
// Management BIOS Reference Specification 3.0). Texts are printable ASCII of at
// most 64 characters; an empty text is "not specified". There are always the
// structures 0, 1, 3, 4, 32 and 127; the others when there is something to say.
struct SmbiosConfig {
  // Type 0.
  struct Firmware {
    std::string vendor = "libvmm";
    std::string version = "1";
    std::string release_date = "01/01/2024";  // mm/dd/yyyy
  } firmware;

  // Type 1.
  struct System {
    std::string manufacturer = "libvmm";
    std::string product = "libvmm PC";
    std::string version = {};
    std::string serial = {};
    // In the order in which it is written, most significant byte first. All
    // zeros: none. A VM's identity for cloud-init and the like.
    std::array<uint8_t, 16> uuid = {};
    std::string sku = {};
    std::string family = {};
  } system;

  // Type 3.
  struct Chassis {
    std::string manufacturer = "libvmm";
    std::string version = {};
    std::string serial = {};
    std::string asset_tag = {};
  } chassis;

  // Type 4, one for each socket.
  struct Processors {
    std::string manufacturer = {};
    std::string version = {};  // such as CPUID's brand string
    uint32_t sockets = 1;      // 1 to 256
    uint32_t cores = 1;        // per socket, 1 to 65534
    uint32_t threads = 1;      // per socket, from cores on to 65534
    uint32_t signature = 0;    // CPUID leaf 1, EAX
    uint32_t features = 0;     // CPUID leaf 1, EDX
    uint16_t megahertz = 0;    // 0: unknown
  } processors;

  // Types 16, 17 and 19.
  struct Memory {
    // The guest's RAM: at most 256 ranges of whole KiB, ascending and apart.
    // Together they are shown as memory devices of 16 GiB each, or of more
    // where there would be over 256; of one that is not a whole number of MiB
    // and has 32 MiB or more, only whole MiB are told.
    std::vector<GpaRange> ranges = {};
  } memory;

  // Type 11: free text for the guest; systemd reads credentials here. Each has
  // 1 to 65535 characters, at most 255 in number.
  std::vector<std::string> oem_strings = {};

  // kInvalidArgument, naming the field and its value.
  [[nodiscard]] absl::Status Validate() const;
};

// The structures and the entry points that lead to them, for one place in guest
// memory.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
struct SmbiosTables {
  PlacedBytes memory;
  // The 64-bit entry point of version 3.0, "_SM3_". It stands first.
  Gpa entry_point;
  // Where the structures begin, in memory.bytes, and what they take up.
  size_t structures_offset = 0;
  size_t structures_size = 0;
};

// Lays entry point and structures out from the first multiple of 16 bytes in
// `space` on. A guest that searches for them needs a space in 0xf0000 to
// 0xfffff.
//   kInvalidArgument    as SmbiosConfig::Validate; space passes the end of the
//                       64-bit space
//   kResourceExhausted  space is too small; says how much they need
[[nodiscard]] absl::StatusOr<SmbiosTables> BuildSmbiosTables(
    const SmbiosConfig& config, GpaRange space);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_SMBIOS_SMBIOS_H_
