// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_IO_DEVICE_H_
#define LIBVMM_DEVICES_IO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace libvmm {

// What a guest reads where a device has no register, unless its datasheet says
// otherwise, and where there is no device: nothing pulls the data lines low.
inline constexpr std::byte kAbsentByte{0xff};

// What a device answers to one access. Hardware always answers, so there is no
// error among them: a bad access is whatever the datasheet makes of it.
enum class IoResult : uint8_t {
  // The access is complete; a Read has filled its data.
  kDone = 0,
  // The host completes the access later, through whoever dispatched it. The
  // vCPU does not run guest code until then. The data of a Read comes with the
  // completion: what the callback left in its span is ignored.
  kDeferred = 1,
  // The access is complete as with kDone, and the embedder gets control back
  // once the exit's remaining elements are done: power-off, exit codes,
  // breakpoints.
  kStop = 2,
};

// A thing that answers reads and writes in a range of port or memory addresses:
// registers behind port I/O or MMIO. It knows neither KVM nor where it is
// mapped; `offset` counts bytes from the start of its own range. The default
// device of a bus, which has no range, gets the address itself.
//
// `data` holds 1, 2, 4 or 8 bytes as a rule, but any size from 1 up to the
// range's can come and offset + data.size() is at most the range's size. Values
// are little-endian, as the guest's are. A device gives a defined answer to
// every offset and size, at once: no blocking, since the vCPU stands still
// meanwhile.
//
// Thread-safety: several vCPU threads may call one device at the same time, and
//     calls to one device are not ordered among them, unless the embedder
//     dispatches to it from one thread only. A device states what it supports.
// Ownership: `data` is lent for the call, also when the answer is kDeferred.
//     The bus does not own its devices; see IoRegistration for when one may
//     die.
// Errors: none; the guest's mistakes are values, never an abort or a Status.
// Cost: one virtual call on the exit path, where a device must not allocate,
//     make a system call it can avoid, or take a lock that is held for long.
class IoDevice {
 public:
  virtual ~IoDevice() = default;

  // The guest loads data.size() bytes at `offset`. Every byte of `data` is
  // written before kDone or kStop is returned; what it held before is
  // unspecified.
  virtual IoResult Read(uint64_t offset, std::span<std::byte> data) = 0;

  // The guest stores `data` at `offset`.
  virtual IoResult Write(uint64_t offset, std::span<const std::byte> data) = 0;

 protected:
  IoDevice() = default;
  IoDevice(const IoDevice&) = default;
  IoDevice& operator=(const IoDevice&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_IO_DEVICE_H_
