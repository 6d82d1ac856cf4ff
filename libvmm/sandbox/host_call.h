// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_HOST_CALL_H_
#define LIBVMM_SANDBOX_HOST_CALL_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/call_arguments.h"
#include "libvmm/sandbox/function.h"
#include "libvmm/sandbox/outcome.h"

namespace libvmm::sandbox {

namespace internal {

class Instance;

// The sandbox behind a HostCall.
class HostCallTarget {
 public:
  virtual ~HostCallTarget() = default;
  virtual bool ReadUser(Gva from, std::span<std::byte> to) = 0;
  virtual bool WriteUser(Gva to, std::span<const std::byte> from) = 0;
  virtual bool ReadUserString(Gva from, size_t max, std::string& text) = 0;
  virtual absl::StatusOr<RawOutcome> CallNested(Gva function,
                                                const CallArguments& call,
                                                bool returns_double) = 0;
};

}  // namespace internal

// An address and a size that code in a sandbox has passed. Unchecked.
struct GuestBuffer {
  Gva address{};
  uint64_t size = 0;
};

// A call of a host function under way: what the function may do with the sandbox
// that made it.
//
// Thread-safety: vCPU-thread; to be used within the call only.
// Errors: what the sandbox passed is checked at each access: false.
class HostCall {
 public:
  // For the sandbox itself, and for trying a host function on a target that is
  // none. Both arguments outlive the call.
  HostCall(internal::HostCallTarget& target, void* user_data)
      : target_(target), user_data_(user_data) {}

  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;

  // The pointer that the embedder gave this sandbox (SandboxHost::user_data).
  template <typename T>
  [[nodiscard]] T& user_data() const {
    return *static_cast<T*>(user_data_);
  }

  // Memory of the sandbox with the rights that its code has. A size that does
  // not fit is the function's to refuse before it allocates.
  [[nodiscard]] bool Read(Gva from, std::span<std::byte> to) {
    return target_.ReadUser(from, to);
  }
  [[nodiscard]] bool Write(Gva to, std::span<const std::byte> from) {
    return target_.WriteUser(to, from);
  }
  // False also when there is no NUL in the first `max` bytes.
  [[nodiscard]] bool ReadString(Gva from, size_t max, std::string& text) {
    return target_.ReadUserString(from, max, text);
  }

  // Ends the call into the sandbox with this error, which the embedder's Call
  // returns; the sandbox has to be reset. For what the host cannot go on from.
  void Fail(absl::Status status) { failure_ = std::move(status); }

  // The result is not there yet: the embedder's Call ends in kPending, and
  // Sandbox::Complete gives the result later. What the function returns is not
  // used.
  void Defer() { deferred_ = true; }

  // Calls a function of the same sandbox, on its stack below the present frame,
  // within the limits of the call under way. Where it does not return, the
  // outer call ends in the same way as soon as the host function has returned,
  // and cannot be resumed. kResourceExhausted when calls are nested more than
  // kMaxDepth deep.
  static constexpr int kMaxDepth = 8;
  template <typename R, typename... P, typename... A>
  absl::StatusOr<Outcome<R>> Call(const Function<R(P...)>& function,
                                  const A&... arguments) {
    static_assert(sizeof...(P) == sizeof...(A),
                  "as many arguments as parameters");
    const CallArguments call(ArgumentFor<P>(arguments)...);
    absl::StatusOr<RawOutcome> outcome =
        target_.CallNested(function.address(), call, kReturnsDouble<R>);
    if (!outcome.ok()) return outcome.status();
    return MakeOutcome<R>(*outcome);
  }

 private:
  friend class internal::Instance;

  internal::HostCallTarget& target_;
  void* user_data_;
  absl::Status failure_;
  bool deferred_ = false;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_HOST_CALL_H_
