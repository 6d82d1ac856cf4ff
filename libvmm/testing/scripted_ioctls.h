// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_SCRIPTED_IOCTLS_H_
#define LIBVMM_TESTING_SCRIPTED_IOCTLS_H_

#include <string>
#include <utility>
#include <vector>

#include "libvmm/testing/fault_injection.h"

namespace libvmm::testing {

// Gives this thread's ioctls other answers than the kernel's while it lives, for
// a test of one answer that no KVM at hand gives; the harness of
// fault_injection.h tries failures in general.
//
//   ScriptedIoctls scripted;
//   scripted.Answer("KVM_GET_API_VERSION", [](uintptr_t) { return 11; });
//   EXPECT_THAT(Kvm::Open(), StatusIs(absl::StatusCode::kUnimplemented));
//
// Thread-safety: thread-compatible; its own thread's ioctls only. Not inside a
//     FaultScenario.
class ScriptedIoctls {
 public:
  ScriptedIoctls();
  ScriptedIoctls(const ScriptedIoctls&) = delete;
  ScriptedIoctls& operator=(const ScriptedIoctls&) = delete;
  ~ScriptedIoctls();

  // As FaultScenario::Answers. An answer may set errno and return -1.
  void Answer(std::string call, FaultScenario::Answer answer);
  // `call` fails with `error`.
  void Fail(std::string call, int error);

 private:
  class Observer;
  std::vector<std::pair<std::string, FaultScenario::Answer>> answers_;
  Observer* observer_;
  void* before_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_SCRIPTED_IOCTLS_H_
