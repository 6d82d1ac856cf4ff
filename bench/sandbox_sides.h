// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_SANDBOX_SIDES_H_
#define LIBVMM_BENCH_SANDBOX_SIDES_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "bench/raw_sandbox.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/function.h"
#include "libvmm/sandbox/image.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"

namespace libvmm::bench {

// bench/guest/sandbox_program.c in a frozen sandbox of 64 MiB that has used 48
// of them, and as a raw image: what all benchmarks of the sandbox start from.
//
// Thread-safety: vCPU-thread, but for the images.
// Ownership: owns all of it. Both sides run on the thread that made this.
class SandboxSides {
 public:
  static constexpr uint64_t kSpanSize = 1 << 20;

  // Attached with SIGUSR1.
  SandboxSides();

  [[nodiscard]] VcpuThread& thread() { return thread_; }
  [[nodiscard]] const sandbox::Image& image() const { return *image_; }
  [[nodiscard]] const RawSandboxImage& raw_image() const { return raw_image_; }

  // A clone that runs on this thread.
  [[nodiscard]] sandbox::Sandbox Clone();

  template <typename Signature>
  [[nodiscard]] sandbox::Function<Signature> Find(
      absl::string_view name) const {
    return sandbox::Function<Signature>(raw_image_.Find(name));
  }
  // kSpanSize bytes that were allocated before the freeze.
  [[nodiscard]] Gva buffer() const { return buffer_; }

 private:
  sandbox::Engine engine_;
  sandbox::Program program_;
  VcpuThread thread_;
  std::optional<sandbox::Sandbox> origin_;
  std::optional<sandbox::Image> image_;
  Gva buffer_{};
  RawSandboxImage raw_image_;
};

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_SANDBOX_SIDES_H_
