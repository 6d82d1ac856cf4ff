// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VIRTIO_SLOT_H_
#define LIBVMM_PLATFORM_PC_VIRTIO_SLOT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_mmio.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/platform/deadline_source.h"
#include "libvmm/platform/edge_line.h"
#include "libvmm/platform/pc_interrupts.h"
#include "libvmm/platform/pc_virtio_places.h"
#include "libvmm/platform/virtio_doorbells.h"

namespace libvmm {

// What a machine's virtio devices are connected to.
struct PcVirtioWires {
  const Vm& vm;
  IoBus& mmio;
  // Null: the machine has no PCI.
  PciBus* pci = nullptr;
  GuestMemory& memory;
  PcInterrupts& interrupts;
  DeadlineSource& deadlines;
  const Clock& clock;
  // One more driver of the line that the interrupt pin INTA# of the PCI device
  // leads to.
  absl::FunctionRef<absl::AnyInvocable<void(bool level)>(uint8_t device)>
      pci_line;
};

// A virtio device of whatever kind at its place in a PC: registers or PCI
// function, interrupts, doorbells, deadlines.
//
// Thread-safety: as VirtioFrontEnd.
// Ownership: refers to the device and the wires, which must outlive it. After it
//     is gone the device has no driver.
// Errors: of Create.
// Cost: that of the front end and its transport.
class PcVirtioSlot {
 public:
  // kAlreadyExists when something is at the place; those of VirtioFrontEnd and
  // VirtioPci.
  static absl::StatusOr<std::unique_ptr<PcVirtioSlot>> Create(
      const PcVirtioWires& wires, const PcVirtioPlace& place, bool packed_rings,
      VirtioDevice& device);
  PcVirtioSlot(const PcVirtioSlot&) = delete;
  PcVirtioSlot& operator=(const PcVirtioSlot&) = delete;
  // Back-ends that complete on threads of their own are drained first, while
  // what they interrupt through is there.
  ~PcVirtioSlot();

  [[nodiscard]] const PcVirtioPlace& place() const { return place_; }
  [[nodiscard]] VirtioFrontEnd& front_end() { return *front_end_; }

  // Adds the descriptors of lanes that wait for a loop.
  void AddEventSources(std::vector<EventSource*>& sources);

  // Serves the queues whose doorbell is kPoll.
  void Poll();

 private:
  explicit PcVirtioSlot(const PcVirtioPlace& place) : place_(place) {}

  absl::Status PlugIn(const PcVirtioWires& wires,
                      const PcVirtioMmioPlace& place);
  absl::Status PlugIn(const PcVirtioWires& wires,
                      const PcVirtioPciPlace& place);

  const PcVirtioPlace place_;
  // In this order: each refers to those before it.
  std::unique_ptr<VirtioFrontEnd> front_end_;
  std::unique_ptr<VirtioDoorbells> doorbells_;
  std::unique_ptr<EdgeLine> line_;
  std::unique_ptr<VirtioMmio> mmio_;
  std::unique_ptr<VirtioPci> pci_;
  IoRegistration registration_;
  PciAttachment attachment_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VIRTIO_SLOT_H_
