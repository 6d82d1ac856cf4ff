// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/vsock_ports.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace libvmm {

VsockPorts::VsockPorts(VsockService* fallback) : fallback_(fallback) {}

absl::Status VsockPorts::Listen(uint32_t host_port, Accept accept) {
  if (accept == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("host port ", host_port, ": accept is null"));
  }
  auto shared = std::make_shared<Accept>(std::move(accept));
  MutexLock lock(mutex_);
  if (!ports_.emplace(host_port, std::move(shared)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("host port ", host_port, " is listened on already"));
  }
  return absl::OkStatus();
}

absl::Status VsockPorts::Unlisten(uint32_t host_port) {
  // Destroyed after the lock: it is the embedder's.
  std::shared_ptr<Accept> accept;
  MutexLock lock(mutex_);
  const auto found = ports_.find(host_port);
  if (found == ports_.end()) {
    return absl::NotFoundError(
        absl::StrCat("host port ", host_port, " is not listened on"));
  }
  accept = std::move(found->second);
  ports_.erase(found);
  return absl::OkStatus();
}

void VsockPorts::OnConnect(VsockStream stream) {
  std::shared_ptr<Accept> accept;
  {
    MutexLock lock(mutex_);
    const auto found = ports_.find(stream.host_port());
    if (found != ports_.end()) accept = found->second;
  }
  if (accept != nullptr) {
    (*accept)(std::move(stream));
  } else if (fallback_ != nullptr) {
    fallback_->OnConnect(std::move(stream));
  }
}

void VsockPorts::OnAttach(VsockConnector* connector) {
  if (fallback_ != nullptr) fallback_->OnAttach(connector);
}

}  // namespace libvmm
