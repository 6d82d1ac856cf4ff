// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/fadt.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/acpi/fadt_fields.h"

namespace libvmm {
namespace {

absl::Status CheckByteRegister(absl::string_view name,
                               const AcpiRegister& reg) {
  LIBVMM_RETURN_IF_ERROR(reg.Validate(name));
  if (reg.size == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("ACPI ", name, " size is ", reg.size, ", expected 1 byte"));
}

// The address as a table of version 1 has it: zero when it is too high.
uint32_t NarrowAddress(Gpa gpa) {
  return gpa.value() <= std::numeric_limits<uint32_t>::max()
             ? static_cast<uint32_t>(gpa.value())
             : 0;
}

uint32_t Flags(const FadtConfig& config) {
  const auto* fixed = std::get_if<AcpiFixedHardware>(&config.hardware);
  uint32_t flags =
      fadt::Wbinvd::kMask | fadt::ProcC1::kMask | fadt::FixRtc::kMask;
  flags |= fadt::ResetRegSup::Of(config.reset.has_value());
  flags |= fadt::ForceApicPhysicalDestinationMode::Of(
      config.apic_physical_destination);
  flags |= fadt::HwReducedAcpi::Of(fixed == nullptr);
  flags |= fadt::PwrButton::Of(fixed == nullptr || !fixed->power_button);
  flags |= fadt::SlpButton::Of(fixed == nullptr || !fixed->sleep_button);
  flags |= fadt::TmrValExt::Of(fixed != nullptr && fixed->pm_timer_32_bit);
  return flags;
}

uint16_t BootFlags(const FadtConfig& config) {
  return fadt::LegacyDevices::Of(config.legacy_devices) |
         fadt::I8042::Of(config.i8042) | fadt::VgaNotPresent::Of(!config.vga) |
         fadt::CmosRtcNotPresent::Of(!config.cmos_rtc);
}

constexpr size_t kRegisterSize = 12;

// All zeros where there is none.
void AppendOptional(TableBytes& bytes, const std::optional<AcpiRegister>& reg) {
  if (reg.has_value()) {
    AppendAcpiRegister(bytes, *reg);
  } else {
    bytes.Zeros(kRegisterSize);
  }
}

// The register blocks of the fixed hardware, none of them with reduced
// hardware.
struct Blocks {
  std::optional<AcpiRegister> pm1a_event;
  std::optional<AcpiRegister> pm1a_control;
  std::optional<AcpiRegister> pm_timer;
  std::optional<AcpiFixedHardware::Gpe0> gpe0;
  AcpiFixedHardware::SmiCommand smi{.port = 0};  // zeros: none
};

Blocks BlocksOf(const FadtConfig& config) {
  const auto* fixed = std::get_if<AcpiFixedHardware>(&config.hardware);
  if (fixed == nullptr) return {};
  Blocks blocks;
  blocks.pm1a_event =
      AcpiRegister::Port(fixed->pm1a_event, fadt::kPm1EventSize);
  blocks.pm1a_event->access = fadt::kPm1EventAccess;
  blocks.pm1a_control =
      AcpiRegister::Port(fixed->pm1a_control, fadt::kPm1ControlSize);
  if (fixed->pm_timer.has_value()) {
    blocks.pm_timer = AcpiRegister::Port(*fixed->pm_timer, fadt::kPmTimerSize);
  }
  blocks.gpe0 = fixed->gpe0;
  if (fixed->smi.has_value()) blocks.smi = *fixed->smi;
  return blocks;
}

uint32_t PortOf(const std::optional<AcpiRegister>& reg) {
  return reg.has_value() ? static_cast<uint32_t>(reg->address) : 0;
}

uint8_t SizeOf(const std::optional<AcpiRegister>& reg) {
  return reg.has_value() ? reg->size : uint8_t{0};
}

}  // namespace

absl::Status FadtConfig::Validate() const {
  if (reset.has_value()) {
    LIBVMM_RETURN_IF_ERROR(CheckByteRegister("reset register", reset->reg));
  }
  if (const auto* fixed = std::get_if<AcpiFixedHardware>(&hardware);
      fixed != nullptr && fixed->gpe0.has_value() &&
      (fixed->gpe0->size == 0 || fixed->gpe0->size % 2 != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("ACPI gpe0 size is ", fixed->gpe0->size,
                     ", expected an even number of bytes"));
  }
  if (const auto* reduced = std::get_if<AcpiReducedHardware>(&hardware)) {
    LIBVMM_RETURN_IF_ERROR(
        CheckByteRegister("sleep_control", reduced->sleep_control));
    LIBVMM_RETURN_IF_ERROR(
        CheckByteRegister("sleep_status", reduced->sleep_status));
  }
  return absl::OkStatus();
}

std::vector<std::byte> MakeFadt(const AcpiIdentity& identity,
                                const FadtConfig& config,
                                const FadtPointers& pointers) {
  const auto* fixed = std::get_if<AcpiFixedHardware>(&config.hardware);
  const auto* reduced = std::get_if<AcpiReducedHardware>(&config.hardware);
  const Blocks blocks = BlocksOf(config);
  const auto gpe0 =
      blocks.gpe0.value_or(AcpiFixedHardware::Gpe0{.port = 0, .size = 0});
  const uint32_t facs = NarrowAddress(pointers.facs);

  // Names as in table 5.9, in capitals and lower case as there.
  TableBytes body;
  body.U32(facs);                                // FIRMWARE_CTRL
  body.U32(NarrowAddress(pointers.dsdt));        // DSDT
  body.U8(0);                                    // Reserved
  body.U8(0);                                    // Preferred_PM_Profile
  body.U16(fixed != nullptr ? fixed->sci : 0);   // SCI_INT
  body.U32(blocks.smi.port);                     // SMI_CMD
  body.U8(blocks.smi.acpi_enable);               // ACPI_ENABLE
  body.U8(blocks.smi.acpi_disable);              // ACPI_DISABLE
  body.U8(0).U8(0);                              // S4BIOS_REQ, PSTATE_CNT
  body.U32(PortOf(blocks.pm1a_event)).U32(0);    // PM1a_EVT_BLK, PM1b_EVT_BLK
  body.U32(PortOf(blocks.pm1a_control)).U32(0);  // PM1a_CNT_BLK, PM1b_CNT_BLK
  body.U32(0);                                   // PM2_CNT_BLK
  body.U32(PortOf(blocks.pm_timer));             // PM_TMR_BLK
  body.U32(gpe0.port).U32(0);                    // GPE0_BLK, GPE1_BLK
  body.U8(SizeOf(blocks.pm1a_event));            // PM1_EVT_LEN
  body.U8(SizeOf(blocks.pm1a_control));          // PM1_CNT_LEN
  body.U8(0);                                    // PM2_CNT_LEN
  body.U8(SizeOf(blocks.pm_timer));              // PM_TMR_LEN
  body.U8(gpe0.size).U8(0).U8(0);  // GPE0_, GPE1_BLK_LEN, GPE1_BASE
  body.U8(0);                      // CST_CNT
  body.U16(fadt::kNoC2Latency);    // P_LVL2_LAT
  body.U16(fadt::kNoC3Latency);    // P_LVL3_LAT
  body.U16(0).U16(0);              // FLUSH_SIZE, FLUSH_STRIDE
  body.U8(0).U8(0);                // DUTY_OFFSET, DUTY_WIDTH
  body.U8(0).U8(0);                // DAY_ALRM, MON_ALRM
  body.U8(config.cmos_rtc ? fadt::kCenturyIndex : 0);  // CENTURY
  body.U16(BootFlags(config));                         // IAPC_BOOT_ARCH
  body.U8(0);                                          // Reserved
  body.U32(Flags(config));                             // Flags
  AppendOptional(body, config.reset.has_value()
                           ? std::optional(config.reset->reg)
                           : std::nullopt);         // RESET_REG
  body.U8(config.reset ? config.reset->value : 0);  // RESET_VALUE
  body.U16(0);                                      // ARM_BOOT_ARCH
  body.U8(fadt::kMinorVersion);                     // FADT Minor Version
  body.U64(facs != 0 ? 0 : pointers.facs.value());  // X_FIRMWARE_CTRL
  body.U64(pointers.dsdt.value());                  // X_DSDT
  AppendOptional(body, blocks.pm1a_event);          // X_PM1a_EVT_BLK
  AppendOptional(body, {});                         // X_PM1b_EVT_BLK
  AppendOptional(body, blocks.pm1a_control);        // X_PM1a_CNT_BLK
  AppendOptional(body, {});                         // X_PM1b_CNT_BLK
  AppendOptional(body, {});                         // X_PM2_CNT_BLK
  AppendOptional(body, blocks.pm_timer);            // X_PM_TMR_BLK
  AppendOptional(body, {});  // X_GPE0_BLK: the narrow field does
  AppendOptional(body, {});  // X_GPE1_BLK
  AppendOptional(body, reduced != nullptr
                           ? std::optional(reduced->sleep_control)
                           : std::nullopt);  // SLEEP_CONTROL_REG
  AppendOptional(body, reduced != nullptr ? std::optional(reduced->sleep_status)
                                          : std::nullopt);  // SLEEP_STATUS_REG
  body.U64(0);  // Hypervisor Vendor Identity
  LIBVMM_CHECK(kAcpiTableHeaderSize + body.size() == kFadtSize);
  return MakeAcpiTable(identity,
                       {.signature = "FACP", .revision = fadt::kMajorVersion},
                       body.bytes());
}

std::vector<std::byte> MakeFacs() {
  constexpr uint32_t kSize = 64;
  constexpr uint8_t kVersion = 2;
  TableBytes facs;
  facs.Text("FACS");
  facs.U32(kSize);
  facs.U32(0);        // Hardware Signature
  facs.U32(0);        // Firmware Waking Vector
  facs.U32(0);        // Global Lock
  facs.U32(0);        // Flags
  facs.U64(0);        // X Firmware Waking Vector
  facs.U8(kVersion);  // Version
  facs.Zeros(kSize - facs.size());
  return std::move(facs).Take();
}

}  // namespace libvmm
