// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_CONSOLE_H_
#define LIBVMM_EXAMPLES_VMM_CONSOLE_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"

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

// Keys on their way to a device of the guest, which may be full. When it has
// room again it tells the loop to call Offer.
//
// Thread-safety: thread-compatible; whatever tells the loop, on another thread,
//     must not call it.
// Ownership: what the receiver refers to outlives its connection.
// Cost: what waits for a guest that does not read: at most kMostWaiting bytes.
class ConsoleInput {
 public:
  static constexpr size_t kMostWaiting = 64 << 10;

  // Takes bytes from the front while there is room; how many.
  using Receiver = absl::AnyInvocable<size_t(std::span<const std::byte> bytes)>;

  // From now on keys go to `receiver`, those first that wait. Null: they wait.
  void Connect(Receiver receiver) {
    receiver_ = std::move(receiver);
    Offer();
  }
  // Keys beyond kMostWaiting are dropped, as a terminal does it.
  void Type(absl::string_view keys);
  // Gives the device what it has room for.
  void Offer();
  // How many more keys there is room for.
  [[nodiscard]] size_t room() const { return kMostWaiting - waiting_.size(); }

 private:
  Receiver receiver_ = nullptr;
  std::string waiting_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_CONSOLE_H_
