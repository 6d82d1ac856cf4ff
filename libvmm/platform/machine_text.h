// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_MACHINE_TEXT_H_
#define LIBVMM_PLATFORM_MACHINE_TEXT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/platform/pc_config.h"

namespace libvmm {

// A PcConfig as text that people write and keep: protobuf's text form of
// libvmm/platform/machine.proto, which lists the fields.
//
//   LIBVMM_ASSIGN_OR_RETURN(PcConfig config, ParseMachineText(R"(
//       memory { size_mib: 2048 }
//       boot { linux { kernel: "bzImage" } })"));
//
// Fields that the text leaves out have PcConfig's defaults. These are the only
// functions of the platform that link protobuf.
//
// Thread-safety: thread-safe.
// Errors: kInvalidArgument, as "line 1, column 10: memory.size_mib is 0,
//     expected 1 to 16777216", lines and columns counted from 1, a tab to the
//     next multiple of 8:
//       - text that is no such description: unknown fields, bad values
//       - a field given twice, or two of which only one can be
//       - values that ValidatePcConfig refuses
//     A field that is missing has the place of the message that lacks it, and
//     none in an empty text.
// Cost: heap in the order of the text; some tens of microseconds.
absl::StatusOr<PcConfig> ParseMachineText(absl::string_view text);

// All fields of `config`, the defaults too, so that the text means the same in
// later versions. Parsing it gives `config` again, where that is valid. Of a
// CPUID entry's flags it keeps whether the index is significant.
std::string FormatMachineText(const PcConfig& config);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_MACHINE_TEXT_H_
