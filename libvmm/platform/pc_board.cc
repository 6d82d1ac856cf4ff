// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_board.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/panic/pvpanic_registers.h"
#include "libvmm/devices/pci/host_bridge.h"
#include "libvmm/devices/rtc/cmos_memory_size.h"
#include "libvmm/devices/testdev/pc_testdev_registers.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/system_control_port_b.h"
#include "libvmm/platform/exit_port_stop.h"
#include "libvmm/platform/pc_firmware.h"

namespace libvmm {

namespace {

// Whether KVM answers this port itself, so that no exit comes.
bool InKernel(PcIrqChip irqchip, uint16_t port) {
  if (irqchip != PcIrqChip::kInKernel) return false;
  struct Range {
    uint32_t base;
    uint32_t size;
  };
  return std::ranges::any_of(
      std::array{
          Range{pic_8259a::kMasterPort, pic_8259a::kRegisterCount},
          Range{pic_8259a::kSlavePort, pic_8259a::kRegisterCount},
          Range{pic_8259a::kElcrPort, pic_8259a::kElcrCount},
          Range{pit_8254::kPort, pit_8254::kRegisterCount},
          Range{system_control_port_b::kPort, 1},
      },
      [port](const Range& range) {
        return port >= range.base && port - range.base < range.size;
      });
}

}  // namespace

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
  LIBVMM_RETURN_IF_ERROR(CreateKeyboard());
  LIBVMM_RETURN_IF_ERROR(CreatePanic());
  LIBVMM_RETURN_IF_ERROR(CreateDebug());
  LIBVMM_RETURN_IF_ERROR(CreateTestDevice());
  LIBVMM_RETURN_IF_ERROR(CreateFwCfg());
  return CreatePci();
}

