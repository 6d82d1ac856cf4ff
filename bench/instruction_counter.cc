// SPDX-License-Identifier: Apache-2.0
#include "bench/instruction_counter.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "libvmm/base/unique_fd.h"

namespace libvmm::bench {

InstructionCounter::InstructionCounter() {
  perf_event_attr attr = {};
  attr.size = sizeof(attr);
  attr.type = PERF_TYPE_HARDWARE;
  attr.config = PERF_COUNT_HW_INSTRUCTIONS;
  attr.exclude_kernel = 1;
  attr.exclude_hv = 1;
  attr.exclude_guest = 1;
  fd_ = UniqueFd(
      static_cast<int>(::syscall(SYS_perf_event_open, &attr,
                                 /*pid=*/0, /*cpu=*/-1,
                                 /*group_fd=*/-1, PERF_FLAG_FD_CLOEXEC)));
}

std::optional<uint64_t> InstructionCounter::Read() const {
  uint64_t count = 0;
  if (!fd_.valid() || ::read(fd_.get(), &count, sizeof(count)) !=
                          static_cast<ssize_t>(sizeof(count))) {
    return std::nullopt;
  }
  return count;
}

}  // namespace libvmm::bench
