// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_EXIT_PORT_H_
#define LIBVMM_DEVICES_EXIT_PORT_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/base/little_endian.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

// How a test guest ends with a result: QEMU's isa-debug-exit. Writing v of 1, 2
// or 4 bytes at any offset makes the exit code (v << 1) | 1, so that no guest
// can end with 0, and stops the vCPU. Reads give zero.
//
// Writes of other sizes, which QEMU's bus would not deliver, are dropped. The
// code is 32 bits: the top bit of a 4-byte v is lost. A process that exits with
// it passes on the low 8 bits.
//
// Thread-safety: thread-safe. When several vCPUs write, the first code stays.
// Errors: none.
// Cost: one atomic operation for each write.
class ExitPort final : public IoDevice {
 public:
  // Where QEMU's documentation and most test guests have it: ports 0xf4 to
  // 0xf7.
  static constexpr uint16_t kPort = 0xf4;
  static constexpr uint16_t kSize = 4;

  // The code of the first write; nothing until then.
  [[nodiscard]] std::optional<uint32_t> exit_code() const {
    const uint32_t code = code_.load(std::memory_order_acquire);
    if (code == kNone) return std::nullopt;
    return code;
  }

  // As if nothing had been written, for the next run of the guest.
  void Clear() { code_.store(kNone, std::memory_order_release); }

  IoResult Read(uint64_t, std::span<std::byte> data) override {
    std::ranges::fill(data, std::byte{0});
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte> data) override {
    if (data.size() != 1 && data.size() != 2 && data.size() != 4) {
      return IoResult::kDone;
    }
    const auto value = static_cast<uint32_t>(LoadLittleEndian(data));
    uint32_t none = kNone;
    code_.compare_exchange_strong(none, (value << 1) | 1,
                                  std::memory_order_acq_rel);
    return IoResult::kStop;
  }

 private:
  // Codes are odd.
  static constexpr uint32_t kNone = 0;
  std::atomic<uint32_t> code_{kNone};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_EXIT_PORT_H_
