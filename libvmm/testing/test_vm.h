// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_TEST_VM_H_
#define LIBVMM_TESTING_TEST_VM_H_

#include <cstdint>
#include <initializer_list>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"

namespace libvmm::testing {

// A VM for tests of what must be set up before the first vCPU: it has neither
// memory nor vCPU until asked. RealModeGuest is the simpler one.
//
// Thread-safety: thread-compatible.
// Ownership: owns the VM and its memory.
class TestVm {
 public:
  static constexpr uint16_t kEntry = 0x1000;

  static absl::StatusOr<TestVm> Create();

  [[nodiscard]] const Kvm& kvm() const { return *kvm_; }
  [[nodiscard]] const Vm& vm() const { return *vm_; }
  // Without regions at first.
  [[nodiscard]] VmMemory& memory() { return *memory_; }
  [[nodiscard]] GuestMemory& guest() { return memory_->guest_memory(); }

  // Anonymous memory at `gpa`.
  absl::Status AddRam(Gpa gpa, uint64_t size);
  // 64 KiB at 0 with `code` at kEntry.
  absl::Status AddRamWithCode(std::initializer_list<uint8_t> code);

  // A vCPU that starts in real mode at 0000:kEntry, all segments 0, stack at
  // 0x8000.
  absl::StatusOr<Vcpu> MakeVcpu(uint32_t id = 0);

 private:
  TestVm() = default;

  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<VmMemory> memory_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_TEST_VM_H_
