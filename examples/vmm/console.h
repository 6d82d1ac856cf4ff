// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_CONSOLE_H_
#define LIBVMM_EXAMPLES_VMM_CONSOLE_H_

#include <cstddef>
#include <span>
#include <string>

#include "libvmm/devices/serial/uart_16550a.h"

namespace vmm {

// What the user typed behind the escape key, Ctrl-A.
enum class Command { kNone, kQuit, kPowerButton, kStats };

// Takes keys apart: what is for the guest, and commands.
class EscapeFilter {
 public:
  static constexpr char kEscape = 'a' & 0x1f;  // Ctrl-A

  // Appends to `guest` what of `keys` is the guest's, up to and without the
  // first command, which it returns; `used` is how many keys that took.
  Command Filter(std::span<const char> keys, std::string& guest, size_t& used);

 private:
  bool escaped_ = false;
};

// Keys on their way to a UART, whose FIFO may be full. For the loop's thread
// alone; the UART's receive_ready tells the loop to call Offer.
class ConsoleInput {
 public:
  // Null: what is typed waits.
  void Connect(libvmm::Uart16550a* uart) { uart_ = uart; }
  void Type(const std::string& keys) {
    waiting_ += keys;
    Offer();
  }
  // Gives the UART what it has room for.
  void Offer();

 private:
  libvmm::Uart16550a* uart_ = nullptr;
  std::string waiting_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_CONSOLE_H_
