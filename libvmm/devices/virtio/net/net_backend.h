// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_BACKEND_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_BACKEND_H_

#include <cstdint>

#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_offloads.h"

namespace libvmm {

// Hears of a NetBackend.
class NetListener {
 public:
  // A frame may have come, or one may go that could not. Called by any thread,
  // without locks of the back-end; the back-end's functions may be called in it.
  virtual void OnBackendReady() = 0;

 protected:
  NetListener() = default;
  NetListener(const NetListener&) = default;
  NetListener& operator=(const NetListener&) = default;
  ~NetListener() = default;
};

// Where the frames of one queue pair of a VirtioNet go and come from: a tap
// device, another machine, a network in the process. Frames are Ethernet's, and
// carry the header that says what is left to do for them, so that two ends that
// can leave a checksum or a segmentation undone do.
//
// The device calls these functions in one lane, one after the other, on changing
// threads. Meanwhile a loop may serve the event_source() on another.
//
// No call blocks. A frame that cannot be sent for good is dropped, as a network
// does; what goes wrong there is the embedder's to see at the back-end.
//
// Thread-safety: thread-compatible; OnReady of the event source runs beside all
//     of it.
// Ownership: refers to the listener. A back-end outlives the device.
// Errors: none.
class NetBackend {
 public:
  virtual ~NetBackend() = default;

  // What frames given to Send may leave undone, and what frames from Front
  // might if the driver takes it. Never change.
  [[nodiscard]] virtual NetOffloads send_offloads() const = 0;
  [[nodiscard]] virtual NetOffloads receive_offloads() const = 0;

  // What a loop has to serve for this back-end to work; null when nothing.
  [[nodiscard]] virtual EventSource* event_source() { return nullptr; }

  // Who hears of it; null for nobody. The device sets it before anything else
  // is called and unsets it when nothing is called any more.
  void set_listener(NetListener* listener) { listener_ = listener; }

  // A driver uses the queue pair from now on, and takes what `receive` says; it
  // does so no more. At first it does not. What comes in meanwhile is dropped if
  // it can be. Start and Stop take turns; the rest comes between them.
  virtual void Start(const NetOffloads& receive) = 0;
  virtual void Stop() = 0;

  // What the driver takes has changed. Frames that are on their way may be as
  // before.
  virtual void SetReceiveOffloads(const NetOffloads& receive) = 0;

  // Goes on with a frame that Send took and has not got rid of wholly.
  virtual void Flush() {}

  enum class SendResult : uint8_t {
    // The frame's memory is not needed any more.
    kSent,
    // It cannot be sent, and is dropped.
    kDropped,
    // Not now. The listener is called when it is worth another try.
    kLater,
  };
  [[nodiscard]] virtual SendResult Send(const OutgoingFrame& frame) = 0;

  // The frame that came first, at most virtio::net::kMaxFrameSize bytes; null
  // when there is none, and then the listener is called for the next one. The
  // same one again until PopFront, and valid until then.
  [[nodiscard]] virtual const IncomingFrame* Front() = 0;
  // Only after Front has given a frame.
  virtual void PopFront() = 0;

 protected:
  NetBackend() = default;
  NetBackend(const NetBackend&) = delete;
  NetBackend& operator=(const NetBackend&) = delete;

  void NotifyListener() {
    if (listener_ != nullptr) listener_->OnBackendReady();
  }

 private:
  NetListener* listener_ = nullptr;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_BACKEND_H_
