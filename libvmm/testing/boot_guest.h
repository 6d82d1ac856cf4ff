// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_BOOT_GUEST_H_
#define LIBVMM_TESTING_BOOT_GUEST_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm::testing {

// A VM for tests that say themselves how the vCPU starts: 2 MiB of memory at 0,
// one vCPU in its reset state with the supported CPUID.
//
// Thread-safety: thread-compatible.
// Ownership: owns all of it.
class BootGuest {
 public:
  static constexpr uint64_t kMemorySize = uint64_t{2} << 20;
  // Guests report through this port.
  static constexpr uint16_t kPort = 0xf4;

  static absl::StatusOr<BootGuest> Create();

  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  [[nodiscard]] Vcpu& vcpu() { return *vcpu_; }

  // Writes machine code; the test shows it with its disassembly.
  void Put(Gpa gpa, std::initializer_list<uint8_t> code);
  // The 64-bit word at `gpa`; aborts outside memory.
  [[nodiscard]] uint64_t Word(Gpa gpa) const;

  // Runs until the guest writes to kPort and returns the byte; nothing when it
  // exits in any other way, with the reason in last_exit().
  std::optional<uint8_t> RunToPort();
  [[nodiscard]] ExitReason last_exit() const { return last_exit_; }

 private:
  BootGuest() = default;

  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<Vm> vm_;
  std::unique_ptr<MemorySlot> slot_;
  std::unique_ptr<Vcpu> vcpu_;
  ExitReason last_exit_{};
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_BOOT_GUEST_H_
