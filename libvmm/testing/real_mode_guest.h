// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_REAL_MODE_GUEST_H_
#define LIBVMM_TESTING_REAL_MODE_GUEST_H_

#include <cstdint>
#include <initializer_list>
#include <memory>

#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

namespace libvmm::testing {

// A VM for tests: 64 KiB of memory at 0, and vCPUs that start in real mode at
// 0000:1000 with all segments 0 and the stack at 0x8000. The code is bytes that
// the test shows with its disassembly. MMIO is anything at 0x10000 and above.
//
// Thread-safety: thread-compatible.
// Ownership: owns all of it; `memory()` may be read and written while it runs.
class RealModeGuest {
 public:
  static constexpr uint16_t kEntry = 0x1000;
  static constexpr size_t kMemorySize = 0x10000;

  static absl::StatusOr<RealModeGuest> Create(
      std::initializer_list<uint8_t> code);

  [[nodiscard]] const Kvm& kvm() const { return *kvm_; }
  [[nodiscard]] Vm& vm() { return *vm_; }
  // The first vCPU, id 0.
  [[nodiscard]] Vcpu& vcpu() { return *vcpu_; }
  [[nodiscard]] uint8_t* memory() {
    return reinterpret_cast<uint8_t*>(memory_.data());
  }

  // One more vCPU with the same start state.
  absl::StatusOr<Vcpu> MakeVcpu(uint32_t id);

 private:
  RealModeGuest() = default;

  // Declared so that the VM ends before its memory.
  Mapping memory_;
  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<Vcpu> vcpu_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_REAL_MODE_GUEST_H_
