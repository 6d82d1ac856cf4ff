// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/syscall_context.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace libvmm::sandbox {
namespace {

// Skipped time never gets near the ends of what a timespec holds.
constexpr absl::Duration kMostSkipped = absl::Hours(24 * 365 * 100);

void FillFromKernel(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t size = ::getrandom(bytes.data(), bytes.size(), 0);
    // Nothing but a signal can come between: KVM is younger than this call.
    LIBVMM_CHECK(size > 0 || errno == EINTR);
    if (size > 0) bytes = bytes.subspan(static_cast<size_t>(size));
  }
}

}  // namespace

bool SyscallContext::ReadBytes(Gva from, std::span<std::byte> to) {
  return memory_->Read(from, to);
}

bool SyscallContext::WriteBytes(Gva to, std::span<const std::byte> from) {
  return memory_->Write(to, from);
}

int64_t SyscallContext::ReadPath(Gva from, std::string& path) {
  std::optional<UserMemory::String> string =
      memory_->ReadString(from, kPathLimit);
  if (!string) return -EFAULT;
  if (string->too_long) return -ENAMETOOLONG;
  path = std::move(string->text);
  return 0;
}

absl::Duration SyscallContext::Monotonic() const {
  return parts_.host.clock->Monotonic() + parts_.process.skipped_time;
}

absl::Time SyscallContext::Now() const {
  return parts_.host.clock->Now() + parts_.process.skipped_time;
}

absl::Duration SyscallContext::ProcessorTime() const {
  return std::max(parts_.host.clock->Monotonic() - parts_.process.started,
                  absl::ZeroDuration());
}

SyscallContext::Wait SyscallContext::SleepFor(absl::Duration duration) {
  ProcessState& process = parts_.process;
  const absl::Duration now = Monotonic();
  const absl::Duration until = process.sleeping_until.value_or(now + duration);
  const absl::Duration left = until - now;
  if (left <= absl::ZeroDuration()) return Wait::kOver;
  const bool endless = left == absl::InfiniteDuration();
  const SleepResult result =
      parts_.host.sleep ? parts_.host.sleep(left) : SleepResult::kSkipped;
  if (result == SleepResult::kPending) {
    process.sleeping_until = until;
    Pend();
    return Wait::kPending;
  }
  if (endless) {
    Deadlock();
    return Wait::kEndless;
  }
  if (result == SleepResult::kSkipped) {
    process.skipped_time = std::min(process.skipped_time + left, kMostSkipped);
  }
  return Wait::kOver;
}

void SyscallContext::FillRandom(std::span<std::byte> bytes) {
  if (parts_.process.random) {
    parts_.process.random->Fill(bytes);
  } else if (parts_.host.random) {
    parts_.host.random(bytes);
  } else {
    FillFromKernel(bytes);
  }
}

void SyscallContext::SetFsBase(Gva base) {
  parts_.process.fs_base = base;
  segment_bases_changed_ = true;
}

void SyscallContext::SetGsBase(Gva base) {
  parts_.process.gs_base = base;
  segment_bases_changed_ = true;
}

bool SyscallContext::TakeSegmentBasesChanged() {
  return std::exchange(segment_bases_changed_, false);
}

SyscallOutcome SyscallContext::Finish(int64_t value) {
  if (memory_->ran_out()) {
    if (value == -EFAULT && !outcome_) OutOfMemory();
    memory_.emplace(parts_.space);
  }
  const SyscallOutcome outcome =
      std::exchange(outcome_, std::nullopt).value_or(SyscallReturned{value});
  if (!std::holds_alternative<SyscallPending>(outcome)) {
    parts_.process.sleeping_until.reset();
  }
  return outcome;
}

}  // namespace libvmm::sandbox
