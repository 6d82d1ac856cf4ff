// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/scripted_ioctls.h"

#include <cerrno>
#include <cstdint>
#include <optional>

#include "libvmm/testing/wrapped_calls.h"

namespace libvmm::testing {

class ScriptedIoctls::Observer final : public internal::CallObserver {
 public:
  explicit Observer(const ScriptedIoctls& owner) : owner_(owner) {}

  int OnCall(const internal::WrappedCall&) override { return 0; }
  std::optional<int> OnIoctl(const internal::WrappedCall& call,
                             uintptr_t argument) override {
    for (const auto& [name, answer] : owner_.answers_) {
      if (name != call.name) continue;
      const internal::FaultPause pause;
      const std::optional<int> result = answer(argument);
      if (result.has_value()) return result;
    }
    return std::nullopt;
  }
  void OnMisuse(const char*) override {}

 private:
  const ScriptedIoctls& owner_;
};

ScriptedIoctls::ScriptedIoctls()
    : observer_(new Observer(*this)),
      before_(internal::ObserveCalls(observer_)) {}

ScriptedIoctls::~ScriptedIoctls() {
  internal::ObserveCalls(static_cast<internal::CallObserver*>(before_));
  delete observer_;
}

void ScriptedIoctls::Answer(std::string call, FaultScenario::Answer answer) {
  answers_.emplace_back(std::move(call), std::move(answer));
}

void ScriptedIoctls::Fail(std::string call, int error) {
  Answer(std::move(call), [error](uintptr_t) {
    errno = error;
    return -1;
  });
}

}  // namespace libvmm::testing
