// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_HYPERV_EVENT_FD_H_
#define LIBVMM_KVM_HYPERV_EVENT_FD_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// A Hyper-V guest's doorbell (KVM_HYPERV_EVENTFD): the guest's SignalEvent
// hypercall with this connection id signals an eventfd inside the kernel,
// without an exit.
//
// Thread-safety: thread-compatible; the eventfd itself is thread-safe.
// Ownership: move-only; the destructor takes the connection away. Keeps the
//     VM's descriptor open; the eventfd stays the caller's, who may close it.
// Errors: kInvalidArgument for an id above 0xffffff; kAlreadyExists (EEXIST)
//     for one in use; kUnimplemented without KVM_CAP_HYPERV_EVENTFD.
// Cost: two system calls to make; none per signal.
class HyperVEventFd {
 public:
  static absl::StatusOr<HyperVEventFd> Create(const Vm& vm,
                                              const EventFd& event,
                                              uint32_t connection_id);

  HyperVEventFd(HyperVEventFd&&) noexcept = default;
  HyperVEventFd& operator=(HyperVEventFd&& other) noexcept;
  ~HyperVEventFd();

  [[nodiscard]] uint32_t connection_id() const { return connection_id_; }

 private:
  HyperVEventFd(std::shared_ptr<const VmFd> vm, uint32_t connection_id);

  void Deassign();

  // Null when moved from.
  std::shared_ptr<const VmFd> vm_;
  uint32_t connection_id_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_HYPERV_EVENT_FD_H_
