// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irq_fd.h"

#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<IrqFd> IrqFd::Create(const Vm& vm, const EventFd& trigger,
                                    const IrqRouting& routing,
                                    const Options& options) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_IRQFD)).status());
  if (options.gsi >= routing.gsi_limit()) {
    return absl::OutOfRangeError(absl::StrCat(
        "GSI ", options.gsi, " is not below ", routing.gsi_limit()));
  }
  if (!routing.HasRoute(options.gsi)) {
    return absl::FailedPreconditionError(
        absl::StrCat("GSI ", options.gsi, " has no route"));
  }
  std::optional<EventFd> resample;
  if (options.resample != nullptr) {
    LIBVMM_RETURN_IF_ERROR(
        RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_IRQFD_RESAMPLE))
            .status());
    if (!routing.HasPinRoute(options.gsi)) {
      return absl::FailedPreconditionError(
          absl::StrCat("GSI ", options.gsi,
                       " has no route to a pin: it cannot be level-triggered"));
    }
    LIBVMM_ASSIGN_OR_RETURN(resample, options.resample->Duplicate());
  }
  LIBVMM_ASSIGN_OR_RETURN(EventFd own_trigger, trigger.Duplicate());

  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(own_trigger.fd());
  irqfd.gsi = options.gsi;
  if (resample.has_value()) {
    irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
    irqfd.resamplefd = static_cast<uint32_t>(resample->fd());
  }
  LIBVMM_RETURN_IF_ERROR(CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_IRQFD), &irqfd,
                                   absl::StrCat("GSI ", options.gsi))
                             .status());
  return IrqFd(vm.shared_fd(), std::move(own_trigger), std::move(resample),
               options.gsi);
}

IrqFd::IrqFd(std::shared_ptr<const VmFd> vm, EventFd trigger,
             std::optional<EventFd> resample, uint32_t gsi)
    : vm_(std::move(vm)),
      trigger_(std::move(trigger)),
      resample_(std::move(resample)),
      gsi_(gsi) {}

IrqFd& IrqFd::operator=(IrqFd&& other) noexcept {
  if (this != &other) {
    Deassign();
    vm_ = std::move(other.vm_);
    trigger_ = std::move(other.trigger_);
    resample_ = std::move(other.resample_);
    gsi_ = other.gsi_;
  }
  return *this;
}

IrqFd::~IrqFd() { Deassign(); }

void IrqFd::Deassign() {
  if (vm_ == nullptr) return;
  kvm_irqfd irqfd = {};
  irqfd.fd = static_cast<uint32_t>(trigger_.fd());
  irqfd.gsi = gsi_;
  irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
  // Cannot fail for a pair that was assigned.
  ::ioctl(vm_->get(), KVM_IRQFD, &irqfd);
  vm_.reset();
}

}  // namespace libvmm
