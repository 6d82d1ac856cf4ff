// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_SANDBOX_RUN_TERMINAL_H_
#define LIBVMM_EXAMPLES_SANDBOX_RUN_TERMINAL_H_

#include "absl/status/statusor.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace sandbox_run {

// This process's terminal, lent to the program: it sees and sets the modes, so
// that a shell can edit lines, and sees the window's size. Ctrl-C, Ctrl-\ and
// Ctrl-Z stay this process's. Restore, or the end of the object, brings the
// modes back.
//
// One at a time in a process. Without a terminal at standard input and output
// there is none for the program either.
class Terminal {
 public:
  Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() { Restore(); }

  [[nodiscard]] bool present() const { return present_; }
  void Restore();

  // `table` with an ioctl(2) that knows the terminal.
  static absl::StatusOr<libvmm::sandbox::SyscallTable> AddTo(
      const libvmm::sandbox::SyscallTable& table);

 private:
  bool present_;
};

}  // namespace sandbox_run

#endif  // LIBVMM_EXAMPLES_SANDBOX_RUN_TERMINAL_H_
