// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_RUN_GATE_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_RUN_GATE_H_

#include <atomic>
#include <cstdint>

namespace libvmm {

// Lets one thread at a time do some work that any thread may ask for. Who finds
// the gate taken leaves a note and goes; who is inside looks for notes before it
// leaves.
//
//   if (!gate.Enter()) return;      // Somebody else does it, after this call.
//   do {
//     ...                           // The work.
//   } while (!gate.Leave());        // Asked again meanwhile: once more.
//
// Everything that a thread did before an Enter that returned false is seen by
// the round of work that answers it, and everything done in a round by the next.
//
// Thread-safety: thread-safe.
// Ownership: none.
// Errors: none.
// Cost: Enter and Leave one atomic read-modify-write each, again where another
//     thread comes between. Close waits, without spinning for long.
class RunGate {
 public:
  // Closed at first.
  RunGate() = default;
  RunGate(const RunGate&) = delete;
  RunGate& operator=(const RunGate&) = delete;

  // True: this thread is inside now, and leaves by Leave or Yield. False:
  // someone else is, who will do another round; or the gate is closed.
  [[nodiscard]] bool Enter();

  // True: this thread is out. False: asked again since the last false Leave, or
  // since Enter; it is still inside. A closed gate lets everybody out.
  [[nodiscard]] bool Leave();

  // Out, whatever was asked. True: there was a note, which the caller sees to
  // by having someone Enter again. False too when the gate is closed.
  [[nodiscard]] bool Yield();

  void Open();
  // Nobody gets in from now on; returns when nobody is inside. Not from inside.
  // What was done inside is seen by who returns from this.
  void Close();

 private:
  std::atomic<uint32_t> state_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_RUN_GATE_H_
