// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_IO_BUS_H_
#define LIBVMM_DEVICES_IO_BUS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "libvmm/devices/io_cursor.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/io_range.h"
#include "libvmm/devices/io_registration.h"

namespace libvmm {

// The map from the addresses of one space to the devices that answer there. A
// VM has two: one for ports and one for MMIO.
//
//   IoBus ports(AddressSpace::kPio);
//   absl::StatusOr<IoRegistration> com1 = ports.Register({0x3f8, 8}, uart);
//   IoCursor cursor = ports.MakeCursor();  // One for each vCPU thread.
//   cursor.Write(0x3f8, data);             // Calls uart.Write(0, data).
//
// The bus decodes whole accesses: one that does not lie inside a single range
// goes to the default device if there is one, and is kUnclaimed otherwise.
// Whether the guest then reads all ones is up to the embedder; see FloatingBus.
//
// Thread-safety: thread-safe. Registration never blocks dispatch; it holds a
//     lock against other registrations only, and no callback runs under it. A
//     callback may register and unregister.
// Ownership: refers to devices; each IoRegistration governs one. Bus,
//     registrations and cursors may be destroyed in any order.
// Errors: of registration only.
// Cost: a registration copies the table: a microsecond, some 30 of them with
//     4096 devices, and one membarrier(2) call when cursors exist; it waits for
//     lookups under way, not for devices. Heap: for ports 1 KiB, 512 bytes for
//     each populated block of 256 ports and 32 for each device; for MMIO 40 for
//     each device, some more in uneven layouts; 64 for each cursor.
class IoBus {
 public:
  explicit IoBus(AddressSpace space);
  IoBus(const IoBus&) = delete;
  IoBus& operator=(const IoBus&) = delete;
  ~IoBus();

  // Puts `device` at `range`. It may be called before this returns. One device
  // may stand at several ranges and on several buses.
  //   kInvalidArgument: the range is empty, passes the end of the space (port
  //       0xffff, or the last 64-bit address).
  //   kAlreadyExists: part of the range is taken; names both ranges.
  [[nodiscard]] absl::StatusOr<IoRegistration> Register(IoRange range,
                                                        IoDevice& device);

  // Makes `device` the one that gets every access which no range claims, but
  // not empty ones. It sees the address as its offset, and the access may cross
  // ranges or pass the end of the space. kAlreadyExists when there is one.
  [[nodiscard]] absl::StatusOr<IoRegistration> RegisterDefault(
      IoDevice& device);

  // A way in for one thread; see IoCursor. Cost: takes the registration lock,
  // and allocates unless an earlier cursor's place is free.
  [[nodiscard]] IoCursor MakeCursor();

  [[nodiscard]] AddressSpace space() const;

 private:
  std::shared_ptr<internal::IoBusState> state_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_IO_BUS_H_
