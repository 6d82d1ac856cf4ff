// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_SANDBOX_RUN_OPTIONS_H_
#define LIBVMM_EXAMPLES_SANDBOX_RUN_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace sandbox_run {

// For --help: every option and every exit code.
extern const char kHelp[];

struct Options {
  bool help = false;
  std::optional<absl::Duration> timeout = std::nullopt;
  uint64_t memory_size = uint64_t{256} << 20;
  // A directory of the host, and where the program sees a copy of it.
  struct Files {
    std::string host_directory;
    std::string path = "/";
  };
  std::vector<Files> files;
  // NAME=VALUE each.
  std::vector<std::string> environment;
  // Print what it cost at the end.
  bool stats = false;
  // The program and its arguments.
  std::vector<std::string> command;
};

// The command line. Behind --help nothing is looked at.
//
// Errors: kInvalidArgument; the message begins with the option and says what it
//     takes.
absl::StatusOr<Options> ParseOptions(int argc, char** argv);

}  // namespace sandbox_run

#endif  // LIBVMM_EXAMPLES_SANDBOX_RUN_OPTIONS_H_
