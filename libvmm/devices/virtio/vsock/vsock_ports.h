// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PORTS_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PORTS_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

namespace libvmm {

// Ports of the host that the embedder's own callbacks answer.
//
//   VsockPorts ports;
//   LIBVMM_RETURN_IF_ERROR(ports.Listen(1024, [&](VsockStream stream) {
//     auto& client = clients.emplace_back(std::move(stream));
//     client.stream.Accept([&client] { client.OnReady(); });
//   }));
//
// Thread-safety: thread-safe. Callbacks run on the thread that serves the
//     device, one at a time, without locks.
// Ownership: owns the callbacks; refers to the fallback.
// Errors: of Listen and Unlisten.
// Cost: a short lock for each new connection.
class VsockPorts final : public VsockService {
 public:
  using Accept = absl::AnyInvocable<void(VsockStream stream)>;

  // Connections to ports that nobody listens on go to `fallback` if there is
  // one, for example VsockUnixSockets, and are refused otherwise.
  explicit VsockPorts(VsockService* fallback = nullptr);

  // `accept` gets the connections to this port, as VsockService::OnConnect.
  // kAlreadyExists: the port is taken. kInvalidArgument: there is no callback.
  absl::Status Listen(uint32_t host_port, Accept accept);
  // New connections to this port are not for the callback any more; one that
  // came before may be with it still. kNotFound: nobody listens there.
  absl::Status Unlisten(uint32_t host_port);

  void OnConnect(VsockStream stream) override;
  void OnAttach(VsockConnector* connector) override;

 private:
  VsockService* const fallback_;

  Mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Accept>> ports_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_PORTS_H_
