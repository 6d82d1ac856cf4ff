// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/syscall_table.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/sandbox/syscalls/descriptor_calls.h"
#include "libvmm/sandbox/syscalls/memory_calls.h"
#include "libvmm/sandbox/syscalls/path_calls.h"
#include "libvmm/sandbox/syscalls/poll_calls.h"
#include "libvmm/sandbox/syscalls/process_calls.h"
#include "libvmm/sandbox/syscalls/resource_calls.h"
#include "libvmm/sandbox/syscalls/signal_calls.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/system_calls.h"
#include "libvmm/sandbox/syscalls/thread_calls.h"
#include "libvmm/sandbox/syscalls/time_calls.h"

namespace libvmm::sandbox {
namespace {

using internal::SyscallEntry;

constexpr std::span<const SyscallEntry> (*kSubjects[])() = {
    internal::DescriptorCalls, internal::MemoryCalls,  internal::PathCalls,
    internal::PollCalls,       internal::ProcessCalls, internal::ResourceCalls,
    internal::SignalCalls,     internal::SystemCalls,  internal::ThreadCalls,
    internal::TimeCalls,
};

absl::Status NumberTooHigh(uint64_t number) {
  return absl::InvalidArgumentError(
      absl::StrCat("system call number is ", number, ", expected less than ",
                   SyscallTable::kNumbers));
}

}  // namespace

SyscallTable::SyscallTable() : rows_(std::make_shared<const Rows>()) {}

SyscallTable::SyscallTable(std::shared_ptr<const Rows> rows)
    : rows_(std::move(rows)) {}

SyscallTable SyscallTable::LinuxProgram() {
  Builder builder;
  for (const auto subject : kSubjects) {
    for (const SyscallEntry& entry : subject()) {
      builder.At(entry.number).handler = entry.handler;
    }
  }
  return std::move(builder).Build();
}

SyscallOutcome SyscallTable::Serve(SyscallContext& context, uint64_t number,
                                   const SyscallArguments& arguments) const {
  const Entry* const entry =
      number < rows_->entries.size() ? &rows_->entries[number] : nullptr;
  if (entry == nullptr || !entry->handler) {
    const Refusal refusal = entry == nullptr
                                ? rows_->otherwise
                                : entry->refusal.value_or(rows_->otherwise);
    if (refusal == Refusal::kFault) return ForbiddenSyscall{number};
    return SyscallReturned{-ENOSYS};
  }
  return context.Finish(entry->handler(context, arguments));
}

bool SyscallTable::Has(uint64_t number) const {
  return number < rows_->entries.size() &&
         rows_->entries[number].handler != nullptr;
}

absl::string_view SyscallTable::Name(uint64_t number) {
  for (const auto subject : kSubjects) {
    for (const SyscallEntry& entry : subject()) {
      if (entry.number == number) return entry.name;
    }
  }
  return "";
}

absl::Status SyscallTable::Builder::Set(uint64_t number,
                                        SyscallHandler handler) {
  if (number >= kNumbers) return NumberTooHigh(number);
  if (!handler) {
    return absl::InvalidArgumentError(
        absl::StrCat("the handler of system call ", number, " is empty"));
  }
  At(number) = {std::move(handler), {}};
  return absl::OkStatus();
}

absl::Status SyscallTable::Builder::Remove(uint64_t number, Refusal refusal) {
  if (number >= kNumbers) return NumberTooHigh(number);
  At(number) = {nullptr, refusal};
  return absl::OkStatus();
}

SyscallTable SyscallTable::Builder::Build() && {
  return SyscallTable(std::make_shared<const Rows>(std::move(rows_)));
}

SyscallTable::Entry& SyscallTable::Builder::At(uint64_t number) {
  if (number >= rows_.entries.size()) rows_.entries.resize(number + 1);
  return rows_.entries[number];
}

}  // namespace libvmm::sandbox
