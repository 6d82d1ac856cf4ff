// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_pci_state.h"

namespace libvmm {

// A virtio device as a PCI function, modern only (virtio 1.2, section 4.1): the
// capabilities for common, notify, ISR, device and PCI configuration access, all
// in one 64-bit memory BAR, and MSI-X with a vector for each queue and one for
// the configuration. INTA# while MSI-X is off.
//
//   LIBVMM_ASSIGN_OR_RETURN(auto device,
//                           VirtioPci::Create(front_end, std::move(options)));
//   LIBVMM_ASSIGN_OR_RETURN(PciAttachment place,
//                           bus.Attach({.device = 3}, device->function()));
//
// Registers of the common configuration want accesses of their own size (section
// 4.1.3.1; the 64-bit ones of 4 or 8 bytes); other reads give zeroes, other
// writes are dropped. A notification is any write that begins at a queue's
// place, whatever its value; the device's configuration takes any access. Reads
// of the BAR elsewhere give zeroes. There is no queue reset.
//
// A reset of the device takes its vectors away, but leaves what belongs to PCI:
// BARs, MSI-X. When a machine is reset, reset both: the front end and the bus.
//
// Thread-safety: thread-safe. Callbacks as those of PciFunction and Msix.
// Ownership: owns the function; refers to the front end, whose interrupts it
//     is; leaves it when destroyed. Outlives its PciAttachment. Where a back-end
//     completes on threads of its own, VirtioFrontEnd::Reset comes first: it
//     waits for them.
// Errors: of Create and Restore.
// Cost: a notification is one access of the BAR and what
//     VirtioFrontEnd::Notify costs; with MSI-X an interrupt is Msix::Trigger.
class VirtioPci {
 public:
  // The BAR, and what is where in it. Queue q's notifications are written, 2
  // bytes, to kNotifyOffset + q * kNotifyStride (section 4.1.4.4). An ioeventfd
  // there, of any value, replaces VirtioFrontEnd::Notify.
  static constexpr unsigned kBar = 0;
  static constexpr uint64_t kBarSize = 0x10000;
  static constexpr uint64_t kCommonOffset = 0x0000;
  static constexpr uint64_t kIsrOffset = 0x1000;
  static constexpr uint64_t kDeviceOffset = 0x2000;
  static constexpr uint64_t kNotifyOffset = 0x3000;
  static constexpr uint64_t kNotifyStride = 4;
  static constexpr uint16_t kMaxQueues = 1023;

  struct Options {
    // The level of INTA#, active high.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;
    // Sends a message now.
    absl::AnyInvocable<void(const Msi& message)> deliver = nullptr;
    // The BAR answers at this address now, or nowhere: what ioeventfds follow.
    absl::AnyInvocable<void(const std::optional<uint64_t>& address)> bar_moved =
        nullptr;
  };

  // kInvalidArgument: more queues than the BAR has room for (1023).
  static absl::StatusOr<std::unique_ptr<VirtioPci>> Create(
      VirtioFrontEnd& front_end, Options options);
  VirtioPci(const VirtioPci&) = delete;
  VirtioPci& operator=(const VirtioPci&) = delete;
  ~VirtioPci();

  // To attach to a PciBus.
  [[nodiscard]] PciFunction& function();

  [[nodiscard]] VirtioPciState Save() const;

  // After the PciBus's Restore, or PciFunction's, and before the front end's.
  // kInvalidArgument names what cannot be for this device: then nothing has
  // changed.
  [[nodiscard]] absl::Status Restore(const VirtioPciState& state);

 private:
  class Registers;

  explicit VirtioPci(std::unique_ptr<Registers> registers);

  std::unique_ptr<Registers> registers_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_H_
