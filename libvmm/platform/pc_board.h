// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_BOARD_H_
#define LIBVMM_PLATFORM_PC_BOARD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/debug_console.h"
#include "libvmm/devices/exit_port.h"
#include "libvmm/devices/floating_bus.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/devices/power/acpi_pm.h"
#include "libvmm/devices/power/reset_control.h"
#include "libvmm/devices/power/system_control_a.h"
#include "libvmm/devices/rtc/mc146818.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/platform/deadline_source.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_host.h"
#include "libvmm/platform/pc_interrupts.h"
#include "libvmm/platform/pc_layout.h"
#include "libvmm/platform/shared_line.h"
#include "libvmm/platform/stop_latch.h"

namespace libvmm {

// Where a PC's serial ports are.
struct PcSerialPlace {
  uint16_t port = 0;
  uint8_t irq = 0;
};
inline constexpr PcSerialPlace kPcSerialPlaces[] = {
    {.port = 0x3f8, .irq = 4},
    {.port = 0x2f8, .irq = 3},
    {.port = 0x3e8, .irq = 4},
    {.port = 0x2e8, .irq = 3},
};
// Where the power management registers, and the panic notifier, are.
inline constexpr uint16_t kPcPmPort = 0x600;
inline constexpr uint16_t kPcPvpanicPort = 0x505;
// What SLP_TYP is for soft off: _S5 of the tables says it too.
inline constexpr uint8_t kPcSoftOffSleepType = 5;
// Where the interrupt pins of PCI devices lead.
inline constexpr uint32_t kPcPciGsis[] = {16, 17, 18, 19};

// The devices of a PC that PcConfig names, and those that every PC has, in their
// places on the buses and wired to interrupts, deadlines and the stop latch.
//
// Thread-safety: as the devices.
// Ownership: owns devices and registrations; refers to everything it is given,
//     which must outlive it.
// Errors: of Create.
// Cost: some KiB of heap.
class PcBoard {
 public:
  struct Parts {
    const PcConfig& config;
    const PcLayout& layout;
    // Its callbacks for devices are moved out of it.
    PcHost& host;
    const Clock& clock;
    IoBus& ports;
    IoBus& mmio;
    GuestMemory& memory;
    PcInterrupts& interrupts;
    DeadlineSource& deadlines;
    StopLatch& stop;
  };

  // kAlreadyExists when the places of two devices collide, as a debug console
  // at another device's port does.
  static absl::StatusOr<std::unique_ptr<PcBoard>> Create(const Parts& parts);
  PcBoard(const PcBoard&) = delete;
  PcBoard& operator=(const PcBoard&) = delete;

  // Null when the machine has fewer.
  [[nodiscard]] Uart16550a* serial(uint32_t index) {
    return index < serial_.size() ? serial_[index].get() : nullptr;
  }
  [[nodiscard]] AcpiPm& acpi_pm() { return *acpi_pm_; }

 private:
  explicit PcBoard(const Parts& parts) : parts_(parts) {}

  absl::Status CreateAll();
  absl::Status CreateSerial();
  absl::Status CreateRtc();
  absl::Status CreatePower();
  absl::Status CreateDebug();
  absl::Status Place(uint16_t port, uint16_t size, IoDevice& device);
  absl::AnyInvocable<void(bool level)> Line(uint32_t gsi);
  absl::AnyInvocable<void(bool level)> SerialLine(uint8_t irq);
  absl::AnyInvocable<void()> DeadlineMoved();

  Parts parts_;
  FloatingBus floating_;
  // IRQ 3 and IRQ 4, two ports each.
  std::array<std::unique_ptr<SharedLine>, 2> serial_lines_;
  std::vector<std::unique_ptr<Uart16550a>> serial_;
  std::unique_ptr<Mc146818> rtc_;
  std::unique_ptr<AcpiPm> acpi_pm_;
  std::unique_ptr<ResetControl> reset_control_;
  std::unique_ptr<SystemControlA> system_control_a_;
  std::unique_ptr<DebugConsole> debug_console_;
  std::unique_ptr<IoDevice> exit_port_;
  // Last, so that devices leave the buses before they go.
  std::vector<IoRegistration> registrations_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_BOARD_H_
