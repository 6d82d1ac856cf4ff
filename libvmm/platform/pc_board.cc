// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_board.h"

#include <array>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/rtc/cmos_memory_size.h"
#include "libvmm/platform/exit_port_stop.h"

namespace libvmm {

absl::StatusOr<std::unique_ptr<PcBoard>> PcBoard::Create(const Parts& parts) {
  std::unique_ptr<PcBoard> devices(new PcBoard(parts));
  LIBVMM_RETURN_IF_ERROR(devices->CreateAll());
  return devices;
}

absl::Status PcBoard::CreateAll() {
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration ports,
                          parts_.ports.RegisterDefault(floating_));
  registrations_.push_back(std::move(ports));
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration mmio,
                          parts_.mmio.RegisterDefault(floating_));
  registrations_.push_back(std::move(mmio));
  LIBVMM_RETURN_IF_ERROR(CreateSerial());
  LIBVMM_RETURN_IF_ERROR(CreateRtc());
  LIBVMM_RETURN_IF_ERROR(CreatePower());
  return CreateDebug();
}

absl::Status PcBoard::CreateSerial() {
  for (uint32_t i = 0; i < parts_.config.devices.serial_ports; ++i) {
    PcSerialHost& host = parts_.host.serial[i];
    serial_.push_back(std::make_unique<Uart16550a>(Uart16550a::Options{
        .interrupt = SerialLine(kPcSerialPlaces[i].irq),
        .sink = std::move(host.output),
        .receive_ready = std::move(host.input_ready),
    }));
    LIBVMM_RETURN_IF_ERROR(Place(kPcSerialPlaces[i].port,
                                 uart_16550a::kRegisterCount, *serial_[i]));
  }
  return absl::OkStatus();
}

absl::Status PcBoard::CreateRtc() {
  if (!parts_.config.devices.rtc) return absl::OkStatus();
  Mc146818::Options options{
      .interrupt = Line(Mc146818::kIrq),
      .deadline_moved = DeadlineMoved(),
  };
  SetCmosMemorySize({.below_4g = parts_.layout.low_ram.size,
                     .above_4g = parts_.layout.high_ram.size},
                    options.memory);
  rtc_ = std::make_unique<Mc146818>(parts_.clock, std::move(options));
  parts_.deadlines.Add(*rtc_);
  return Place(Mc146818::kPort, Mc146818::kSize, *rtc_);
}

absl::Status PcBoard::CreatePower() {
  StopLatch& stop = parts_.stop;
  acpi_pm_ = std::make_unique<AcpiPm>(
      parts_.clock, AcpiPm::Options{
                        .sci = Line(AcpiPm::kIrq),
                        .sleep =
                            [&stop](uint8_t type) {
                              stop.Set({.reason = type == kPcSoftOffSleepType
                                                      ? PcStopReason::kPowerOff
                                                      : PcStopReason::kSleep,
                                        .code = type,
                                        .source = "ACPI PM1a"});
                            },
                        .deadline_moved = DeadlineMoved(),
                        .always_acpi = true,
                    });
  parts_.deadlines.Add(*acpi_pm_);
  LIBVMM_RETURN_IF_ERROR(Place(kPcPmPort, AcpiPm::kSize, *acpi_pm_));

  reset_control_ = std::make_unique<ResetControl>([&stop](ResetControl::Kind) {
    stop.Set({.reason = PcStopReason::kReset, .source = "port 0xcf9"});
  });
  if (!parts_.config.devices.pci) {
    // Otherwise it lies among PCI's configuration ports.
    LIBVMM_RETURN_IF_ERROR(
        Place(ResetControl::kPort, ResetControl::kSize, *reset_control_));
  }
  system_control_a_ = std::make_unique<SystemControlA>(
      SystemControlA::Options{.reset = [&stop] {
        stop.Set({.reason = PcStopReason::kReset, .source = "port 0x92"});
      }});
  return Place(SystemControlA::kPort, SystemControlA::kSize,
               *system_control_a_);
}

absl::Status PcBoard::CreateDebug() {
  const PcDevices& config = parts_.config.devices;
  if (config.debug_console.has_value()) {
    auto output = std::move(parts_.host.debug_console);
    if (output == nullptr) output = [](std::span<const std::byte>) {};
    debug_console_ = std::make_unique<DebugConsole>(std::move(output));
    LIBVMM_RETURN_IF_ERROR(
        Place(config.debug_console->port, 1, *debug_console_));
  }
  if (config.exit_port) {
    exit_port_ = std::make_unique<ExitPortStop>(parts_.stop);
    LIBVMM_RETURN_IF_ERROR(
        Place(ExitPort::kPort, ExitPort::kSize, *exit_port_));
  }
  return absl::OkStatus();
}

absl::Status PcBoard::Place(uint16_t port, uint16_t size, IoDevice& device) {
  LIBVMM_ASSIGN_OR_RETURN(
      IoRegistration registration,
      parts_.ports.Register({.base = port, .size = size}, device));
  registrations_.push_back(std::move(registration));
  return absl::OkStatus();
}

absl::AnyInvocable<void(bool level)> PcBoard::SerialLine(uint8_t irq) {
  std::unique_ptr<SharedLine>& line =
      serial_lines_[irq == kPcSerialPlaces[0].irq];
  if (line == nullptr) line = std::make_unique<SharedLine>(Line(irq));
  return line->MakeInput();
}

absl::AnyInvocable<void(bool level)> PcBoard::Line(uint32_t gsi) {
  return [&interrupts = parts_.interrupts, gsi](bool level) {
    interrupts.SetLine(gsi, level);
  };
}

absl::AnyInvocable<void()> PcBoard::DeadlineMoved() {
  return [&deadlines = parts_.deadlines] { deadlines.Wake(); };
}

}  // namespace libvmm
