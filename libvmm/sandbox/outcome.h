// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_OUTCOME_H_
#define LIBVMM_SANDBOX_OUTCOME_H_

#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/exit.h"

namespace libvmm::sandbox {

// How a call into a sandbox, or a run of its program, came to an end.
enum class End : uint8_t {
  kReturned,     // the function returned, or the program exited
  kExited,       // the program exited while a function was called
  kDeadline,     // the limits of the call; Resume goes on
  kPending,      // a host function or system call waits for the embedder
  kKilled,       // Killer::Kill
  kFaulted,      // Sandbox::fault() says what the code did
  kOutOfMemory,  // it used memory beyond the sandbox's ceiling
};
// "kReturned" and so on.
[[nodiscard]] absl::string_view EndName(End end);

// What code in a sandbox did that ended it.
struct Fault {
  enum class Kind : uint8_t {
    kException,         // `vector` and what belongs to it
    kForbiddenSyscall,  // `number`
    kSignal,            // it sent itself the signal `number`, as abort() does
    kDeadlock,          // it waits for what only another thread could do
    kHostFunction,      // called a host function that is not there: `number`
    kMachine,           // an exit that no code in ring 3 should lead to: `exit`
  };
  Kind kind = Kind::kException;
  // Of kException (Intel SDM volume 3, table 6-1); `error_code` and `address`
  // are those of a page fault where it is one.
  uint8_t vector = 0;
  uint32_t error_code = 0;
  Gva address{};
  // Where it happened.
  Gva rip{};
  Gva rsp{};
  uint64_t number = 0;
  ExitReason exit = ExitReason::kHardwareUnknown;
};

// The end of a call, with what the function returned. R is void, an integer or
// enumeration, float, double, or Gva for a pointer.
//
// Thread-safety: a value.
template <typename R>
class Outcome {
 public:
  explicit Outcome(End end) : end_(end) {}
  Outcome(End end, R value) : end_(end), value_(value) {}

  [[nodiscard]] End end() const { return end_; }
  [[nodiscard]] bool returned() const { return end_ == End::kReturned; }
  // What the function returned; zero unless returned().
  [[nodiscard]] R value() const { return value_; }
  [[nodiscard]] R value_or(R otherwise) const {
    return returned() ? value_ : otherwise;
  }

 private:
  End end_;
  R value_{};
};

template <>
class Outcome<void> {
 public:
  explicit Outcome(End end) : end_(end) {}

  [[nodiscard]] End end() const { return end_; }
  [[nodiscard]] bool returned() const { return end_ == End::kReturned; }

 private:
  End end_;
};

// An outcome before the register is read as R.
struct RawOutcome {
  End end = End::kReturned;
  uint64_t rax = 0;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_OUTCOME_H_
