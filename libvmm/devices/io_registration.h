// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_IO_REGISTRATION_H_
#define LIBVMM_DEVICES_IO_REGISTRATION_H_

#include <cstdint>
#include <memory>
#include <utility>

namespace libvmm {

namespace internal {
class IoBusState;
}  // namespace internal

// A device's place on an IoBus, held for as long as the device answers there.
//
// Removing it (Unregister, the destructor, assignment over it) takes the device
// off the bus and waits until no thread is inside a call that reached the
// device through this registration. Then the device may be destroyed.
//
// Removal from inside a callback, this device's own or another's on the same
// thread, does not wait for the calls that are on that thread's own stack, as
// it would wait for itself: the device must then outlive the callback. While a
// callback dispatches through its own cursor, removal waits for all of the
// nested calls, whatever their devices. What never returns is two threads each
// inside a device (or a nested call) that the other one waits for, or a removal
// while holding a lock that the device's callback waits for.
//
// Thread-safety: thread-compatible; different registrations from any threads.
// Ownership: move-only. Holds the bus's shared state: the IoBus may be
//     destroyed first. It refers to the device, which must live until removal
//     has returned.
// Errors: none.
// Cost: removal copies the bus's table, makes one membarrier(2) call, and waits
//     for calls in flight by polling with a growing sleep of at most 1 ms: the
//     side that dispatches makes no system call and so can wake nobody.
class IoRegistration {
 public:
  // Registers nothing.
  IoRegistration() = default;

  IoRegistration(IoRegistration&& other) noexcept
      : state_(std::move(other.state_)), id_(std::exchange(other.id_, 0)) {}
  IoRegistration& operator=(IoRegistration&& other) noexcept {
    if (this != &other) {
      Unregister();
      state_ = std::move(other.state_);
      id_ = std::exchange(other.id_, 0);
    }
    return *this;
  }
  ~IoRegistration() { Unregister(); }

  // True while a device is registered through this object.
  [[nodiscard]] bool registered() const { return state_ != nullptr; }

  // Removes the device now and waits as described above. Harmless when nothing
  // is registered.
  void Unregister();

 private:
  friend class IoBus;

  IoRegistration(std::shared_ptr<internal::IoBusState> state, uint64_t id)
      : state_(std::move(state)), id_(id) {}

  std::shared_ptr<internal::IoBusState> state_;
  uint64_t id_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_IO_REGISTRATION_H_
