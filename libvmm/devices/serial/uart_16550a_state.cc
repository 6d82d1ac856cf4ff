// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/serial/uart_16550a_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

using namespace uart_16550a;  // NOLINT: the datasheet's names.

absl::Status Bad(absl::string_view field, uint64_t value,
                 absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "Uart16550aState.", field, " is 0x", absl::Hex(value), ": ", why));
}

absl::Status CheckBits(absl::string_view field, uint8_t value, uint8_t mask) {
  if ((value & ~mask) == 0) return absl::OkStatus();
  return Bad(field, value,
             absl::StrCat("only bits of 0x", absl::Hex(mask), " can be set"));
}

}  // namespace

absl::Status Uart16550aState::Validate() const {
  LIBVMM_RETURN_IF_ERROR(CheckBits("ier", ier, kIerMask));
  LIBVMM_RETURN_IF_ERROR(CheckBits(
      "fcr", fcr, FcrEnable::kMask | FcrDmaMode::kMask | FcrTrigger::kMask));
  const bool fifos = FcrEnable::Get(fcr) != 0;
  if (!fifos && fcr != 0) return Bad("fcr", fcr, "set without FIFO enable");
  LIBVMM_RETURN_IF_ERROR(CheckBits("mcr", mcr, kMcrMask));
  LIBVMM_RETURN_IF_ERROR(CheckBits("line_errors", line_errors, kLsrErrors));
  LIBVMM_RETURN_IF_ERROR(CheckBits("modem_deltas", modem_deltas, kMsrDeltas));
  LIBVMM_RETURN_IF_ERROR(CheckBits("modem_inputs", modem_inputs, kMsrInputs));
  const uint8_t capacity = fifos ? kFifoSize : 1;
  if (received_count > capacity) {
    return Bad("received_count", received_count, "more than the FIFO holds");
  }
  if (transmit_count > capacity) {
    return Bad("transmit_count", transmit_count, "more than the FIFO holds");
  }
  for (int i = 0; i < received_count; ++i) {
    LIBVMM_RETURN_IF_ERROR(CheckBits(absl::StrCat("received[", i, "].errors"),
                                     received[i].errors, kLsrCharacterErrors));
  }
  if (received_count > 0 && received[0].errors != 0) {
    return Bad("received[0].errors", received[0].errors,
               "the oldest byte's errors are in line_errors");
  }
  return absl::OkStatus();
}

}  // namespace libvmm
