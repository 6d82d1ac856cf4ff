// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/option_values.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "examples/vmm/option_words.h"

namespace vmm {

using namespace libvmm;

absl::StatusOr<CpuTopology> ParseSmp(absl::string_view text) {
  const absl::Status wrong =
      Takes("--smp", "a number, or sockets=N,cores=N,threads=N", text);
  CpuTopology topology;
  if (ParseNumber(text, topology.cores_per_socket)) return topology;
  std::optional<uint32_t> sockets;
  std::optional<uint32_t> cores;
  std::optional<uint32_t> threads;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> words = absl::StrSplit(part, '=');
    std::optional<uint32_t>* const place = words[0] == "sockets"   ? &sockets
                                           : words[0] == "cores"   ? &cores
                                           : words[0] == "threads" ? &threads
                                                                   : nullptr;
    uint32_t count = 0;
    if (words.size() != 2 || place == nullptr || place->has_value() ||
        !ParseNumber(words[1], count)) {
      return wrong;
    }
    *place = count;
  }
  topology.sockets = sockets.value_or(1);
  topology.cores_per_socket = cores.value_or(1);
  topology.threads_per_core = threads.value_or(1);
  return topology;
}

absl::StatusOr<uint64_t> ParseMemory(absl::string_view text) {
  const absl::Status wrong =
      Takes("--memory", "MiB, or a number with M, G or T", text);
  absl::string_view digits = text;
  uint64_t unit = 1;
  for (const auto& [letter, mib] :
       {std::pair('M', uint64_t{1}), std::pair('G', uint64_t{1} << 10),
        std::pair('T', uint64_t{1} << 20)}) {
    if (absl::EndsWith(text, absl::string_view(&letter, 1))) {
      digits.remove_suffix(1);
      unit = mib;
    }
  }
  uint64_t count = 0;
  if (!ParseNumber(digits, count) ||
      count > std::numeric_limits<uint64_t>::max() / unit) {
    return wrong;
  }
  return count * unit;
}

absl::StatusOr<decltype(CpuPolicy::model)> ParseCpu(absl::string_view text) {
  if (text == "host") return HostCpu();
  const std::optional<CpuLevel> level = CpuLevelFromName(text);
  if (!level.has_value()) {
    return Takes("--cpu", "host, or x86-64-v1 to x86-64-v4", text);
  }
  return LevelCpu{.level = *level};
}

absl::StatusOr<PcIrqChip> ParseIrqChip(absl::string_view text) {
  if (text == "kernel") return PcIrqChip::kInKernel;
  if (text == "split") return PcIrqChip::kSplit;
  if (text == "none") return PcIrqChip::kNone;
  return Takes("--irqchip", "kernel, split or none", text);
}

absl::StatusOr<PcDebugConsole> ParseDebugConsole(absl::string_view text) {
  uint32_t port = 0;
  const bool is_number = absl::StartsWith(text, "0x")
                             ? absl::SimpleHexAtoi(text, &port)
                             : ParseNumber(text, port);
  if (!is_number || port > std::numeric_limits<uint16_t>::max()) {
    return Takes("--debug-console", "a port from 0 to 0xffff", text);
  }
  return PcDebugConsole{.port = static_cast<uint16_t>(port)};
}

absl::StatusOr<PcMultibootBoot::Module> ParseModule(absl::string_view text) {
  const absl::string_view file = text.substr(0, text.find(' '));
  if (file.empty()) return Takes("--module", "a file", text);
  return PcMultibootBoot::Module{.file = std::string(file),
                                 .command_line = std::string(text)};
}

}  // namespace vmm
