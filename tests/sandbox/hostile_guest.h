// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTS_SANDBOX_HOSTILE_GUEST_H_
#define LIBVMM_TESTS_SANDBOX_HOSTILE_GUEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/testing/guest_code.h"

namespace libvmm::sandbox {

// General registers of ring 3 for HostileGuest::Run, in the order that
// testdata/hostile.c reads them.
struct StartRegisters {
  uint64_t rax = 0, rbx = 0, rcx = 0, rdx = 0, rsi = 0, rdi = 0, rbp = 0;
  uint64_t r8 = 0, r9 = 0, r10 = 0, r11 = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  uint64_t rsp = 0;  // zero: the stack of the call
};

// A sandbox, frozen, that runs machine code of the test in ring 3.
//
// Thread-safety: vCPU-thread.
class HostileGuest {
 public:
  // `options` without allow_writable_code, which the code's page needs. Runs
  // `prepare` before it freezes.
  static absl::StatusOr<std::unique_ptr<HostileGuest>> Create(
      SandboxOptions options, SandboxHost host = {},
      std::span<const uint8_t> prepare = kReturn);

  [[nodiscard]] Sandbox& sandbox() { return *sandbox_; }
  [[nodiscard]] const Image& image() const { return *image_; }
  [[nodiscard]] const Engine& engine() const { return *engine_; }
  [[nodiscard]] VcpuThread& thread() { return *thread_; }

  // 16 pages that the code may write, zero but for their first byte.
  [[nodiscard]] Gva data() const { return data_; }
  // The page that the code stands on, followed by nothing.
  [[nodiscard]] Gva code() const { return code_; }

  // Runs the code as a function, within a limit that hanging code reaches.
  absl::StatusOr<Outcome<uint64_t>> Run(std::span<const uint8_t> code,
                                        const StartRegisters& registers = {},
                                        const CallLimits& limits = kLimits);

  // Words at data(), as the code has left them.
  [[nodiscard]] std::vector<uint64_t> Words(size_t count);

  // Resets, and tells whether a call then gives the right answer; the sandbox
  // has been used then. `verify` also reads everything back.
  absl::Status CheckReset(bool verify);

 private:
  using RunCode =
      Function<uint64_t(const uint8_t*, uint64_t, const StartRegisters*)>;

  static const CallLimits kLimits;
  static constexpr uint8_t kReturn[] = {0xc3};

  HostileGuest() = default;

  std::optional<Engine> engine_;
  std::optional<Program> program_;
  std::optional<VcpuThread> thread_;
  std::optional<Sandbox> sandbox_;
  std::optional<Image> image_;
  std::optional<RunCode> run_code_;
  std::optional<Function<uint64_t()>> count_;
  Gva data_{};
  Gva code_{};
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_TESTS_SANDBOX_HOSTILE_GUEST_H_
