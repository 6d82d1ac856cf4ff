// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_RESET_CONTROL_H_
#define LIBVMM_DEVICES_POWER_RESET_CONTROL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/reset_control_registers.h"

namespace libvmm {

// How a PC's guest resets the machine, and what FADT's RESET_REG can name: the
// chipset's reset control register (reset_control_registers.h), a byte among
// the ports of PCI's configuration mechanism. That one takes double words at
// 0xcf8; give it the bytes and pass those of 0xcf9 on to this device.
//
// A reset is a rise of RST_CPU, whatever the other bits were before; FULL_RST
// counts only with SYS_RST. The register keeps what was written until Reset.
//
// One byte at offset 0. Anything else reads all ones, and is dropped.
//
// Thread-safety: thread-safe. The callback may run on several threads at once.
// Ownership: owns the callback. Must outlive its IoRegistration.
// Errors: only Restore can fail.
// Cost: an atomic operation; no lock.
class ResetControl final : public IoDevice {
 public:
  static constexpr uint16_t kPort = 0xcf9;
  static constexpr uint16_t kSize = 1;

  enum class Kind : uint8_t {
    kSoft,        // INIT of the processors.
    kHard,        // Of the whole machine.
    kPowerCycle,  // As kHard, with power off and on.
  };

  // `reset` runs on the vCPU's thread, within the access, which then answers
  // kStop. May be null.
  explicit ResetControl(absl::AnyInvocable<void(Kind kind)> reset);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // As after power-on.
  void Reset();

  // The register, which is all that there is.
  [[nodiscard]] uint8_t Save() const;

  // kInvalidArgument when a bit is set that the register does not have; nothing
  // has changed then.
  [[nodiscard]] absl::Status Restore(uint8_t value);

 private:
  absl::AnyInvocable<void(Kind)> reset_;
  std::atomic<uint8_t> value_{0};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_POWER_RESET_CONTROL_H_
