// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"

namespace libvmm {

using namespace fw_cfg;  // NOLINT: the specification's names.

namespace {

constexpr uint64_t kMaxItemSize = std::numeric_limits<uint32_t>::max();
constexpr size_t kMaxFiles = kKeyEnd - static_cast<size_t>(Key::kFileFirst);

// Keys that FwCfg makes itself, or gives to files.
bool IsOurs(uint16_t key) {
  switch (static_cast<Key>(key)) {
    case Key::kSignature:
    case Key::kId:
    case Key::kFileDirectory:
      return true;
    default:
      return SelectorArchLocal::Get(key) == 0 &&
             key >= static_cast<uint16_t>(Key::kFileFirst);
  }
}

}  // namespace

absl::Status FwCfgItems::Add(Key key, std::vector<std::byte> bytes) {
  const auto number = static_cast<uint16_t>(key);
  const auto text = [&] {
    return absl::StrCat("FwCfgItems::Add: key 0x", absl::Hex(number));
  };
  if (IsOurs(number)) {
    return absl::InvalidArgumentError(
        absl::StrCat(text(), " is the device's own, or a file's"));
  }
  if (SelectorWrite::Get(number) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(text(), " has the bit that means writing"));
  }
  if (bytes.size() > kMaxItemSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        text(), " has ", bytes.size(), " bytes: ", kMaxItemSize, " can be"));
  }
  const auto size = static_cast<uint32_t>(bytes.size());
  if (!items_
           .emplace(number, FwCfgItem{.size = size, .bytes = std::move(bytes)})
           .second) {
    return absl::AlreadyExistsError(absl::StrCat(text(), " is there already"));
  }
  return absl::OkStatus();
}

absl::Status FwCfgItems::AddFile(absl::string_view name,
                                 std::vector<std::byte> bytes) {
  const uint64_t size = bytes.size();
  return AddFileItem(name, size, {.bytes = std::move(bytes)});
}

absl::Status FwCfgItems::AddTextFile(absl::string_view name,
                                     absl::string_view text) {
  const auto bytes =
      std::as_bytes(std::span<const char>(text.data(), text.size()));
  return AddFile(name, {bytes.begin(), bytes.end()});
}

absl::Status FwCfgItems::AddLazyFile(absl::string_view name, uint64_t size,
                                     FwCfgItem::Reader reader) {
  if (reader == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("FwCfgItems: reader of file \"", name, "\" is null"));
  }
  return AddFileItem(name, size, {.reader = std::move(reader)});
}

bool FwCfgItems::HasFile(absl::string_view name) const {
  return files_.contains(std::string(name));
}

absl::Status FwCfgItems::AddFileItem(absl::string_view name, uint64_t size,
                                     FwCfgItem item) {
  const auto text = [&] {
    return absl::StrCat("FwCfgItems: file \"", name, "\"");
  };
  if (name.empty() || name.size() > kMaxNameSize ||
      name.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(text(), ": a name has 1 to ", kMaxNameSize,
                     " characters without a NUL"));
  }
  if (size > kMaxItemSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        text(), " has ", size, " bytes: ", kMaxItemSize, " can be"));
  }
  if (files_.size() == kMaxFiles) {
    return absl::ResourceExhaustedError(
        absl::StrCat(text(), ": there are ", kMaxFiles, " already"));
  }
  item.size = static_cast<uint32_t>(size);
  if (!files_.emplace(std::string(name), std::move(item)).second) {
    return absl::AlreadyExistsError(absl::StrCat(text(), " is there already"));
  }
  return absl::OkStatus();
}

std::vector<std::byte> FwCfgItems::LittleEndian(uint64_t value, size_t size) {
  std::vector<std::byte> bytes(size);
  StoreLittleEndian(bytes, value);
  return bytes;
}

}  // namespace libvmm
