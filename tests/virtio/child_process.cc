// SPDX-License-Identifier: Apache-2.0
#include "tests/virtio/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

extern char** environ;

namespace libvmm::virtio_test {

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& words) {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                   O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, arguments[0], &actions, nullptr,
                                arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return ErrnoStatus(error, absl::StrCat("posix_spawn(", words[0], ")"));
  }
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(pid, std::move(read_end)));
}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
}

bool ChildProcess::ReadUntil(
    absl::FunctionRef<bool(absl::string_view output)> done,
    absl::Duration limit) {
  const SystemClock clock;
  const absl::Duration end = clock.Monotonic() + limit;
  while (pipe_.valid()) {
    const absl::Duration left = end - clock.Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    pollfd ready = {.fd = pipe_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1,
             static_cast<int>(absl::ToInt64Milliseconds(left)) + 1) <= 0) {
      continue;
    }
    std::array<char, 4096> buffer;
    const ssize_t size = read(pipe_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) {
      pipe_.Reset();
      break;
    }
    output_.append(buffer.data(), static_cast<size_t>(size));
    const size_t line_end = output_.rfind('\n');
    if (line_end != std::string::npos &&
        done(absl::string_view(output_).substr(0, line_end + 1))) {
      return true;
    }
  }
  return true;
}

void ChildProcess::Signal(int number) {
  if (pid_ >= 0) kill(pid_, number);
}

absl::StatusOr<int> ChildProcess::Wait(absl::Duration limit) {
  const bool ended = ReadUntil([](absl::string_view) { return false; }, limit);
  if (!ended) Signal(SIGKILL);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (!ended) return absl::DeadlineExceededError(output_);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

absl::StatusOr<RunResult> RunProgram(const std::vector<std::string>& words,
                                     absl::Duration limit) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> child,
                          ChildProcess::Start(words));
  RunResult result;
  LIBVMM_ASSIGN_OR_RETURN(result.exit_code, child->Wait(limit));
  result.output = child->output();
  return result;
}

}  // namespace libvmm::virtio_test
