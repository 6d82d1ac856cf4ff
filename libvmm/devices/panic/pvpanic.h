// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PANIC_PVPANIC_H_
#define LIBVMM_DEVICES_PANIC_PVPANIC_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/panic/pvpanic_registers.h"

namespace libvmm {

// How a guest's kernel says that it has panicked: QEMU's pvpanic device
// (pvpanic_registers.h), a byte among the ports, or in memory as its PCI
// variant has it. It has no state. A guest finds it by ACPI: _HID QEMU0001.
//
// An access wider than a byte does what its first byte does; the rest reads all
// ones.
//
// Thread-safety: thread-safe. The callback may run on several threads at once.
// Ownership: owns the callback. Must outlive its IoRegistration.
// Errors: none.
// Cost: no lock.
class Pvpanic final : public IoDevice {
 public:
  static constexpr uint16_t kPort = 0x505;
  static constexpr uint16_t kSize = 1;

  struct Options {
    // The guest reports these events, at least one of `events`. On the vCPU's
    // thread, within the access, which answers kStop if EventPanicked or
    // EventShutdown is among them.
    absl::AnyInvocable<void(uint8_t events)> report = nullptr;
    // The pvpanic::kEvents that the device knows, others ignored.
    uint8_t events = pvpanic::kDefaultEvents;
  };

  explicit Pvpanic(Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  const uint8_t events_;
  absl::AnyInvocable<void(uint8_t)> report_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PANIC_PVPANIC_H_
