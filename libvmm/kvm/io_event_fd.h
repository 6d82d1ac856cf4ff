// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IO_EVENT_FD_H_
#define LIBVMM_KVM_IO_EVENT_FD_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/io_space.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// A doorbell (KVM_IOEVENTFD): guest writes to one port or address signal an
// eventfd inside the kernel, and the vCPU runs on without an exit. The value
// written is lost, so it fits registers whose write is only a notification.
// Reads, and writes that do not match, exit as ever.
//
// Thread-safety: thread-compatible; the eventfd itself is thread-safe.
// Ownership: move-only; the destructor takes the doorbell away. Holds a
//     duplicate of the eventfd, so the caller's may be closed at any time, and
//     keeps the VM's descriptor open.
// Errors: kInvalidArgument names the option that cannot be; kAlreadyExists
//     (EEXIST) when the same doorbell, or one that it cannot be told from, is
//     there; kUnimplemented names the capability; kResourceExhausted (ENOSPC)
//     when the VM's I/O bus in the kernel is full.
// Cost: two system calls to make; none per write.
class IoEventFd {
 public:
  struct Options {
    IoSpace space = IoSpace::kMmio;
    // Port number or guest-physical address of the first byte written.
    uint64_t address = 0;
    // The width of write that matches: 1, 2, 4 or 8 bytes (a port takes up to
    // 4), or 0 for any.
    uint32_t size = 4;
    // Only writes of this value match; without it, all. Not with size 0.
    std::optional<uint64_t> data_match = std::nullopt;
  };

  static absl::StatusOr<IoEventFd> Create(const Vm& vm, const EventFd& event,
                                          const Options& options);

  IoEventFd(IoEventFd&&) noexcept = default;
  IoEventFd& operator=(IoEventFd&& other) noexcept;
  ~IoEventFd();

  [[nodiscard]] const Options& options() const { return options_; }

 private:
  IoEventFd(std::shared_ptr<const VmFd> vm, EventFd event,
            const Options& options);

  void Deassign();

  // Null when moved from.
  std::shared_ptr<const VmFd> vm_;
  EventFd event_;
  Options options_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_IO_EVENT_FD_H_
