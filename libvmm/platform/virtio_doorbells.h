// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_VIRTIO_DOORBELLS_H_
#define LIBVMM_PLATFORM_VIRTIO_DOORBELLS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/kvm/io_event_fd.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// The ioeventfds of a virtio device's queues whose doorbell is kEventFd: so a
// guest rings without an exit. Where KVM has no room for one, the write exits
// and VirtioFrontEnd::Notify signals the same descriptor.
//
// Thread-safety: thread-compatible.
// Ownership: owns the ioeventfds; refers to VM and front end.
// Errors: none, see above.
// Cost: some system calls for each queue, each time.
class VirtioDoorbells {
 public:
  VirtioDoorbells(const Vm& vm, const VirtioFrontEnd& front_end)
      : vm_(vm), front_end_(front_end) {}
  VirtioDoorbells(const VirtioDoorbells&) = delete;
  VirtioDoorbells& operator=(const VirtioDoorbells&) = delete;

  // VirtioMmio's registers are at `address` from now on.
  void PlaceMmio(uint64_t address);

  // VirtioPci's BAR is there from now on; nothing: nowhere.
  void PlacePci(const std::optional<uint64_t>& address);

  // Those there are.
  [[nodiscard]] size_t count() const { return doorbells_.size(); }

 private:
  void Add(uint16_t queue, const IoEventFd::Options& options);

  const Vm& vm_;
  const VirtioFrontEnd& front_end_;
  std::vector<IoEventFd> doorbells_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_VIRTIO_DOORBELLS_H_
