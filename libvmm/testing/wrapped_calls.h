// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_WRAPPED_CALLS_H_
#define LIBVMM_TESTING_WRAPPED_CALLS_H_

// Internal to fault_injection: the system calls that the linker has turned
// aside (--wrap), as the harness sees them.

#include <span>

namespace libvmm::testing::internal {

// A call that can fail: its name as error messages have it, "KVM_" names for
// ioctl requests that are known, and the errnos that it can plausibly give.
struct WrappedCall {
  const char* name = "";
  std::span<const int> errnos;
};

// Sees this thread's calls while it is installed. Neither function may
// allocate.
class CallObserver {
 public:
  // The errno to fail the call with instead of making it, or zero to let it
  // pass.
  virtual int OnCall(const WrappedCall& call) = 0;
  // A close or munmap, which are never failed, was refused by the kernel: the
  // program gave back what it does not own.
  virtual void OnMisuse(const char* name) = 0;

 protected:
  ~CallObserver() = default;
};

// Installs `observer` for the calling thread, or none with nullptr. Returns the
// one before.
CallObserver* ObserveCalls(CallObserver* observer);

}  // namespace libvmm::testing::internal

#endif  // LIBVMM_TESTING_WRAPPED_CALLS_H_
