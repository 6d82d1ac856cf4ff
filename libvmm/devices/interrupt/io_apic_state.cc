// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/io_apic_state.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"

namespace libvmm {

using namespace io_apic;  // NOLINT: the datasheet's names.

absl::Status IoApicState::Validate() const {
  const auto bad = [](absl::string_view field, uint64_t value,
                      absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(
        "IoApicState.", field, " is 0x", absl::Hex(value), ": ", why));
  };
  if (id > IdId::kMax) return bad("id", id, "more than four bits");
  if (arbitration > IdId::kMax) {
    return bad("arbitration", arbitration, "more than four bits");
  }
  for (size_t pin = 0; pin < kPinCount; ++pin) {
    const uint64_t entry = redirection[pin];
    if ((entry & ~(kEntryWritable | EntryRemoteIrr::kMask)) != 0) {
      return bad(absl::StrCat("redirection[", pin, "]"), entry,
                 "reserved bits are set");
    }
    if (EntryRemoteIrr::Get(entry) != 0 && !IsLevel(entry)) {
      return bad(absl::StrCat("redirection[", pin, "]"), entry,
                 "remote IRR without a level-triggered pin");
    }
  }
  if ((lines >> kPinCount) != 0) return bad("lines", lines, "not so many pins");
  return absl::OkStatus();
}

}  // namespace libvmm
