// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_OPTION_VALUES_H_
#define LIBVMM_EXAMPLES_VMM_OPTION_VALUES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/platform/pc_config.h"

namespace vmm {

// What the words behind options mean. Each gives kInvalidArgument with a
// message that names the option, what it takes, and what it was given.

// A number of cores, or sockets=N,cores=N,threads=N in any order, each at most
// once.
absl::StatusOr<libvmm::CpuTopology> ParseSmp(absl::string_view text);

// MiB; with M, G or T behind the number, that unit.
absl::StatusOr<uint64_t> ParseMemory(absl::string_view text);

// "host", or the name of a CpuLevel.
absl::StatusOr<decltype(libvmm::CpuPolicy::model)> ParseCpu(
    absl::string_view text);

// "kernel", "split", "none".
absl::StatusOr<libvmm::PcIrqChip> ParseIrqChip(absl::string_view text);

// Decimal, or hexadecimal behind 0x.
absl::StatusOr<libvmm::PcDebugConsole> ParseDebugConsole(
    absl::string_view text);

// A file name, and behind a space more words; the module's string is all of it.
absl::StatusOr<libvmm::PcMultibootBoot::Module> ParseModule(
    absl::string_view text);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_OPTION_VALUES_H_
