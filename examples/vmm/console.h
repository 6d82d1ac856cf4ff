// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_CONSOLE_H_
#define LIBVMM_EXAMPLES_VMM_CONSOLE_H_

#include <cstddef>
#include <span>
#include <string>

#include "absl/strings/string_view.h"
#include "libvmm/devices/serial/uart_16550a.h"

namespace vmm {

// What the user typed behind the escape key, Ctrl-A.
enum class Command { kNone, kQuit, kPowerButton, kStats };

// Takes keys apart: what is for the guest, and commands. An escape key may end
// one read and its command begin the next.
//
// Thread-safety: thread-compatible.
class EscapeFilter {
 public:
  static constexpr char kEscape = 'a' & 0x1f;  // Ctrl-A

  // Appends to `guest` what of `keys` is the guest's, up to and without the
  // first command, which it returns; `used` is how many keys that took.
  Command Filter(std::span<const char> keys, std::string& guest, size_t& used);

 private:
  bool escaped_ = false;
};

// Keys on their way to a UART, whose FIFO may be full. The UART's receive_ready
// tells the loop to call Offer.
//
// Thread-safety: thread-compatible; receive_ready, on another thread, must not
//     call it.
// Ownership: the UART outlives its connection.
// Cost: what waits for a guest that does not read: at most kMostWaiting bytes.
class ConsoleInput {
 public:
  static constexpr size_t kMostWaiting = 64 << 10;

  // From now on keys go to `uart`, those first that wait. Null: they wait.
  void Connect(libvmm::Uart16550a* uart) {
    uart_ = uart;
    Offer();
  }
  // Keys beyond kMostWaiting are dropped, as a terminal does it.
  void Type(absl::string_view keys);
  // Gives the UART what it has room for.
  void Offer();
  // How many more keys there is room for.
  [[nodiscard]] size_t room() const { return kMostWaiting - waiting_.size(); }

 private:
  libvmm::Uart16550a* uart_ = nullptr;
  std::string waiting_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_CONSOLE_H_
