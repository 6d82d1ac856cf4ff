// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/terminal.h"

// The kernel's struct termios, which is what system calls have; glibc's is
// another one.
#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>
#include <variant>

#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace sandbox_run {

using namespace libvmm::sandbox;

namespace {

// How the terminal was. Here, since a handler of a SyscallTable belongs to no
// object.
std::optional<struct termios> before;
bool changed = false;

// The program's wish, but for what sends signals to this process.
int64_t SetModes(unsigned long request, struct termios wanted) {
  wanted.c_lflag |= ISIG;
  for (const int key : {VINTR, VQUIT, VSUSP}) {
    wanted.c_cc[key] = before->c_cc[key];
  }
  changed = true;
  return ::ioctl(STDIN_FILENO, request, &wanted) == 0 ? 0 : -errno;
}

template <typename T>
int64_t Get(SyscallContext& context, const SyscallArguments& arguments) {
  T value = {};
  if (::ioctl(STDIN_FILENO, arguments.Unsigned(1), &value) != 0) return -errno;
  return context.Write(arguments.Pointer(2), value) ? 0 : -EFAULT;
}

// Nothing for what is not a matter of the terminal.
std::optional<int64_t> ServeTerminal(SyscallContext& context,
                                     const SyscallArguments& arguments) {
  if (!before || context.files().IsTerminal(arguments.Int(0)) != 1) return {};
  const uint32_t request = arguments.Unsigned(1);
  switch (request) {
    case TCGETS:
      return Get<struct termios>(context, arguments);
    case TIOCGWINSZ:
      return Get<winsize>(context, arguments);
    case TCSETS:
    case TCSETSW:
    case TCSETSF: {
      const auto wanted = context.Read<struct termios>(arguments.Pointer(2));
      return wanted ? SetModes(request, *wanted) : -EFAULT;
    }
    default:
      return {};
  }
}

}  // namespace

Terminal::Terminal()
    : present_(::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) {
  struct termios modes = {};
  if (present_ && ::ioctl(STDIN_FILENO, TCGETS, &modes) == 0) before = modes;
}

void Terminal::Restore() {
  if (std::exchange(changed, false)) {
    ::ioctl(STDIN_FILENO, TCSETSW, &*before);
  }
}

absl::StatusOr<SyscallTable> Terminal::AddTo(const SyscallTable& table) {
  SyscallTable::Builder builder(table);
  LIBVMM_RETURN_IF_ERROR(builder.Set(
      SYS_ioctl,
      [table](SyscallContext& context,
              const SyscallArguments& arguments) -> int64_t {
        if (const auto result = ServeTerminal(context, arguments)) {
          return *result;
        }
        const SyscallOutcome outcome =
            table.Serve(context, SYS_ioctl, arguments);
        const auto* const returned = std::get_if<SyscallReturned>(&outcome);
        return returned != nullptr ? returned->value : -ENOTTY;
      }));
  return std::move(builder).Build();
}

}  // namespace sandbox_run
