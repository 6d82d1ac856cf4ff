// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio_places.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/platform/pc_layout.h"

namespace libvmm {

namespace {

// The host bridge is device 0.
constexpr uint8_t kFirstPciDevice = 1;
constexpr uint8_t kPciDevices = 32;

// Pins of the IOAPIC that no device of the board has. 13 is the FPU's to Linux.
constexpr uint32_t kIoApicLines[] = {5,  6,  7,  10, 11, 12,
                                     14, 15, 20, 21, 22, 23};
// Lines of the PICs: 7 and 15 are where their spurious interrupts come.
constexpr uint32_t kPicLines[] = {5, 6, 12, 14};
// PCI's on a machine without an IOAPIC.
constexpr uint32_t kPicPciLines[] = {10, 11};
// COM2 and COM4.
constexpr uint32_t kSecondSerialLine = 3;

std::vector<uint32_t> Lines(const PcVirtioRoom& room) {
  std::vector<uint32_t> lines;
  if (room.io_apic) {
    lines.assign(std::begin(kIoApicLines), std::end(kIoApicLines));
  } else {
    lines.assign(std::begin(kPicLines), std::end(kPicLines));
    if (!room.pci) {
      lines.insert(lines.end(), std::begin(kPicPciLines),
                   std::end(kPicPciLines));
    }
  }
  if (room.serial_ports < 2) lines.push_back(kSecondSerialLine);
  return lines;
}

class Places {
 public:
  Places(const PcVirtioConfig& config, const PcVirtioRoom& room)
      : config_(config), room_(room), lines_(Lines(room)) {}

  absl::Status Add(PcVirtioKind kind, const PcVirtioPlug& plug,
                   size_t index = 0) {
    PcVirtioPlace place{.kind = kind,
                        .index = static_cast<uint32_t>(index),
                        .doorbell = Doorbell(plug)};
    if (Transport(plug) == PcVirtioTransport::kPci) {
      LIBVMM_ASSIGN_OR_RETURN(place.where, OnPci(place));
    } else {
      LIBVMM_ASSIGN_OR_RETURN(place.where, OverMmio(place));
    }
    places_.push_back(place);
    return absl::OkStatus();
  }

  template <typename Item>
  absl::Status AddEach(PcVirtioKind kind, const std::vector<Item>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      LIBVMM_RETURN_IF_ERROR(Add(kind, list[i].plug, i));
    }
    return absl::OkStatus();
  }

  template <typename Item>
  absl::Status AddIf(PcVirtioKind kind, const std::optional<Item>& item) {
    return item.has_value() ? Add(kind, item->plug) : absl::OkStatus();
  }

  std::vector<PcVirtioPlace> Take() { return std::move(places_); }

 private:
  [[nodiscard]] PcVirtioTransport Transport(const PcVirtioPlug& plug) const {
    if (plug.transport != PcVirtioTransport::kDefault) return plug.transport;
    if (config_.transport != PcVirtioTransport::kDefault) {
      return config_.transport;
    }
    return room_.pci ? PcVirtioTransport::kPci : PcVirtioTransport::kMmio;
  }

  [[nodiscard]] PcVirtioDoorbell Doorbell(const PcVirtioPlug& plug) const {
    if (plug.doorbell != PcVirtioDoorbell::kDefault) return plug.doorbell;
    if (config_.doorbell != PcVirtioDoorbell::kDefault) return config_.doorbell;
    return PcVirtioDoorbell::kInline;
  }

  absl::StatusOr<PcVirtioPciPlace> OnPci(const PcVirtioPlace& place) {
    if (!room_.pci) {
      return absl::InvalidArgumentError(
          absl::StrCat(PcVirtioPath(place),
                       ": the transport is PCI, and devices.pci is false"));
    }
    if (next_pci_device_ == kPciDevices) {
      return absl::InvalidArgumentError(absl::StrCat(
          PcVirtioPath(place), ": the PCI bus is full, it has room for ",
          kPciDevices - kFirstPciDevice, " virtio devices"));
    }
    return PcVirtioPciPlace{.device = next_pci_device_++};
  }

  absl::StatusOr<PcVirtioMmioPlace> OverMmio(const PcVirtioPlace& place) {
    if (next_window_ == lines_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(PcVirtioPath(place), ": no interrupt line is left, ",
                       lines_.size(), " virtio devices have MMIO"));
    }
    const Gpa start =
        PcLayout::kVirtioMmio.start + next_window_ * PcLayout::kVirtioMmioSize;
    return PcVirtioMmioPlace{.registers = {start, PcLayout::kVirtioMmioSize},
                             .gsi = lines_[next_window_++]};
  }

  const PcVirtioConfig& config_;
  const PcVirtioRoom& room_;
  const std::vector<uint32_t> lines_;
  uint8_t next_pci_device_ = kFirstPciDevice;
  size_t next_window_ = 0;
  std::vector<PcVirtioPlace> places_;
};

}  // namespace

std::string PcVirtioPath(const PcVirtioPlace& place) {
  switch (place.kind) {
    case PcVirtioKind::kDisk:
      return absl::StrCat("virtio.disks[", place.index, "]");
    case PcVirtioKind::kNet:
      return absl::StrCat("virtio.nets[", place.index, "]");
    case PcVirtioKind::kVsock:
      return "virtio.vsock";
    case PcVirtioKind::kShare:
      return absl::StrCat("virtio.shares[", place.index, "]");
    case PcVirtioKind::kRng:
      return "virtio.rng";
    case PcVirtioKind::kBalloon:
      return "virtio.balloon";
    case PcVirtioKind::kConsole:
      return "virtio.console";
    case PcVirtioKind::kKeyboard:
      return "virtio.keyboard";
    case PcVirtioKind::kTablet:
      return "virtio.tablet";
  }
  return "virtio";
}

absl::StatusOr<std::vector<PcVirtioPlace>> PlacePcVirtio(
    const PcVirtioConfig& config, const PcVirtioRoom& room) {
  using enum PcVirtioKind;
  Places places(config, room);
  LIBVMM_RETURN_IF_ERROR(places.AddEach(kDisk, config.disks));
  LIBVMM_RETURN_IF_ERROR(places.AddEach(kNet, config.nets));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kVsock, config.vsock));
  LIBVMM_RETURN_IF_ERROR(places.AddEach(kShare, config.shares));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kRng, config.rng));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kBalloon, config.balloon));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kConsole, config.console));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kKeyboard, config.keyboard));
  LIBVMM_RETURN_IF_ERROR(places.AddIf(kTablet, config.tablet));
  return places.Take();
}

}  // namespace libvmm
