// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/hyperv_event_fd.h"

#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<HyperVEventFd> HyperVEventFd::Create(const Vm& vm,
                                                    const EventFd& event,
                                                    uint32_t connection_id) {
  if (connection_id > KVM_HYPERV_CONN_ID_MASK) {
    return absl::InvalidArgumentError(absl::StrCat("Hyper-V connection id 0x",
                                                   absl::Hex(connection_id),
                                                   " has more than 24 bits"));
  }
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_HYPERV_EVENTFD))
          .status());
  kvm_hyperv_eventfd argument = {};
  argument.conn_id = connection_id;
  argument.fd = event.fd();
  LIBVMM_RETURN_IF_ERROR(CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_HYPERV_EVENTFD),
                                   &argument,
                                   absl::StrCat("connection ", connection_id))
                             .status());
  return HyperVEventFd(vm.shared_fd(), connection_id);
}

HyperVEventFd::HyperVEventFd(std::shared_ptr<const VmFd> vm,
                             uint32_t connection_id)
    : vm_(std::move(vm)), connection_id_(connection_id) {}

HyperVEventFd& HyperVEventFd::operator=(HyperVEventFd&& other) noexcept {
  if (this != &other) {
    Deassign();
    vm_ = std::move(other.vm_);
    connection_id_ = other.connection_id_;
  }
  return *this;
}

HyperVEventFd::~HyperVEventFd() { Deassign(); }

void HyperVEventFd::Deassign() {
  if (vm_ == nullptr) return;
  kvm_hyperv_eventfd argument = {};
  argument.conn_id = connection_id_;
  argument.fd = -1;
  argument.flags = KVM_HYPERV_EVENTFD_DEASSIGN;
  // Cannot fail for an id that was assigned.
  ::ioctl(vm_->get(), KVM_HYPERV_EVENTFD, &argument);
  vm_.reset();
}

}  // namespace libvmm
