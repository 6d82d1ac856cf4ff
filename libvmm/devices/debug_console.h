// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_DEBUG_CONSOLE_H_
#define LIBVMM_DEVICES_DEBUG_CONSOLE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/any_invocable.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

// The debug port of Bochs ("port 0xE9 hack") and QEMU (isa-debugcon): every
// byte written goes to the host, and reading gives 0xe9, by which a guest knows
// that the port is there. One port; wider accesses are so many bytes.
//
// Thread-safety: as safe as the sink, which runs on the vCPU threads that
//     write.
// Ownership: owns the sink.
// Errors: none.
// Cost: a call of the sink for each write.
class DebugConsole final : public IoDevice {
 public:
  // Where the PC has it, and what reading it gives.
  static constexpr uint16_t kPort = 0xe9;
  static constexpr std::byte kSignature{0xe9};

  // `sink` takes the bytes of one write, lent for the call; not null.
  explicit DebugConsole(
      absl::AnyInvocable<void(std::span<const std::byte> bytes)> sink);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  absl::AnyInvocable<void(std::span<const std::byte> bytes)> sink_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_DEBUG_CONSOLE_H_
