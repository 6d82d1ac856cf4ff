// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt_pin.h"

namespace libvmm {

void InterruptPin::Settle(Mutex& mutex) {
  if (telling_) return;
  for (int calls = 0; crossed_; ++calls) {
    if (told_ && calls >= kMaxCalls) return;
    told_ = !told_;
    crossed_ = level_ != told_;
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
