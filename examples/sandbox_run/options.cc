// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/options.h"

#include <getopt.h>

#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace sandbox_run {
namespace {

enum Flag : int {
  kHelpFlag = 'h',
  kTimeout = 1000,
  kMemory,
  kFiles,
  kEnv,
  kStats,
};

constexpr option kOptions[] = {
    {"help", no_argument, nullptr, kHelpFlag},
    {"timeout", required_argument, nullptr, kTimeout},
    {"memory", required_argument, nullptr, kMemory},
    {"files", required_argument, nullptr, kFiles},
    {"env", required_argument, nullptr, kEnv},
    {"stats", no_argument, nullptr, kStats},
    {nullptr, 0, nullptr, 0}};

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

absl::Status Takes(absl::string_view option, absl::string_view what,
                   absl::string_view text) {
  return Wrong(absl::StrCat(option, " takes ", what, ", not '", text, "'"));
}

absl::StatusOr<absl::Duration> ParseTimeout(absl::string_view text) {
  const absl::Status wrong =
      Takes("--timeout", "a time such as 5s, 250ms or 1m30s", text);
  absl::Duration timeout;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    timeout = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &timeout)) {
    return wrong;
  }
  if (timeout <= absl::ZeroDuration() || timeout == absl::InfiniteDuration()) {
    return wrong;
  }
  return timeout;
}

absl::StatusOr<uint64_t> ParseMemory(absl::string_view text) {
  // What a sandbox can have is a multiple of this.
  constexpr uint64_t kUnit = uint64_t{2} << 20;
  const absl::Status wrong =
      Takes("--memory", "MiB, or a number with K, M or G", text);
  absl::string_view digits = text;
  uint64_t unit = uint64_t{1} << 20;
  for (const auto& [letter, bytes] :
       {std::pair('K', uint64_t{1} << 10), std::pair('M', uint64_t{1} << 20),
        std::pair('G', uint64_t{1} << 30)}) {
    if (absl::EndsWith(text, absl::string_view(&letter, 1))) {
      digits.remove_suffix(1);
      unit = bytes;
    }
  }
  uint64_t count = 0;
  // Digits only: SimpleAtoi would take signs and spaces too.
  if (digits.empty() || !absl::ascii_isdigit(digits.front()) ||
      !absl::ascii_isdigit(digits.back()) ||
      !absl::SimpleAtoi(digits, &count) || count == 0 ||
      count > (std::numeric_limits<uint64_t>::max() - kUnit) / unit) {
    return wrong;
  }
  return (count * unit + kUnit - 1) / kUnit * kUnit;
}

absl::StatusOr<Options::Files> ParseFiles(absl::string_view text) {
  Options::Files files;
  // The last one, so that a directory may have one in its name.
  const size_t equals = text.rfind('=');
  files.host_directory = std::string(text.substr(0, equals));
  if (equals != absl::string_view::npos) {
    absl::string_view path = text.substr(equals + 1);
    while (path.size() > 1 && absl::EndsWith(path, "/")) path.remove_suffix(1);
    files.path = std::string(path);
  }
  if (files.host_directory.empty() || !absl::StartsWith(files.path, "/")) {
    return Takes("--files", "DIR or DIR=/PATH", text);
  }
  return files;
}

absl::Status Apply(int flag, absl::string_view value, Options& options) {
  switch (flag) {
    case kHelpFlag:
      options.help = true;
      return absl::OkStatus();
    case kTimeout: {
      LIBVMM_ASSIGN_OR_RETURN(options.timeout, ParseTimeout(value));
      return absl::OkStatus();
    }
    case kMemory: {
      LIBVMM_ASSIGN_OR_RETURN(options.memory_size, ParseMemory(value));
      return absl::OkStatus();
    }
    case kFiles: {
      LIBVMM_ASSIGN_OR_RETURN(Options::Files files, ParseFiles(value));
      options.files.push_back(std::move(files));
      return absl::OkStatus();
    }
    case kEnv:
      if (value.find('=') == absl::string_view::npos || value.front() == '=') {
        return Takes("--env", "NAME=VALUE", value);
      }
      options.environment.emplace_back(value);
      return absl::OkStatus();
    case kStats:
      options.stats = true;
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

// What getopt stumbled over: `word` is the last that it has done with, which is
// not the one at fault when that has several letters behind one dash.
absl::Status BadOption(int flag, absl::string_view word) {
  const std::string letter = {'-', static_cast<char>(optopt)};
  if (optopt > 0 && optopt < kTimeout) word = letter;
  if (flag == ':') return Wrong(absl::StrCat(word, " needs a value"));
  return Wrong(absl::StrCat("what is ", word, "? See --help"));
}

}  // namespace

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  Options options;
  optind = 0;  // glibc: start anew
  opterr = 0;
  // '+': the first word that is no option is the program.
  for (int flag;
       (flag = getopt_long(argc, argv, "+:h", kOptions, nullptr)) != -1;) {
    if (flag == ':' || flag == '?') return BadOption(flag, argv[optind - 1]);
    const absl::string_view value = optarg == nullptr ? "" : optarg;
    LIBVMM_RETURN_IF_ERROR(Apply(flag, value, options));
    if (options.help) return options;
  }
  options.command.assign(argv + optind, argv + argc);
  if (options.command.empty()) return Wrong("no program; see --help");
  return options;
}

}  // namespace sandbox_run
