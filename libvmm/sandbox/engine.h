// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ENGINE_H_
#define LIBVMM_SANDBOX_ENGINE_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/sandbox/runtime/runtime_image.h"
#include "libvmm/sandbox/runtime/syscall_entry.h"

namespace libvmm::sandbox {

// What all sandboxes of a host have in common: KVM, and what was found out about
// it once. Made at start-up.
//
//   LIBVMM_ASSIGN_OR_RETURN(const Engine engine, Engine::Open());
//   LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox,
//                           Sandbox::Create(engine, program, {}));
//
// Thread-safety: immutable; sandboxes may be made of it on any thread.
// Ownership: a handle that shares what it stands for with its copies; owns the
//     Kvm.
// Errors: kUnimplemented when this KVM cannot run code in ring 3 at all; the
//     message says what came instead.
// Cost: Create asks KVM for its CPUID (up to 0.6 ms) and runs a small VM (up to
//     1 ms) to see where SYSCALL leads. A copy is one atomic increment.
class Engine {
 public:
  static absl::StatusOr<Engine> Create(Kvm kvm);
  // With /dev/kvm.
  static absl::StatusOr<Engine> Open();

  [[nodiscard]] const Kvm& kvm() const;
  // What programs find: the host's features as far as KVM gives them to guests,
  // without virtualization, performance counters, the hypervisor's own leaves,
  // and vector state beyond AVX-512.
  [[nodiscard]] const Cpuid& cpuid() const;
  [[nodiscard]] const RuntimeCpu& cpu() const;
  [[nodiscard]] SyscallEntry syscall_entry() const;

 private:
  struct Facts;

  explicit Engine(std::shared_ptr<const Facts> facts)
      : facts_(std::move(facts)) {}

  std::shared_ptr<const Facts> facts_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ENGINE_H_
