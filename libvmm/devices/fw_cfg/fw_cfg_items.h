// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_ITEMS_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_ITEMS_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"

namespace libvmm {

// One thing that a guest can read from a FwCfg.
struct FwCfgItem {
  // Fills `to` with the item's bytes from `offset` on; both lie inside `size`.
  // Runs on the vCPU thread that reads, on several at once.
  using Reader =
      absl::AnyInvocable<void(uint64_t offset, std::span<std::byte> to)>;

  uint32_t size = 0;
  // All `size` bytes; empty when `reader` makes them.
  std::vector<std::byte> bytes = {};
  Reader reader = nullptr;
};

// What a FwCfg shows, collected before it is made. An item has a number; a file
// has a name, and gets its number from FwCfg.
//
// Thread-safety: thread-compatible.
// Ownership: owns the bytes and readers.
// Errors: kAlreadyExists: the key or name is taken, which the message names.
//     kInvalidArgument: a key that FwCfg makes itself or that is a file's; a
//     name that is empty, longer than fw_cfg::kMaxNameSize or has a NUL; more
//     than 2^32 - 1 bytes. kResourceExhausted: no key is left for a file.
// Cost: copies nothing; an allocation for each item.
class FwCfgItems {
 public:
  // The item `key`: not fw_cfg::Key::kSignature, kId or kFileDirectory, and not
  // in the range of files.
  absl::Status Add(fw_cfg::Key key, std::vector<std::byte> bytes);

  // A little-endian number, as long as T.
  template <std::unsigned_integral T>
  absl::Status AddNumber(fw_cfg::Key key, T value) {
    return Add(key, LittleEndian(value, sizeof(T)));
  }

  absl::Status AddFile(absl::string_view name, std::vector<std::byte> bytes);

  // A file with a text as its content, without a NUL behind it.
  absl::Status AddTextFile(absl::string_view name, absl::string_view text);

  template <std::unsigned_integral T>
  absl::Status AddNumberFile(absl::string_view name, T value) {
    return AddFile(name, LittleEndian(value, sizeof(T)));
  }

  // A file whose bytes are made, or fetched, when the guest wants them.
  absl::Status AddLazyFile(absl::string_view name, uint64_t size,
                           FwCfgItem::Reader reader);

  [[nodiscard]] bool HasFile(absl::string_view name) const;

 private:
  friend class FwCfg;

  static std::vector<std::byte> LittleEndian(uint64_t value, size_t size);
  absl::Status AddFileItem(absl::string_view name, uint64_t size,
                           FwCfgItem item);

  std::map<uint16_t, FwCfgItem> items_;
  // By name, which is also the order in which the guest sees them.
  std::map<std::string, FwCfgItem> files_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_ITEMS_H_
