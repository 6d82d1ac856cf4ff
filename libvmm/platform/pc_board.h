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
#include "libvmm/devices/fw_cfg/fw_cfg.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/devices/keyboard/i8042.h"
#include "libvmm/devices/panic/pvpanic.h"
#include "libvmm/devices/pci/config_ports.h"
#include "libvmm/devices/pci/ecam.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/devices/power/acpi_pm.h"
#include "libvmm/devices/power/reset_control.h"
#include "libvmm/devices/power/system_control_a.h"
#include "libvmm/devices/rtc/mc146818.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/devices/testdev/pc_testdev.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/platform/deadline_source.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_host.h"
#include "libvmm/platform/pc_interrupts.h"
#include "libvmm/platform/pc_layout.h"
#include "libvmm/platform/pc_places.h"
#include "libvmm/platform/shared_line.h"
#include "libvmm/platform/stop_latch.h"

namespace libvmm {

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
  // Null when the machine has none.
  [[nodiscard]] Mc146818* rtc() { return rtc_.get(); }
  [[nodiscard]] I8042* keyboard() { return keyboard_.get(); }
  [[nodiscard]] PciBus* pci() { return pci_bus_.get(); }

  // One more driver of the line that INTA# of a device of PCI bus 0 leads to.
  [[nodiscard]] absl::AnyInvocable<void(bool level)> PciLine(uint8_t device);

 private:
  explicit PcBoard(const Parts& parts) : parts_(parts) {}

  absl::Status CreateAll();
  absl::Status CreateSerial();
  absl::Status CreateRtc();
  absl::Status CreatePower();
  absl::Status CreateKeyboard();
  absl::Status CreatePanic();
  absl::Status CreateDebug();
  absl::Status CreateTestDevice();
  absl::Status CreatePci();
  absl::Status CreateFwCfg();
  absl::Status Place(uint16_t port, uint16_t size, IoDevice& device);
  absl::Status PlaceInMemory(const GpaRange& range, IoDevice& device);
  // One more driver of an interrupt line.
  absl::AnyInvocable<void(bool level)> Line(uint32_t gsi);
  absl::AnyInvocable<void()> DeadlineMoved();

  Parts parts_;
  FloatingBus floating_;
  // By GSI, of those that have a driver here.
  std::array<std::unique_ptr<SharedLine>, kPcGsiCount> lines_;
  std::vector<std::unique_ptr<Uart16550a>> serial_;
  std::unique_ptr<Mc146818> rtc_;
  std::unique_ptr<AcpiPm> acpi_pm_;
  std::unique_ptr<ResetControl> reset_control_;
  std::unique_ptr<SystemControlA> system_control_a_;
  std::unique_ptr<I8042> keyboard_;
  std::unique_ptr<Pvpanic> pvpanic_;
  std::unique_ptr<DebugConsole> debug_console_;
  std::unique_ptr<IoDevice> exit_port_;
  std::vector<absl::AnyInvocable<void(bool level)>> test_lines_;
  std::unique_ptr<PcTestdev> test_device_;
  std::unique_ptr<FwCfg> fw_cfg_;
  std::unique_ptr<PciBus> pci_bus_;
  std::unique_ptr<PciFunction> host_bridge_;
  PciAttachment host_bridge_place_;
  std::unique_ptr<PciConfigPorts> config_ports_;
  std::unique_ptr<PciEcam> ecam_;
  // Last, so that devices leave the buses before they go.
  std::vector<IoRegistration> registrations_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_BOARD_H_
