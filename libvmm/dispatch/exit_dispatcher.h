// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DISPATCH_EXIT_DISPATCHER_H_
#define LIBVMM_DISPATCH_EXIT_DISPATCHER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_cursor.h"
#include "libvmm/kvm/exit.h"

namespace libvmm {

// What became of an exit that was given to an ExitDispatcher.
enum class DispatchResult : uint8_t {
  // Devices answered it all: run the vCPU again.
  kHandled = 0,
  // As kHandled, and a device asked that the embedder take over now. The vCPU
  // can be run again.
  kStop,
  // A device answers later: do not run the vCPU before Complete.
  kDeferred,
  // No device claims the access. It is the embedder's, through exit.pio() or
  // exit.mmio(); a read holds all ones already, so running the vCPU again
  // without a further thought behaves like an empty bus.
  kUnclaimed,
  // Not a PIO or MMIO exit: the embedder's own business.
  kNotIo,
};

// Carries PIO and MMIO exits of one vCPU to the devices on two buses. The loop
// stays the embedder's:
//
//   ExitDispatcher dispatcher(ports, mmio);
//   while (true) {
//     LIBVMM_ASSIGN_OR_RETURN(Exit exit, vcpu.Run());
//     switch (dispatcher.Dispatch(exit)) {
//       case DispatchResult::kHandled: continue;
//       case DispatchResult::kNotIo: ...  // exit.reason()
//     }
//   }
//
// A string instruction comes as one exit with many elements; each is an access
// of its own to the same port. A kStop among them takes effect behind the last;
// kDeferred at once, and Complete goes on with those that are left.
//
// Thread-safety: vCPU-thread.
// Ownership: move-only. Holds a cursor on each bus, not the devices. One per
//     vCPU, since a deferred access belongs to the exit it came from.
// Errors: only Complete has any; what the guest does is a DispatchResult.
// Cost: one table lookup (none when the device is the same as last time) and
//     one virtual call per access. No lock, no allocation, no system call.
class ExitDispatcher {
 public:
  // `ports` is a bus of AddressSpace::kPio, `mmio` of kMmio; swapping them is a
  // bug that aborts.
  ExitDispatcher(IoBus& ports, IoBus& mmio);

  // `exit` is the vCPU's latest. With an access deferred this is an embedder's
  // bug (checked in debug builds) that drops it.
  [[nodiscard]] DispatchResult Dispatch(const Exit& exit);

  // True between kDeferred and its Complete.
  [[nodiscard]] bool deferred() const { return element_size_ != 0; }

  // Ends the deferred access. For a read, `data` is what the guest gets and has
  // exactly its size; for a write it is empty. Then the exit's remaining
  // elements are dispatched: the result is again kHandled, kStop, kDeferred or
  // kUnclaimed.
  //   kFailedPrecondition  nothing is deferred
  //   kInvalidArgument     `data` has another size; the access stays deferred
  absl::StatusOr<DispatchResult> Complete(std::span<const std::byte> data = {});

  // Forgets a deferred access, when the vCPU is reset or will not run again.
  void Cancel() { element_size_ = 0; }

 private:
  DispatchResult DispatchPorts(uint16_t port, bool is_write, size_t size,
                               std::span<std::byte> data, bool stop);

  IoCursor ports_;
  IoCursor mmio_;

  // The deferred element; size zero when there is none. `rest_` are the
  // elements behind it, and stays empty for MMIO.
  size_t element_size_ = 0;
  std::span<std::byte> element_;
  std::span<std::byte> rest_;
  uint16_t port_ = 0;
  bool is_write_ = false;
  bool stop_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DISPATCH_EXIT_DISPATCHER_H_
