// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_H_
#define LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/system_control_a_registers.h"

namespace libvmm {

// The PS/2's system control port A (system_control_a_registers.h): the fast
// ways to reset the processor and to open the A20 gate. KVM's address line 20
// always works, so the gate is open at first; what the guest makes of it is
// kept and told, and nothing more.
//
// A rise of the reset bit asks for a reset. Other bits read zero. One byte at
// offset 0; behind it is all ones.
//
// Thread-safety: thread-safe. Each callback may run on several threads at once.
// Ownership: owns the callbacks. Must outlive its IoRegistration.
// Errors: only Restore can fail.
// Cost: an atomic operation; no lock.
class SystemControlA final : public IoDevice {
 public:
  static constexpr uint16_t kPort = 0x92;
  static constexpr uint16_t kSize = 1;

  struct Options {
    // On the vCPU's thread, within the access, which then answers kStop.
    absl::AnyInvocable<void()> reset = nullptr;
    // The gate has changed; before reset, if both.
    absl::AnyInvocable<void(bool open)> a20 = nullptr;
  };

  explicit SystemControlA(Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // As at first. The a20 callback does not run.
  void Reset();

  // The register, which is all that there is.
  [[nodiscard]] uint8_t Save() const;

  // No callback runs. kInvalidArgument when a bit is set that the register does
  // not have; nothing has changed then.
  [[nodiscard]] absl::Status Restore(uint8_t value);

 private:
  Options callbacks_;
  std::atomic<uint8_t> value_{system_control_a::A20Gate::kMask};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_H_
