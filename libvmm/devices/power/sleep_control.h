// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_SLEEP_CONTROL_H_
#define LIBVMM_DEVICES_POWER_SLEEP_CONTROL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/sleep_control_registers.h"

namespace libvmm {

// All that a SleepControl remembers.
//
// Thread-safety: thread-compatible value.
struct SleepControlState {
  // The sleep control register without SLP_EN.
  uint8_t control = 0;
  // The sleep status register.
  uint8_t status = 0;

  friend bool operator==(const SleepControlState&,
                         const SleepControlState&) = default;
};

// How a guest of a hardware-reduced ACPI platform sleeps and powers off: the
// sleep control and status registers (ACPI 6.4, section 4.8.3.7), two bytes in
// ports or memory, which FADT points at one by one (sleep_control_registers.h).
//
// A wider access is one of bytes in a row. Behind the two is all ones.
//
// Thread-safety: thread-safe. The callback may run on several threads at once.
// Ownership: owns the callback. Must outlive its IoRegistration.
// Errors: only Restore can fail.
// Cost: an atomic operation or two; no lock.
class SleepControl final : public IoDevice {
 public:
  static constexpr uint16_t kSize = sleep_control::kRegisterCount;

  // `sleep`: the guest has written SLP_EN with this SLP_TYP (0 to 7), on the
  // vCPU's thread, within the access, which then answers kStop. May be null.
  explicit SleepControl(absl::AnyInvocable<void(uint8_t type)> sleep);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // The machine comes out of a sleep state: sets WAK_STS.
  void Wake();

  // As after power-on.
  void Reset();

  [[nodiscard]] SleepControlState Save() const;

  // kInvalidArgument when a bit is set that the registers do not have; nothing
  // has changed then.
  [[nodiscard]] absl::Status Restore(const SleepControlState& state);

 private:
  absl::AnyInvocable<void(uint8_t)> sleep_;
  std::atomic<uint8_t> control_{0};
  std::atomic<uint8_t> status_{0};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_POWER_SLEEP_CONTROL_H_
