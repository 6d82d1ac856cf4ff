// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pic_injector.h"

#include <optional>

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/inject.h"

namespace libvmm {

absl::Status PicInjector::BeforeEntry(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_run* const run, vcpu.run_page());
  if (run->ready_for_interrupt_injection != 0) {
    const std::optional<uint8_t> vector = pic_.TryAcknowledge();
    if (vector.has_value()) {
      LIBVMM_RETURN_IF_ERROR(QueueInterrupt(vcpu, *vector).status());
      // The kernel says so again after an entry; should there be none, the next
      // interrupt must not take this one's place.
      run->ready_for_interrupt_injection = 0;
    }
  }
  run->request_interrupt_window = pic_.intr() ? 1 : 0;
  return absl::OkStatus();
}

}  // namespace libvmm
