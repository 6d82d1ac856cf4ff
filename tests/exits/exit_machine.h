// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_EXITS_EXIT_MACHINE_H_
#define TESTS_EXITS_EXIT_MACHINE_H_

#include <cstdint>
#include <initializer_list>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm::testing {

// A TestVm with 4 MiB of memory, for guests that need something set up before
// the vCPU exists.
class ExitMachine {
 public:
  static constexpr uint64_t kMemorySize = uint64_t{4} << 20;
  static constexpr uint16_t kEntry = TestVm::kEntry;

  static absl::StatusOr<ExitMachine> Create();

  [[nodiscard]] const Kvm& kvm() const { return test_.kvm(); }
  [[nodiscard]] const Vm& vm() const { return test_.vm(); }
  [[nodiscard]] VmMemory& memory() { return test_.memory(); }
  [[nodiscard]] Vcpu& vcpu() { return *vcpu_; }

  // Machine code, which the guest shows with its disassembly.
  absl::Status Put(uint64_t gpa, std::initializer_list<uint8_t> code);

  // The first starts in real mode at kEntry, the second in 64-bit mode with all
  // of memory and the local APIC's page mapped where they are. Either may be
  // called once; `cpuid` is what KVM supports unless given.
  absl::Status StartReal(const Cpuid* cpuid = nullptr);
  absl::Status StartLong(bool user = false);

  // One exit other than kInterrupted; kDeadline after 10 seconds.
  absl::StatusOr<Exit> Run();
  // The same, and the reason must be `wanted`. kUnimplemented when another one
  // comes: the message says which, as what this KVM does instead.
  absl::StatusOr<Exit> RunTo(ExitReason wanted);

 private:
  explicit ExitMachine(TestVm test) : test_(std::move(test)) {}
  absl::Status MakeVcpu(const Cpuid* cpuid);

  TestVm test_;
  std::unique_ptr<Vcpu> vcpu_;
};

// kInternal unless `right`.
absl::Status IsRight(bool right, const char* what);

}  // namespace libvmm::testing

#endif  // TESTS_EXITS_EXIT_MACHINE_H_
