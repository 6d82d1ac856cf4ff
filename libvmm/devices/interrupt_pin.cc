// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt_pin.h"

namespace libvmm {
namespace {

// A guest at work needs one or two. What a Settle leaves behind then is a fall,
// never a rise: the pin may be high too long, but no interrupt is lost.
constexpr int kMaxCalls = 256;

}  // namespace

void InterruptPin::Settle(Mutex& mutex) {
  if (telling_) return;
  for (int calls = 0; told_ ? fell_ : level_; ++calls) {
    if (told_ && calls >= kMaxCalls) return;
    told_ = !told_;
    fell_ = false;
    if (callback_ == nullptr) continue;
    const bool level = told_;
    telling_ = true;
    mutex.Unlock();
    callback_(level);
    mutex.Lock();
    telling_ = false;
  }
}

}  // namespace libvmm
