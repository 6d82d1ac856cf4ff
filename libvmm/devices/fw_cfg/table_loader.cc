// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/table_loader.h"

#include "libvmm/base/little_endian.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"

namespace libvmm {

void TableLoader::Allocate(absl::string_view file, const Place& place) {
  Begin(Command::kAllocate);
  Name(file);
  Number(place.alignment, sizeof(place.alignment));
  Number(static_cast<uint8_t>(place.zone), sizeof(place.zone));
  End();
}

void TableLoader::AddPointer(absl::string_view file, const Pointer& pointer,
                             absl::string_view target) {
  Begin(Command::kAddPointer);
  Name(file);
  Name(target);
  Number(pointer.offset, sizeof(pointer.offset));
  Number(pointer.size, sizeof(pointer.size));
  End();
}

void TableLoader::AddChecksum(absl::string_view file,
                              const Checksum& checksum) {
  Begin(Command::kAddChecksum);
  Name(file);
  Number(checksum.offset, sizeof(checksum.offset));
  Number(checksum.start, sizeof(checksum.start));
  Number(checksum.length, sizeof(checksum.length));
  End();
}

void TableLoader::Begin(Command command) {
  Number(static_cast<uint32_t>(command), sizeof(command));
}

void TableLoader::Name(absl::string_view name) {
  const absl::string_view text = name.substr(0, fw_cfg::kMaxNameSize);
  for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
  // With the NUL behind the longest name.
  bytes_.resize(bytes_.size() + fw_cfg::kMaxNameSize + 1 - text.size());
}

void TableLoader::Number(uint64_t value, size_t size) {
  bytes_.resize(bytes_.size() + size);
  StoreLittleEndian(std::span(bytes_).last(size), value);
}

void TableLoader::End() {
  bytes_.resize((bytes_.size() + kCommandSize - 1) / kCommandSize *
                kCommandSize);
}

}  // namespace libvmm
