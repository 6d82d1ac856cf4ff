// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_SERVICE_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_SERVICE_H_

#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

namespace libvmm {

// The way from the host to ports of the guest: a VirtioVsock.
//
// Thread-safety: thread-safe.
class VsockConnector {
 public:
  // Asks the guest for a connection to its port. The stream is kConnecting at
  // first; `ready` (as VsockStream::Accept has it; may be null) tells when it
  // is open, or reset since nobody listens there or the guest did not answer in
  // time. kUnavailable: the guest's driver is not ready.
  // kResourceExhausted: there are as many connections as can be.
  [[nodiscard]] virtual absl::StatusOr<VsockStream> Connect(
      uint32_t guest_port, absl::AnyInvocable<void()> ready) = 0;

 protected:
  VsockConnector() = default;
  VsockConnector(const VsockConnector&) = default;
  VsockConnector& operator=(const VsockConnector&) = default;
  ~VsockConnector() = default;
};

// What answers a guest that connects to ports of the host. VsockPorts does it
// with callbacks, VsockUnixSockets with sockets of the host.
//
// Thread-safety: OnConnect is called by whichever thread serves the device, one
//     at a time. OnAttach is not called at the same time as anything else.
// Ownership: must outlive the VirtioVsock.
// Errors: none.
class VsockService {
 public:
  virtual ~VsockService() = default;

  // The guest connects to stream.host_port(). Called without locks; may accept
  // at once, keep the stream and accept it later, or destroy it, which refuses.
  // Never blocks.
  virtual void OnConnect(VsockStream stream) = 0;

  // The device that this service is of: called when it is made, and with null
  // before it goes.
  virtual void OnAttach(VsockConnector* connector) { (void)connector; }

 protected:
  VsockService() = default;
  VsockService(const VsockService&) = default;
  VsockService& operator=(const VsockService&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_SERVICE_H_
