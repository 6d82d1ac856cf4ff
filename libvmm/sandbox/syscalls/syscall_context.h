// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_CONTEXT_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace libvmm::sandbox {

// All that a handler of a system call may touch: the program's memory, files
// and process state, time, randomness, and the ways to end a call otherwise
// than by a number. One for each sandbox, for as long as it lives.
//
//   int64_t GetCpu(SyscallContext& context, const SyscallArguments& arguments) {
//     if (arguments[0] == 0) return 0;
//     const uint32_t cpu = 0;
//     return context.Write(arguments.Pointer(0), cpu) ? 0 : -EFAULT;
//   }
//
// A handler copies what it needs from the program's memory once, then checks
// the copy. Addresses and sizes are the program's and may be anything; where an
// access does not hold the handler returns -EFAULT.
//
// Thread-safety: thread-compatible; used while the vCPU is stopped.
// Ownership: keeps references to its parts, which must outlive it.
// Errors: none; a wrong address is a value.
// Cost: as the part that a call goes to.
class SyscallContext {
 public:
  struct Parts {
    AddressSpace& space;
    FileSystem& files;
    ProcessState& process;
    SyscallHost& host;
  };

  explicit SyscallContext(const Parts& parts)
      : parts_(parts), memory_(std::in_place, parts.space) {}

  SyscallContext(const SyscallContext&) = delete;
  SyscallContext& operator=(const SyscallContext&) = delete;

  [[nodiscard]] AddressSpace& space() { return parts_.space; }
  // What it runs out of ends the call as OutOfMemory, where a handler returns
  // -EFAULT.
  [[nodiscard]] UserMemory& memory() { return *memory_; }
  [[nodiscard]] FileSystem& files() { return parts_.files; }
  [[nodiscard]] ProcessState& process() { return parts_.process; }

  // ---- The program's memory ------------------------------------------------

  // False when the program itself could not have made the whole access; some
  // of it may have been copied then. An empty access succeeds anywhere.
  [[nodiscard]] bool ReadBytes(Gva from, std::span<std::byte> to);
  [[nodiscard]] bool WriteBytes(Gva to, std::span<const std::byte> from);

  // A structure with the layout that Linux gives it on x86-64. Its padding goes
  // to the program: start from Zeroed<T>() where it has any.
  template <typename T>
  [[nodiscard]] std::optional<T> Read(Gva from) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!ReadBytes(from, std::as_writable_bytes(std::span(&value, 1)))) {
      return {};
    }
    return value;
  }
  template <typename T>
  [[nodiscard]] bool Write(Gva to, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return WriteBytes(to, std::as_bytes(std::span(&value, 1)));
  }

  // The path at `from` without its NUL: 0, or -EFAULT, or -ENAMETOOLONG for
  // PATH_MAX bytes and more.
  [[nodiscard]] int64_t ReadPath(Gva from, std::string& path);

  // ---- Time and randomness -------------------------------------------------

  // The program's clocks: the embedder's, moved on by what sleeps have skipped.
  [[nodiscard]] absl::Duration Monotonic() const;
  [[nodiscard]] absl::Time Now() const;
  // What the program is told to have used of the processor: all the time since
  // its start that no sleep has skipped.
  [[nodiscard]] absl::Duration ProcessorTime() const;

  enum class Wait {
    kOver,     // the time has passed
    kEndless,  // it never will: Deadlock() was called
    kPending,  // not yet: Pend() was called
  };
  // Waits for `duration`, which may be InfiniteDuration, in the way that
  // SyscallHost says; not at all when it is not positive. Unless it is kOver
  // the handler returns, with any value. While the call is pending the moment
  // of its end is remembered, and `duration` no longer counts.
  [[nodiscard]] Wait SleepFor(absl::Duration duration);

  void FillRandom(std::span<std::byte> bytes);

  // ---- How the call ends ---------------------------------------------------

  // Each replaces what the handler returns. The last one counts.
  void Exit(int code) { outcome_ = ProgramExited{code & 0xff}; }
  void EndBySignal(int signal) { outcome_ = ProgramSignalled{signal}; }
  void Deadlock() { outcome_ = ProgramDeadlocked{}; }
  void OutOfMemory() { outcome_ = ProgramOutOfMemory{}; }
  void Forbid(uint64_t number) { outcome_ = ForbiddenSyscall{number}; }
  void Pend() { outcome_ = SyscallPending{}; }

  // A new FS or GS base for the vCPU, and for process().
  void SetFsBase(Gva base);
  void SetGsBase(Gva base);

  // ---- For the run loop ----------------------------------------------------

  // True once after SetFsBase or SetGsBase: process().fs_base and gs_base are
  // to be loaded before the program runs on.
  [[nodiscard]] bool TakeSegmentBasesChanged();

  // How a call ends whose handler returned `value`; forgets what it has set.
  // SyscallTable calls it.
  [[nodiscard]] SyscallOutcome Finish(int64_t value);

 private:
  Parts parts_;
  std::optional<UserMemory> memory_;
  std::optional<SyscallOutcome> outcome_;
  bool segment_bases_changed_ = false;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_CONTEXT_H_
