// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_CONSOLE_OUTPUT_H_
#define LIBVMM_EXAMPLES_VMM_CONSOLE_OUTPUT_H_

#include <atomic>
#include <cstddef>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"

namespace vmm {

// What a guest prints, on its way to a descriptor. A reader that is slow makes
// the guest wait; one that is gone ends the output.
//
// Thread-safety: thread-safe.
// Ownership: borrows the descriptor.
// Errors: as status(). SIGPIPE must be ignored for a closed pipe to be one.
// Cost: poll(2) and write(2) for each call, however few the bytes are.
class ConsoleOutput {
 public:
  // `failed` is signalled when status() is no longer OK, and outlives this.
  // kResourceExhausted when there is no descriptor left.
  static absl::StatusOr<ConsoleOutput> Create(int fd,
                                              const libvmm::EventFd& failed);
  ConsoleOutput(ConsoleOutput&& other) noexcept
      : fd_(other.fd_),
        failed_(other.failed_),
        closed_(std::move(other.closed_)),
        error_(other.error_.load()) {}

  // Returns when all is written, or nothing more can be.
  void Write(std::span<const std::byte> bytes);

  // From now on Write drops what it is given, and one that waits for the reader
  // returns: so that a thread that prints can be ended.
  void Close() { closed_.Signal(); }

  // ErrnoStatus of the first write(2) that failed; the bytes since are lost.
  [[nodiscard]] absl::Status status() const;

 private:
  ConsoleOutput(int fd, const libvmm::EventFd& failed, libvmm::EventFd closed)
      : fd_(fd), failed_(failed), closed_(std::move(closed)) {}

  // False when closed.
  bool WaitForRoom();

  int fd_;
  const libvmm::EventFd& failed_;
  libvmm::EventFd closed_;
  std::atomic<int> error_ = 0;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_CONSOLE_OUTPUT_H_
