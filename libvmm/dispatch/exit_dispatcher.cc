// SPDX-License-Identifier: Apache-2.0
#include "libvmm/dispatch/exit_dispatcher.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/hot.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {
namespace {

LIBVMM_HOT IoOutcome Access(IoCursor& cursor, uint64_t address, bool is_write,
                            std::span<std::byte> data) {
  if (is_write) return cursor.Write(address, data);
  const IoOutcome outcome = cursor.Read(address, data);
  if (outcome == IoOutcome::kUnclaimed) {
    std::ranges::fill(data, kAbsentByte);
  }
  return outcome;
}

}  // namespace

ExitDispatcher::ExitDispatcher(IoBus& ports, IoBus& mmio)
    : ports_(ports.MakeCursor()), mmio_(mmio.MakeCursor()) {
  LIBVMM_CHECK(ports.space() == AddressSpace::kPio);
  LIBVMM_CHECK(mmio.space() == AddressSpace::kMmio);
}

LIBVMM_HOT DispatchResult ExitDispatcher::Dispatch(const Exit& exit) {
  LIBVMM_DCHECK(!deferred());
  switch (exit.reason()) {
    case ExitReason::kPio: {
      const PioExit pio = exit.pio();
      return DispatchPorts(pio.port, pio.is_write, pio.size, pio.data, false);
    }
    case ExitReason::kMmio: {
      const MmioExit mmio = exit.mmio();
      switch (Access(mmio_, mmio.gpa.value(), mmio.is_write, mmio.data)) {
        case IoOutcome::kDone:
          return DispatchResult::kHandled;
        case IoOutcome::kStop:
          return DispatchResult::kStop;
        case IoOutcome::kUnclaimed:
          return DispatchResult::kUnclaimed;
        case IoOutcome::kDeferred:
          element_size_ = mmio.data.size();
          element_ = mmio.data;
          rest_ = {};
          is_write_ = mmio.is_write;
          stop_ = false;
          return DispatchResult::kDeferred;
      }
      return DispatchResult::kHandled;
    }
    default:
      return DispatchResult::kNotIo;
  }
}

LIBVMM_HOT DispatchResult
ExitDispatcher::DispatchPorts(uint16_t port, bool is_write, size_t size,
                              std::span<std::byte> data, bool stop) {
  while (size != 0 && data.size() >= size) {
    const std::span<std::byte> element = data.first(size);
    data = data.subspan(size);
    switch (Access(ports_, port, is_write, element)) {
      case IoOutcome::kDone:
        break;
      case IoOutcome::kStop:
        stop = true;
        break;
      case IoOutcome::kUnclaimed:
        // Of a string, the rest: as on an empty bus. A stop before it counts.
        if (!is_write) std::ranges::fill(data, kAbsentByte);
        return stop ? DispatchResult::kStop : DispatchResult::kUnclaimed;
      case IoOutcome::kDeferred:
        element_size_ = size;
        element_ = element;
        rest_ = data;
        port_ = port;
        is_write_ = is_write;
        stop_ = stop;
        return DispatchResult::kDeferred;
    }
  }
  return stop ? DispatchResult::kStop : DispatchResult::kHandled;
}

absl::StatusOr<DispatchResult> ExitDispatcher::Complete(
    std::span<const std::byte> data) {
  if (!deferred()) {
    return absl::FailedPreconditionError("Complete: no access is deferred");
  }
  const size_t wanted = is_write_ ? 0 : element_size_;
  if (data.size() != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Complete: data has ", data.size(), " bytes, the deferred ",
        is_write_ ? "write" : "read", " takes ", wanted));
  }
  std::ranges::copy(data, element_.begin());
  const size_t size = element_size_;
  element_size_ = 0;
  return DispatchPorts(port_, is_write_, size, rest_, stop_);
}

}  // namespace libvmm
