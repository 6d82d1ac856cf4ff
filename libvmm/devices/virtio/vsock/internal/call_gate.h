// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_CALL_GATE_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_CALL_GATE_H_

#include <atomic>
#include <cstdint>
#include <thread>

namespace libvmm::internal {

// Lets a callback's owner take it away while another thread may be calling it.
//
// Thread-safety: thread-safe; one thread at a time is in Call. Open is alone.
// Errors: none.
// Cost: two atomic read-modify-writes for a call. Close waits for a call that
//     another thread is in.
class CallGate {
 public:
  // Open.
  CallGate() = default;
  CallGate(const CallGate&) = delete;
  CallGate& operator=(const CallGate&) = delete;

  void Open() { state_.store(0, std::memory_order_relaxed); }

  // Runs `callback` unless the gate is closed.
  template <typename Callback>
  void Call(Callback callback) {
    uint32_t open = 0;
    if (!state_.compare_exchange_strong(open, kRunning)) return;
    caller_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    callback();
    caller_.store(std::thread::id(), std::memory_order_relaxed);
    if ((state_.fetch_and(~kRunning) & kClosed) != 0) state_.notify_all();
  }

  // No call begins after this. True: none is running either. False: the
  // closing thread is in one.
  bool Close() {
    uint32_t state = state_.fetch_or(kClosed) | kClosed;
    if ((state & kRunning) != 0 &&
        caller_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
      return false;
    }
    while ((state & kRunning) != 0) {
      state_.wait(state);
      state = state_.load();
    }
    return true;
  }

 private:
  static constexpr uint32_t kRunning = 1;
  static constexpr uint32_t kClosed = 2;

  std::atomic<uint32_t> state_ = 0;
  // Who is in Call. Another thread's number is never mistaken for one's own.
  std::atomic<std::thread::id> caller_ = std::thread::id();
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_CALL_GATE_H_
