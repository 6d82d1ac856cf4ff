// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_VIRTIO_CHILD_PROCESS_H_
#define TESTS_VIRTIO_CHILD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm::virtio_test {

// A program that a test runs beside itself: a VMM, the other end of a stream, a
// file system checker. Its output and errors are one text.
//
// Thread-safety: thread-compatible.
// Ownership: owns the process, which is killed and reaped by the destructor at
//     the latest.
class ChildProcess {
 public:
  // `words`: the program's path, then its arguments.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& words);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // Reads its output until `done`, asked after each line with all lines so far,
  // says true, or the output ends. False when `limit` was over before that.
  bool ReadUntil(absl::FunctionRef<bool(absl::string_view output)> done,
                 absl::Duration limit);
  [[nodiscard]] const std::string& output() const { return output_; }

  // Sends a signal, such as SIGKILL.
  void Signal(int number);

  // Reads the rest and waits for its end: the exit code, or 128 + N for signal
  // N; kDeadlineExceeded when it has not ended by `limit`, and then it was
  // killed.
  absl::StatusOr<int> Wait(absl::Duration limit);

 private:
  ChildProcess(pid_t pid, UniqueFd pipe) : pid_(pid), pipe_(std::move(pipe)) {}

  pid_t pid_;
  UniqueFd pipe_;
  std::string output_;
};

// Runs a program to its end: the exit code and what it printed.
struct RunResult {
  int exit_code = 0;
  std::string output;
};
absl::StatusOr<RunResult> RunProgram(const std::vector<std::string>& words,
                                     absl::Duration limit);

}  // namespace libvmm::virtio_test

#endif  // TESTS_VIRTIO_CHILD_PROCESS_H_
