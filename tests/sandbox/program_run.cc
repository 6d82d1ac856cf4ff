// SPDX-License-Identifier: Apache-2.0
#include "tests/sandbox/program_run.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/outcome.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace libvmm::sandbox {
namespace {

constexpr int kSignalCode = 128;
constexpr time_t kModifyTime = 1'000'000'000;
constexpr uint32_t kMode = 0640;

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status WriteHostFile(const std::string& path,
                           const std::string& contents) {
  std::ofstream file(path, std::ios::binary);
  file << contents;
  file.close();
  if (!file) return absl::UnknownError(absl::StrCat("cannot write ", path));
  const timespec times[2] = {{.tv_sec = kModifyTime, .tv_nsec = 0},
                             {.tv_sec = kModifyTime, .tv_nsec = 0}};
  if (::chmod(path.c_str(), kMode) != 0 ||
      ::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) {
    return ErrnoStatus(errno, absl::StrCat("utimensat(", path, ")"));
  }
  return absl::OkStatus();
}

std::string ReadHostFile(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<ProgramFiles> ProgramFiles::Create(
    absl::string_view name, const std::vector<File>& files) {
  ProgramFiles made;
  std::string directory =
      absl::StrCat(::testing::TempDir(), "/", name, ".XXXXXX");
  if (::mkdtemp(directory.data()) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("mkdtemp(", directory, ")"));
  }
  made.host_directory_ = directory;
  FileTreeBuilder builder;
  LIBVMM_RETURN_IF_ERROR(builder.AddStandardDevices());
  LIBVMM_RETURN_IF_ERROR(builder.AddDirectory("/tmp", {.mode = 01777}));
  for (const char* const names : {"/etc/passwd", "/etc/group"}) {
    if (::access(names, R_OK) != 0) continue;
    LIBVMM_RETURN_IF_ERROR(builder.AddHostFile(names, names));
  }
  for (const File& file : files) {
    LIBVMM_RETURN_IF_ERROR(
        WriteHostFile(absl::StrCat(directory, "/", file.name), file.contents));
    LIBVMM_RETURN_IF_ERROR(
        builder.AddFile(absl::StrCat("/", file.name), file.contents,
                        {.mode = kMode,
                         .user = ::getuid(),
                         .group = ::getgid(),
                         .modify_time = absl::FromTimeT(kModifyTime)}));
  }
  made.tree_ = std::move(builder).Build();
  return made;
}

StandardStreams StreamTexts::Streams() {
  return {
      .input = [this](std::span<std::byte> to) -> int64_t {
        const size_t size = std::min(to.size(), input_.size() - read_);
        std::memcpy(to.data(), input_.data() + read_, size);
        read_ += size;
        return static_cast<int64_t>(size);
      },
      .output = [this](std::span<const std::byte> from) -> int64_t {
        output_.append(reinterpret_cast<const char*>(from.data()), from.size());
        return static_cast<int64_t>(from.size());
      },
      .errors = [this](std::span<const std::byte> from) -> int64_t {
        errors_.append(reinterpret_cast<const char*>(from.data()), from.size());
        return static_cast<int64_t>(from.size());
      }};
}

absl::StatusOr<ProgramResult> RunOnHost(const ProgramRun& run,
                                        const ProgramFiles& files) {
  // Beside the directory, so that the program does not see them.
  const std::string input = absl::StrCat(files.host_directory(), ".input");
  const std::string output = absl::StrCat(files.host_directory(), ".output");
  const std::string errors = absl::StrCat(files.host_directory(), ".errors");
  LIBVMM_RETURN_IF_ERROR(WriteHostFile(input, run.input));
  std::string program = run.program;
  if (program.front() != '/') {
    char* const here = ::getcwd(nullptr, 0);
    program = absl::StrCat(here, "/", program);
    ::free(here);
  }
  constexpr int kCreate = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input.c_str(),
                                     O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                     kCreate, 0600);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(),
                                     kCreate, 0600);
  ::posix_spawn_file_actions_addchdir_np(&actions,
                                         files.host_directory().c_str());
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions, nullptr,
                                  Pointers(run.arguments).data(),
                                  Pointers(run.environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return ErrnoStatus(error, absl::StrCat("posix_spawn(", program, ")"));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "waitpid");
  }
  return ProgramResult{.exit_code = WIFSIGNALED(status)
                                        ? kSignalCode + WTERMSIG(status)
                                        : WEXITSTATUS(status),
                       .output = ReadHostFile(output),
                       .errors = ReadHostFile(errors)};
}

absl::StatusOr<ProgramResult> RunInSandbox(const Engine& engine,
                                           const ProgramRun& run,
                                           const ProgramFiles& files) {
  LIBVMM_ASSIGN_OR_RETURN(const Program program, Program::Open(run.program));
  StreamTexts texts(run.input);
  LIBVMM_ASSIGN_OR_RETURN(
      Sandbox sandbox,
      Sandbox::Create(
          engine, program,
          {.syscalls = SyscallTable::LinuxProgram(), .files = files.tree()},
          {.streams = texts.Streams()}));
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<int> outcome,
                          sandbox.Run(run.arguments, run.environment));
  ProgramResult result{.exit_code = outcome.value(),
                       .output = texts.TakeOutput(),
                       .errors = texts.TakeErrors()};
  if (outcome.end() == End::kFaulted &&
      sandbox.fault().kind == Fault::Kind::kSignal) {
    result.exit_code = kSignalCode + static_cast<int>(sandbox.fault().number);
  } else if (!outcome.returned()) {
    return absl::AbortedError(absl::StrCat(EndName(outcome.end()), ": ",
                                           sandbox.DescribeFault(), "; ",
                                           result.errors));
  }
  return result;
}

}  // namespace libvmm::sandbox
