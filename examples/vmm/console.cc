// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/console.h"

namespace vmm {

Command EscapeFilter::Filter(std::span<const char> keys, std::string& guest,
                             size_t& used) {
  for (used = 0; used < keys.size();) {
    const char key = keys[used++];
    if (!escaped_) {
      if (key == kEscape) {
        escaped_ = true;
      } else {
        guest.push_back(key);
      }
      continue;
    }
    escaped_ = false;
    switch (key) {
      case 'x':
      case 'X':
        return Command::kQuit;
      case 'p':
      case 'P':
        return Command::kPowerButton;
      case 's':
      case 'S':
        return Command::kStats;
      case kEscape:
        guest.push_back(kEscape);
        break;
      default:  // No command: both keys were meant for the guest.
        guest.push_back(kEscape);
        guest.push_back(key);
    }
  }
  return Command::kNone;
}

void ConsoleInput::Type(absl::string_view keys) {
  Offer();
  const absl::string_view taken = keys.substr(0, room());
  waiting_.append(taken.data(), taken.size());
  Offer();
}

void ConsoleInput::Offer() {
  if (receiver_ == nullptr || waiting_.empty()) return;
  const size_t taken =
      receiver_(std::as_bytes(std::span(waiting_.data(), waiting_.size())));
  waiting_.erase(0, taken);
}

}  // namespace vmm
