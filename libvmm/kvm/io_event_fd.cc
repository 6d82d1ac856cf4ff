// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/io_event_fd.h"

#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

absl::Status Check(const IoEventFd::Options& options) {
  switch (options.size) {
    case 0:
    case 1:
    case 2:
    case 4:
      break;
    case 8:
      if (options.space == IoSpace::kMmio) break;
      [[fallthrough]];
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "size ", options.size, " is not a width of access to this space"));
  }
  if (options.space == IoSpace::kPio) {
    if (!RangeFits(kIoPortCount, options.address, options.size) ||
        options.address >= kIoPortCount) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", options.address, " with size ", options.size,
                       " is not below ", kIoPortCount));
    }
  } else if (!GpaRange::Create(Gpa(options.address), options.size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", absl::Hex(options.address), " with size ",
                     options.size, " reaches past 2^64"));
  }
  if (!options.data_match.has_value()) return absl::OkStatus();
  if (options.size == 0) {
    return absl::InvalidArgumentError(
        "data_match needs a size: KVM cannot compare writes of any width");
  }
  const unsigned bits = options.size * 8;
  if (bits < 64 && (*options.data_match >> bits) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("data_match ", absl::Hex(*options.data_match),
                     " does not fit ", options.size, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status RequireCapabilities(int vm, const IoEventFd::Options& options) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm, LIBVMM_CAPABILITY(KVM_CAP_IOEVENTFD)).status());
  if (options.size != 0) return absl::OkStatus();
  const Capability any_size =
      options.space == IoSpace::kMmio
          ? LIBVMM_CAPABILITY(KVM_CAP_IOEVENTFD_NO_LENGTH)
          : LIBVMM_CAPABILITY(KVM_CAP_IOEVENTFD_ANY_LENGTH);
  return RequireCapability(vm, any_size).status();
}

// The kernel finds the doorbell to take away by the same values that made it.
kvm_ioeventfd Argument(const IoEventFd::Options& options, int fd) {
  kvm_ioeventfd argument = {};
  argument.datamatch = options.data_match.value_or(0);
  argument.addr = options.address;
  argument.len = options.size;
  argument.fd = fd;
  if (options.data_match.has_value()) {
    argument.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  if (options.space == IoSpace::kPio) {
    argument.flags |= KVM_IOEVENTFD_FLAG_PIO;
  }
  return argument;
}

}  // namespace

absl::StatusOr<IoEventFd> IoEventFd::Create(const Vm& vm, const EventFd& event,
                                            const Options& options) {
  LIBVMM_RETURN_IF_ERROR(Check(options));
  LIBVMM_RETURN_IF_ERROR(RequireCapabilities(vm.fd(), options));
  LIBVMM_ASSIGN_OR_RETURN(EventFd own_event, event.Duplicate());
  const kvm_ioeventfd argument = Argument(options, own_event.fd());
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_IOEVENTFD), &argument,
                absl::StrCat(
                    options.space == IoSpace::kPio ? "port 0x" : "address 0x",
                    absl::Hex(options.address), ", size ", options.size))
          .status());
  return IoEventFd(vm.shared_fd(), std::move(own_event), options);
}

IoEventFd::IoEventFd(std::shared_ptr<const VmFd> vm, EventFd event,
                     const Options& options)
    : vm_(std::move(vm)), event_(std::move(event)), options_(options) {}

IoEventFd& IoEventFd::operator=(IoEventFd&& other) noexcept {
  if (this != &other) {
    Deassign();
    vm_ = std::move(other.vm_);
    event_ = std::move(other.event_);
    options_ = other.options_;
  }
  return *this;
}

IoEventFd::~IoEventFd() { Deassign(); }

void IoEventFd::Deassign() {
  if (vm_ == nullptr) return;
  kvm_ioeventfd argument = Argument(options_, event_.fd());
  argument.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  // Cannot fail for a doorbell that was assigned.
  ::ioctl(vm_->get(), KVM_IOEVENTFD, &argument);
  vm_.reset();
}

}  // namespace libvmm
