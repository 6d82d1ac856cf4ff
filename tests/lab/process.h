// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_LAB_PROCESS_H_
#define TESTS_LAB_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "libvmm/base/unique_fd.h"
#include "tests/lab/job.h"

namespace libvmm::lab {

// A running job, in a session of its own with stdin closed and stdout and
// stderr in one pipe.
//
// Thread-safety: thread-compatible.
// Ownership: owns the process: it is killed with its process group, and
//     reaped, at the latest by the destructor.
class Process {
 public:
  using Clock = std::chrono::steady_clock;

  // Null when the process cannot be made; errno tells why. A program that does
  // not exec is a process that ends with code 127.
  static std::unique_ptr<Process> Start(const Job& job);

  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  // Readable when there is output; end of file does not mean that it has ended.
  [[nodiscard]] int output_fd() const { return output_.get(); }
  // Readable when it has ended.
  [[nodiscard]] int exit_fd() const { return exit_.get(); }
  [[nodiscard]] Clock::time_point deadline() const { return deadline_; }

  // What can be read without waiting, at most 64 KiB; empty when nothing is
  // there. Closes the pipe at its end.
  std::string ReadOutput();

  // Kills it for being late; End will say so.
  void TimeOut();

  // Reaps the process, which must have ended or been killed, and whatever it
  // has left in its group. Returns the text of FrameKind::kEnd.
  std::string End();

 private:
  Process() = default;

  UniqueFd output_;
  UniqueFd exit_;
  pid_t pid_ = -1;
  bool timed_out_ = false;
  Clock::time_point start_;
  Clock::time_point deadline_;
};

}  // namespace libvmm::lab

#endif  // TESTS_LAB_PROCESS_H_
