// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio_slot.h"

#include <optional>
#include <utility>
#include <variant>

#include "libvmm/base/msi.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

namespace {

VirtioDoorbell DoorbellOf(PcVirtioDoorbell doorbell) {
  switch (doorbell) {
    case PcVirtioDoorbell::kDefault:
    case PcVirtioDoorbell::kInline:
      break;
    case PcVirtioDoorbell::kEventFd:
      return VirtioDoorbell::kEventFd;
    case PcVirtioDoorbell::kPoll:
      return VirtioDoorbell::kPoll;
  }
  return VirtioDoorbell::kInline;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PcVirtioSlot>> PcVirtioSlot::Create(
    const PcVirtioWires& wires, const PcVirtioPlace& place, bool packed_rings,
    VirtioDevice& device) {
  std::unique_ptr<PcVirtioSlot> slot(new PcVirtioSlot(place));
  VirtioFrontEnd::Options options{.doorbell = DoorbellOf(place.doorbell),
                                  .packed = packed_rings};
  options.deadline_moved = [&deadlines = wires.deadlines] { deadlines.Wake(); };
  LIBVMM_ASSIGN_OR_RETURN(
      slot->front_end_,
      VirtioFrontEnd::Create(device, wires.memory, wires.clock,
                             std::move(options)));
  slot->doorbells_ =
      std::make_unique<VirtioDoorbells>(wires.vm, *slot->front_end_);
  LIBVMM_RETURN_IF_ERROR(
      std::visit([&](const auto& where) { return slot->PlugIn(wires, where); },
                 place.where));
  wires.deadlines.Add(*slot->front_end_);
  return slot;
}

PcVirtioSlot::~PcVirtioSlot() {
  if (front_end_ != nullptr) front_end_->Reset();
}

absl::Status PcVirtioSlot::PlugIn(const PcVirtioWires& wires,
                                  const PcVirtioMmioPlace& place) {
  line_ = std::make_unique<EdgeLine>(
      [&interrupts = wires.interrupts, gsi = place.gsi](bool level) {
        interrupts.SetLine(gsi, level);
      });
  mmio_ = std::make_unique<VirtioMmio>(
      *front_end_, VirtioMmio::Options{
                       .interrupt = [line = line_.get()] { line->Pulse(); }});
  const uint64_t address = place.registers.start.value();
  LIBVMM_ASSIGN_OR_RETURN(
      registration_, wires.mmio.Register(
                         {.base = address, .size = VirtioMmio::kSize}, *mmio_));
  doorbells_->PlaceMmio(address);
  return absl::OkStatus();
}

absl::Status PcVirtioSlot::PlugIn(const PcVirtioWires& wires,
                                  const PcVirtioPciPlace& place) {
  VirtioPci::Options options{
      .interrupt = wires.pci_line(place.device),
      .deliver = [&interrupts = wires.interrupts](
                     const Msi& message) { interrupts.SignalMsi(message); },
      .bar_moved =
          [doorbells =
               doorbells_.get()](const std::optional<uint64_t>& address) {
            doorbells->PlacePci(address);
          },
  };
  LIBVMM_ASSIGN_OR_RETURN(pci_,
                          VirtioPci::Create(*front_end_, std::move(options)));
  LIBVMM_ASSIGN_OR_RETURN(
      attachment_,
      wires.pci->Attach({.device = place.device}, pci_->function()));
  return absl::OkStatus();
}

void PcVirtioSlot::AddEventSources(std::vector<EventSource*>& sources) {
  for (uint16_t lane = 0; lane < front_end_->lane_count(); ++lane) {
    EventSource* const source = front_end_->lane_source(lane);
    if (source != nullptr) sources.push_back(source);
  }
}

void PcVirtioSlot::Poll() {
  if (place_.doorbell != PcVirtioDoorbell::kPoll) return;
  for (uint16_t lane = 0; lane < front_end_->lane_count(); ++lane) {
    front_end_->Poll(lane);
  }
}

}  // namespace libvmm
