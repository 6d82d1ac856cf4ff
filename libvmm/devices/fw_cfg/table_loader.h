// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_TABLE_LOADER_H_
#define LIBVMM_DEVICES_FW_CFG_TABLE_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace libvmm {

// Writes the script that firmware runs over files of a FwCfg, to load tables
// with addresses and checksums in them: commands of 128 bytes, run in order
// (src/fw/romfile_loader.h of SeaBIOS). Names of files have at most
// fw_cfg::kMaxNameSize bytes; whatever else is wrong, firmware passes over.
//
// Thread-safety: thread-compatible.
// Errors: none.
class TableLoader {
 public:
  static constexpr size_t kCommandSize = 128;

  enum class Zone : uint8_t {
    kHigh = 1,      // Anywhere below 4 GiB.
    kFSegment = 2,  // 0xf0000 to 0xfffff, where RSDPs are searched for.
  };
  struct Place {
    uint32_t alignment = 1;  // A power of two.
    Zone zone = Zone::kHigh;
  };
  // Loads `file`: once for each, before any other command names it.
  void Allocate(absl::string_view file, const Place& place);

  struct Pointer {
    uint32_t offset = 0;
    uint8_t size = 0;  // 1, 2, 4 or 8.
  };
  // Adds the address of `target` to the number at `pointer` in `file`.
  void AddPointer(absl::string_view file, const Pointer& pointer,
                  absl::string_view target);

  struct Checksum {
    uint32_t offset = 0;
    uint32_t start = 0;
    uint32_t length = 0;
  };
  // Subtracts from the byte at `offset` in `file` the sum of the bytes in
  // [start, start + length), which then is zero if the byte is among them.
  void AddChecksum(absl::string_view file, const Checksum& checksum);

  // The file for fw_cfg_file::kTableLoader.
  [[nodiscard]] std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  enum class Command : uint32_t {
    kAllocate = 1,
    kAddPointer = 2,
    kAddChecksum = 3,
  };

  void Begin(Command command);
  void Name(absl::string_view name);
  void Number(uint64_t value, size_t size);
  void End();

  std::vector<std::byte> bytes_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_TABLE_LOADER_H_
