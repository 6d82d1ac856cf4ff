// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/instruction_trace.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/testing/heap_count.h"

namespace libvmm::testing {
namespace {

// System call numbers that no kernel has: the child's marks. The end brings the
// count of heap calls.
constexpr uint64_t kBeginMark = 0x4c560001;
constexpr uint64_t kEndMark = 0x4c560002;

constexpr int kNoPtrace = 3;
constexpr int kBodyFailed = 4;

uint64_t heap_calls_at_begin = 0;

void Mark(uint64_t number, uint64_t argument) {
  uint64_t result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(argument)
               : "rcx", "r11", "memory");
}

enum class Kind : uint8_t { kPlain, kLocked, kSystemCall };

bool IsLegacyPrefix(uint8_t byte) {
  switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf2:
    case 0xf3:
      return true;
    default:
      return false;
  }
}

// Intel SDM volume 2, chapter 2: prefixes, REX, opcode, ModRM.
Kind Classify(std::array<uint8_t, 16> code) {
  size_t i = 0;
  while (i < 8 && IsLegacyPrefix(code[i])) ++i;
  if (code[i] == 0xf0) return Kind::kLocked;
  if ((code[i] & 0xf0) == 0x40) ++i;
  if (code[i] == 0x0f && code[i + 1] == 0x05) return Kind::kSystemCall;
  const bool is_xchg = code[i] == 0x86 || code[i] == 0x87;
  const bool has_memory_operand = (code[i + 1] >> 6) != 3;
  return is_xchg && has_memory_operand ? Kind::kLocked : Kind::kPlain;
}

Kind ClassifyAt(pid_t child, uint64_t rip) {
  std::array<uint8_t, 16> code{};
  for (size_t i = 0; i < code.size(); i += sizeof(long)) {
    const long word = ::ptrace(PTRACE_PEEKTEXT, child, rip + i, nullptr);
    std::memcpy(code.data() + i, &word, sizeof word);
  }
  return Classify(code);
}

[[noreturn]] void RunChild(absl::FunctionRef<absl::Status()> body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pthread_t second;
  ::pthread_create(
      &second, nullptr,
      [](void*) -> void* {
        while (true) ::pause();
      },
      nullptr);
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kNoPtrace);
  ::raise(SIGSTOP);
  const absl::Status status = body();
  if (status.ok()) ::_exit(0);
  std::fprintf(stderr, "traced: %s\n", status.ToString().c_str());
  ::_exit(kBodyFailed);
}

// The child, followed until it ends; killed if it has not by the destructor.
class Tracee {
 public:
  explicit Tracee(pid_t pid) : pid_(pid) {}
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee() {
    if (ended_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &state_, 0);
  }

  // Waits for the next stop; false when the child has ended.
  bool Wait() {
    while (::waitpid(pid_, &state_, 0) < 0 && errno == EINTR) {
    }
    ended_ = !WIFSTOPPED(state_);
    return !ended_;
  }

  // Goes on by `request` until the next stop. Signals but the trap are
  // delivered.
  bool Go(__ptrace_request request) {
    const int signal = WSTOPSIG(state_);
    const long deliver =
        signal == SIGTRAP || signal == (SIGTRAP | 0x80) || signal == SIGSTOP
            ? 0
            : signal;
    return ::ptrace(request, pid_, nullptr, deliver) == 0 && Wait();
  }

  [[nodiscard]] user_regs_struct Registers() const {
    user_regs_struct registers = {};
    ::ptrace(PTRACE_GETREGS, pid_, nullptr, &registers);
    return registers;
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int state() const { return state_; }

 private:
  pid_t pid_;
  int state_ = 0;
  bool ended_ = false;
};

absl::Status Ended(int state) {
  if (WIFEXITED(state) && WEXITSTATUS(state) == kNoPtrace) {
    return absl::UnavailableError("ptrace(PTRACE_TRACEME) is not allowed here");
  }
  return absl::InternalError(
      absl::StrCat("the traced child ended with wait status 0x",
                   absl::Hex(state), " before its last mark"));
}

}  // namespace

void BeginTrace() {
  heap_calls_at_begin = ThreadHeapCalls();
  Mark(kBeginMark, 0);
}

void EndTrace() { Mark(kEndMark, ThreadHeapCalls() - heap_calls_at_begin); }

absl::StatusOr<InstructionTrace> TraceInstructions(
    absl::FunctionRef<absl::Status()> body) {
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) RunChild(body);
  Tracee child(pid);
  if (!child.Wait()) return Ended(child.state());
  ::ptrace(PTRACE_SETOPTIONS, pid, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  do {
    if (!child.Go(PTRACE_SYSCALL)) return Ended(child.state());
  } while (child.Registers().orig_rax != kBeginMark);
  // Behind the mark: its system call ends, as one that the kernel does not
  // know.
  if (!child.Go(PTRACE_SYSCALL)) return Ended(child.state());

  InstructionTrace trace;
  std::unordered_map<uint64_t, Kind> kinds;
  while (true) {
    const user_regs_struct registers = child.Registers();
    auto [entry, is_new] = kinds.try_emplace(registers.rip, Kind::kPlain);
    if (is_new) entry->second = ClassifyAt(pid, registers.rip);
    if (entry->second == Kind::kSystemCall) {
      if (registers.rax == kEndMark) {
        trace.heap_calls = registers.rdi;
        break;
      }
      trace.calls.push_back({.number = registers.rax,
                             .first = registers.rdi,
                             .second = registers.rsi});
    }
    if (entry->second == Kind::kLocked) ++trace.locked_instructions;
    ++trace.instructions;
    if (!child.Go(PTRACE_SINGLESTEP)) return Ended(child.state());
  }
  while (child.Go(PTRACE_CONT)) {
  }
  if (!WIFEXITED(child.state()) || WEXITSTATUS(child.state()) != 0) {
    return Ended(child.state());
  }
  return trace;
}

}  // namespace libvmm::testing
