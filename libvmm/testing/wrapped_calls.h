// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_WRAPPED_CALLS_H_
#define LIBVMM_TESTING_WRAPPED_CALLS_H_

// Internal to fault_injection: the system calls that the linker has turned
// aside (--wrap), as the harness sees them.

#include <cstdint>
#include <optional>

#include "libvmm/testing/call_errnos.h"

namespace libvmm::testing::internal {

// Sees this thread's calls while it is installed. None of its functions may
// allocate.
class CallObserver {
 public:
  // The errno to fail the call with instead of making it, or zero to let it
  // pass.
  virtual int OnCall(const WrappedCall& call) = 0;
  // What an ioctl that was let pass returns instead of being made; nullopt to
  // make it.
  virtual std::optional<int> OnIoctl(const WrappedCall& call,
                                     uintptr_t argument) = 0;
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
