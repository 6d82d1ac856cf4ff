// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTS_SANDBOX_PROGRAM_RUN_H_
#define LIBVMM_TESTS_SANDBOX_PROGRAM_RUN_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/standard_streams.h"

namespace libvmm::sandbox {

// A program, what it is given, and in which files it finds itself.
struct ProgramRun {
  // An executable of the host.
  std::string program;
  // With the name in front.
  std::vector<std::string> arguments;
  std::vector<std::string> environment = {};
  std::string input = "";
};

struct ProgramResult {
  // As a shell has it: 128 + N for signal N.
  int exit_code = 0;
  std::string output;
  std::string errors;
};

// Files that a program finds in its working directory, the same on the host and
// in a sandbox: contents, permissions, owner and times.
class ProgramFiles {
 public:
  struct File {
    std::string name;
    std::string contents;
  };
  // In a new directory of the host, for which the name is a part.
  static absl::StatusOr<ProgramFiles> Create(absl::string_view name,
                                             const std::vector<File>& files);

  [[nodiscard]] const std::string& host_directory() const {
    return host_directory_;
  }
  // In "/", where a sandbox's program starts; with /tmp, /dev, and the names of
  // the host's users.
  [[nodiscard]] const std::shared_ptr<const FileTree>& tree() const {
    return tree_;
  }

 private:
  ProgramFiles() = default;

  std::string host_directory_;
  std::shared_ptr<const FileTree> tree_;
};

// Standard streams that are strings.
class StreamTexts {
 public:
  explicit StreamTexts(std::string input = "") : input_(std::move(input)) {}

  // Refer to this object.
  StandardStreams Streams();
  // What was written since the last time.
  std::string TakeOutput() { return std::exchange(output_, ""); }
  std::string TakeErrors() { return std::exchange(errors_, ""); }

 private:
  std::string input_;
  size_t read_ = 0;
  std::string output_;
  std::string errors_;
};

// As a process of the host, in the files' directory there.
absl::StatusOr<ProgramResult> RunOnHost(const ProgramRun& run,
                                        const ProgramFiles& files);

// In a sandbox of default options that has the system calls of Linux programs.
absl::StatusOr<ProgramResult> RunInSandbox(const Engine& engine,
                                           const ProgramRun& run,
                                           const ProgramFiles& files);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_TESTS_SANDBOX_PROGRAM_RUN_H_
