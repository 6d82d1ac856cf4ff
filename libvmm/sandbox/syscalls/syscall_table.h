// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_TABLE_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace libvmm::sandbox {

// Serves one system call. The result goes to RAX: a value, or a negative errno;
// unless the handler ended the call otherwise through its context.
//
// Shared by all sandboxes of a table, on any thread: what it captures must be
// safe to use from all of them at once. State of one sandbox belongs in the
// context. Copyable, so that tables can be derived from each other.
using SyscallHandler =
    std::function<int64_t(SyscallContext&, const SyscallArguments&)>;

// Which system calls a program has, and who serves each. Deny is the default: a
// number without a handler is refused.
//
//   SyscallTable::Builder builder(SyscallTable::LinuxProgram());
//   LIBVMM_RETURN_IF_ERROR(builder.Remove(SYS_unlink));
//   LIBVMM_RETURN_IF_ERROR(builder.Set(
//       600, [](SyscallContext& context, const SyscallArguments& arguments) {
//         return int64_t{42};
//       }));
//   const SyscallTable table = std::move(builder).Build();
//   ...
//   const SyscallOutcome outcome = table.Serve(context, number, arguments);
//
// Thread-safety: immutable. Handlers run on the thread that calls Serve.
// Ownership: a handle that shares the table with its copies.
// Errors: none; what a program asks for is answered with values.
// Cost: a copy is one atomic increment. Serve is an index and an indirect call
//     beyond the handler's own cost; it allocates nothing.
class SyscallTable {
 public:
  // Numbers below this can have a handler. Linux uses less than 512 of them on
  // x86-64; what is above is free for an embedder's own calls.
  static constexpr uint64_t kNumbers = 1024;

  // What a program that makes a refused call gets.
  enum class Refusal {
    kNoSuchCall,  // -ENOSYS, as from a kernel that does not have it
    kFault,       // the program ends: ForbiddenSyscall
  };

  class Builder;

  // Refuses everything.
  SyscallTable();

  // The calls that docs/sandbox_syscalls.md lists: enough for single-threaded
  // static programs. Made anew by each call: build it once.
  [[nodiscard]] static SyscallTable LinuxProgram();

  // Serves the call `number`, which may be any value. After SyscallPending it
  // may be called again with the same arguments.
  [[nodiscard]] SyscallOutcome Serve(SyscallContext& context, uint64_t number,
                                     const SyscallArguments& arguments) const;

  [[nodiscard]] bool Has(uint64_t number) const;

  // Linux's name of each call that LinuxProgram() serves ("openat"), else "".
  // Lives for ever.
  [[nodiscard]] static absl::string_view Name(uint64_t number);

 private:
  struct Entry {
    SyscallHandler handler;          // empty: refused
    std::optional<Refusal> refusal;  // nothing: `otherwise` says
  };
  struct Rows {
    std::vector<Entry> entries;  // as many as are needed
    Refusal otherwise = Refusal::kNoSuchCall;
  };

  explicit SyscallTable(std::shared_ptr<const Rows> rows);

  std::shared_ptr<const Rows> rows_;
};

// Puts a table together, from nothing or from another one.
//
// Thread-safety: thread-compatible.
// Ownership: a value; Build moves it out.
// Errors: kInvalidArgument for a number of kNumbers or more, naming it.
class SyscallTable::Builder {
 public:
  Builder() = default;
  explicit Builder(const SyscallTable& table) : rows_(*table.rows_) {}

  // Adds or replaces; kInvalidArgument also for an empty handler.
  absl::Status Set(uint64_t number, SyscallHandler handler);
  // Takes a handler away; refused from then on, in the way `refusal` says.
  absl::Status Remove(uint64_t number, Refusal refusal = Refusal::kNoSuchCall);
  // How all numbers are refused that neither Set nor Remove has named, of this
  // builder and of the table it began with.
  void SetOtherwise(Refusal refusal) { rows_.otherwise = refusal; }

  [[nodiscard]] SyscallTable Build() &&;

 private:
  friend class SyscallTable;

  Entry& At(uint64_t number);

  Rows rows_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_TABLE_H_
