// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_machine.h"

#include <cstddef>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"

namespace libvmm {

using fw_cfg::Key;

namespace {

// How INT 15h, E820h lays an entry out.
constexpr size_t kE820EntrySize = 20;

void AppendLittleEndian(std::vector<std::byte>& bytes, uint64_t value,
                        size_t size) {
  bytes.resize(bytes.size() + size);
  StoreLittleEndian(std::span(bytes).last(size), value);
}

std::vector<std::byte> E820Bytes(
    std::span<const FwCfgMachine::E820Entry> entries) {
  std::vector<std::byte> bytes;
  bytes.reserve(entries.size() * kE820EntrySize);
  for (const FwCfgMachine::E820Entry& entry : entries) {
    AppendLittleEndian(bytes, entry.start, sizeof(entry.start));
    AppendLittleEndian(bytes, entry.size, sizeof(entry.size));
    AppendLittleEndian(bytes, entry.type, sizeof(entry.type));
  }
  return bytes;
}

absl::Status AddBootOrder(const std::vector<std::string>& order,
                          FwCfgItems& items) {
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i].find('\n') != std::string::npos ||
        order[i].find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          "FwCfgMachine.boot_order[", i, "] has a newline or a NUL in it"));
    }
  }
  if (order.empty()) return absl::OkStatus();
  // Lines, with a NUL behind the last.
  std::string text = absl::StrJoin(order, "\n");
  text.push_back('\0');
  return items.AddTextFile(fw_cfg_file::kBootOrder, text);
}

}  // namespace

absl::Status FwCfgMachine::AddTo(FwCfgItems& items) const {
  if (cpu_count == 0) {
    return absl::InvalidArgumentError("FwCfgMachine.cpu_count is 0");
  }
  if (max_cpu_count < cpu_count) {
    return absl::InvalidArgumentError(
        absl::StrCat("FwCfgMachine.max_cpu_count is ", max_cpu_count,
                     ": less than the ", cpu_count, " of cpu_count"));
  }
  const auto uuid_bytes = std::as_bytes(std::span(uuid));
  LIBVMM_RETURN_IF_ERROR(
      items.Add(Key::kUuid, {uuid_bytes.begin(), uuid_bytes.end()}));
  LIBVMM_RETURN_IF_ERROR(items.AddNumber(Key::kRamSize, ram_size));
  LIBVMM_RETURN_IF_ERROR(
      items.AddNumber<uint16_t>(Key::kNoGraphic, has_display ? 0 : 1));
  LIBVMM_RETURN_IF_ERROR(items.AddNumber(Key::kCpuCount, cpu_count));
  LIBVMM_RETURN_IF_ERROR(items.AddNumber(Key::kMaxCpuCount, max_cpu_count));
  LIBVMM_RETURN_IF_ERROR(
      items.AddNumber<uint16_t>(Key::kBootMenu, boot_menu ? 1 : 0));
  // No nodes.
  LIBVMM_RETURN_IF_ERROR(items.AddNumber<uint64_t>(Key::kNuma, 0));
  LIBVMM_RETURN_IF_ERROR(
      items.AddNumber<uint8_t>(Key::kIrq0Override, irq0_override ? 1 : 0));
  if (!e820.empty()) {
    LIBVMM_RETURN_IF_ERROR(items.AddFile(fw_cfg_file::kE820, E820Bytes(e820)));
  }
  LIBVMM_RETURN_IF_ERROR(AddBootOrder(boot_order, items));
  if (boot_menu_wait_ms.has_value()) {
    LIBVMM_RETURN_IF_ERROR(
        items.AddNumberFile(fw_cfg_file::kBootMenuWait, *boot_menu_wait_ms));
  }
  if (boot_fail_wait_ms.has_value()) {
    LIBVMM_RETURN_IF_ERROR(
        items.AddNumberFile(fw_cfg_file::kBootFailWait, *boot_fail_wait_ms));
  }
  if (serial_console_port.has_value()) {
    LIBVMM_RETURN_IF_ERROR(
        items.AddNumberFile(fw_cfg_file::kSerialConsole, *serial_console_port));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