absl::Status PcBoard::CreateSerial() {
  for (uint32_t i = 0; i < parts_.config.devices.serial_ports; ++i) {
    PcSerialHost& host = parts_.host.serial[i];
    serial_.push_back(std::make_unique<Uart16550a>(Uart16550a::Options{
        .interrupt = Line(kPcSerialPlaces[i].irq),
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

absl::Status PcBoard::CreateKeyboard() {
  if (!parts_.config.devices.keyboard) return absl::OkStatus();
  StopLatch& stop = parts_.stop;
  keyboard_ = std::make_unique<I8042>(I8042::Options{
      .interrupt = Line(I8042::kIrq),
      .reset =
          [&stop] {
            stop.Set({.reason = PcStopReason::kReset, .source = "i8042"});
          },
  });
  LIBVMM_RETURN_IF_ERROR(
      Place(I8042::kDataPort, I8042::kPortSize, keyboard_->data_port()));
  return Place(I8042::kCommandPort, I8042::kPortSize,
               keyboard_->command_port());
}

absl::Status PcBoard::CreatePanic() {
  if (!parts_.config.devices.pvpanic) return absl::OkStatus();
  StopLatch& stop = parts_.stop;
  pvpanic_ = std::make_unique<Pvpanic>(
      Pvpanic::Options{.report = [&stop](uint8_t events) {
        // A crash kernel has taken over: the machine goes on.
        if (!pvpanic::EventPanicked::Get(events)) return;
        stop.Set({.reason = PcStopReason::kPanic,
                  .code = events,
                  .source = "pvpanic"});
      }});
  return Place(Pvpanic::kPort, Pvpanic::kSize, *pvpanic_);
}

absl::Status PcBoard::CreateDebug() {
  const PcDevices& config = parts_.config.devices;
  if (config.debug_console.has_value()) {
    auto output = std::move(parts_.host.debug_console);
    if (output == nullptr) output = [](std::span<const std::byte>) {};
    debug_console_ = std::make_unique<DebugConsole>(std::move(output));
    const uint16_t port = config.debug_console->port;
    const absl::Status placed = InKernel(parts_.config.irqchip, port)
                                    ? absl::AlreadyExistsError(
                                          "KVM's interrupt controllers and "
                                          "timer are there")
                                    : Place(port, 1, *debug_console_);
    if (!placed.ok()) {
      return absl::Status(placed.code(),
                          absl::StrCat("devices.debug_console.port is ", port,
                                       ": ", placed.message()));
    }
  }
  if (config.exit_port) {
    exit_port_ = std::make_unique<ExitPortStop>(parts_.stop);
    LIBVMM_RETURN_IF_ERROR(
        Place(ExitPort::kPort, ExitPort::kSize, *exit_port_));
  }
  return absl::OkStatus();
}

absl::Status PcBoard::CreateTestDevice() {
  if (!parts_.config.devices.test_device) return absl::OkStatus();
  for (uint32_t gsi = 0; gsi < pc_testdev::kIrqCount; ++gsi) {
    test_lines_.push_back(Line(gsi));
  }
  test_device_ = std::make_unique<PcTestdev>(PcTestdev::Options{
      .irq = [this](uint8_t line, bool level) { test_lines_[line](level); }});
  LIBVMM_RETURN_IF_ERROR(Place(pc_testdev::kScratchPort,
                               pc_testdev::kScratchSize,
                               test_device_->scratch()));
  LIBVMM_RETURN_IF_ERROR(Place(pc_testdev::kByteScratchPort,
                               pc_testdev::kScratchSize,
                               test_device_->scratch()));
  LIBVMM_RETURN_IF_ERROR(Place(pc_testdev::kFlushPort, pc_testdev::kFlushSize,
                               test_device_->flush()));
  LIBVMM_RETURN_IF_ERROR(
      Place(pc_testdev::kIrqPort, pc_testdev::kIrqCount, test_device_->irqs()));
  return PlaceInMemory(
      {Gpa(pc_testdev::kMemoryAddress), pc_testdev::kMemorySize},
      test_device_->memory());
}

absl::Status PcBoard::CreateFwCfg() {
  if (!parts_.config.devices.fw_cfg) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(FwCfgItems items,
                          PcFwCfgItems(parts_.config, parts_.layout));
  fw_cfg_ = std::make_unique<FwCfg>(std::move(items), &parts_.memory);
  return Place(FwCfg::kPort, FwCfg::kSize, *fw_cfg_);
}

absl::Status PcBoard::CreatePci() {
  if (!parts_.config.devices.pci) return absl::OkStatus();
  PciBus::Options options{.io_windows = {kPcPciPorts}};
  for (const GpaRange& window : {PcLayout::kPciWindow, PcLayout::kPciWindowHigh,
                                 parts_.layout.pci_window_64}) {
    if (window.size == 0) continue;
    options.memory_windows.push_back(
        {.base = window.start.value(), .size = window.size});
  }
  LIBVMM_ASSIGN_OR_RETURN(
      pci_bus_, PciBus::Create({.mmio = parts_.mmio, .pio = parts_.ports},
                               std::move(options)));
  // SeaBIOS goes by the chipset; Linux needs none.
  const bool firmware =
      std::holds_alternative<PcFirmwareBoot>(parts_.config.boot);
  LIBVMM_ASSIGN_OR_RETURN(host_bridge_,
                          PciFunction::Create(PciHostBridge(
                              firmware ? PciHostBridgeModel::k440Fx
                                       : PciHostBridgeModel::kGeneric)));
  LIBVMM_ASSIGN_OR_RETURN(host_bridge_place_,
                          pci_bus_->Attach({}, *host_bridge_));
  config_ports_ = std::make_unique<PciConfigPorts>(
      *pci_bus_,
      PciConfigPorts::Options{.reset_control = reset_control_.get()});
  LIBVMM_RETURN_IF_ERROR(
      Place(PciConfigPorts::kPort, PciConfigPorts::kSize, *config_ports_));
  ecam_ = std::make_unique<PciEcam>(*pci_bus_);
  return PlaceInMemory(PcLayout::kEcam, *ecam_);
}

absl::Status PcBoard::Place(uint16_t port, uint16_t size, IoDevice& device) {
  LIBVMM_ASSIGN_OR_RETURN(
      IoRegistration registration,
      parts_.ports.Register({.base = port, .size = size}, device));
  registrations_.push_back(std::move(registration));
  return absl::OkStatus();
}

absl::Status PcBoard::PlaceInMemory(const GpaRange& range, IoDevice& device) {
  LIBVMM_ASSIGN_OR_RETURN(
      IoRegistration registration,
      parts_.mmio.Register({.base = range.start.value(), .size = range.size},
                           device));
  registrations_.push_back(std::move(registration));
  return absl::OkStatus();
}

absl::AnyInvocable<void(bool level)> PcBoard::Line(uint32_t gsi) {
  std::unique_ptr<SharedLine>& line = lines_[gsi];
  if (line == nullptr) {
    line = std::make_unique<SharedLine>(
        [&interrupts = parts_.interrupts, gsi](bool level) {
          interrupts.SetLine(gsi, level);
        });
  }
  return line->MakeInput();
}

absl::AnyInvocable<void(bool level)> PcBoard::PciLine(uint8_t device) {
  const std::span<const uint32_t> gsis =
      parts_.config.irqchip == PcIrqChip::kNone ? std::span(kPcPciIrqs)
                                                : std::span(kPcPciGsis);
  // As SwizzledPciRoutes has it for pin A.
  return Line(gsis[device % gsis.size()]);
}

absl::AnyInvocable<void()> PcBoard::DeadlineMoved() {
  return [&deadlines = parts_.deadlines] { deadlines.Wake(); };
}

}  // namespace libvmm
