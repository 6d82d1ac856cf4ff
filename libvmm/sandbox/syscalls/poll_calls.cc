// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/poll_calls.h"

#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"
#include "libvmm/sandbox/syscalls/time_values.h"

namespace libvmm::sandbox::internal {
namespace {

// The most descriptors that one call may name.
constexpr size_t kMostPolled = 1024;

// How long to wait when nothing is ready; InfiniteDuration for ever.
using Timeout = absl::Duration;

int64_t ReadTimeout(SyscallContext& context, Gva from, Timeout& timeout) {
  timeout = absl::InfiniteDuration();
  return from == Gva(0) ? 0 : ReadTimespec(context, from, timeout);
}

// Nothing becomes ready while a lone program waits, but streams may, in the
// embedder's time. So: look, wait, look again.
template <typename Look>
int64_t Wait(SyscallContext& context, Timeout timeout, Look look) {
  int64_t ready = look();
  if (ready == 0 && context.SleepFor(timeout) == SyscallContext::Wait::kOver) {
    ready = look();
  }
  return ready;
}

int64_t PollFor(SyscallContext& context, const SyscallArguments& args,
                Timeout timeout) {
  const uint32_t count = args.Unsigned(1);
  if (count > kMostPolled) return -EINVAL;
  std::array<pollfd, kMostPolled> storage;
  const std::span<pollfd> polled = std::span(storage).first(count);
  if (!context.ReadBytes(args.Pointer(0), std::as_writable_bytes(polled))) {
    return -EFAULT;
  }
  const int64_t ready = Wait(context, timeout, [&] {
    int64_t found = 0;
    for (pollfd& entry : polled) {
      entry.revents = 0;
      if (entry.fd < 0) continue;
      entry.revents = static_cast<int16_t>(
          context.files().Poll(entry.fd, static_cast<uint16_t>(entry.events)));
      if (entry.revents != 0) ++found;
    }
    return found;
  });
  // Only revents changes, and the program may have mapped no more than that.
  for (size_t i = 0; i < polled.size(); ++i) {
    const Gva to =
        args.Pointer(0) + (i * sizeof(pollfd) + offsetof(pollfd, revents));
    if (!context.Write(to, polled[i].revents)) return -EFAULT;
  }
  return ready;
}

int64_t Poll(SyscallContext& context, const SyscallArguments& args) {
  const int32_t milliseconds = args.Int(2);
  return PollFor(context, args,
                 milliseconds < 0 ? absl::InfiniteDuration()
                                  : absl::Milliseconds(milliseconds));
}

// The signal mask of ppoll and pselect6 is left alone: no signal comes.
int64_t Ppoll(SyscallContext& context, const SyscallArguments& args) {
  Timeout timeout;
  if (const int64_t error = ReadTimeout(context, args.Pointer(2), timeout);
      error != 0) {
    return error;
  }
  return PollFor(context, args, timeout);
}

// The sets of select: for reading, writing, and exceptions.
constexpr size_t kSets = 3;
constexpr std::array<int, kSets> kSetEvents = {POLLIN, POLLOUT, POLLPRI};
// What else makes a descriptor ready for the first two.
constexpr std::array<int, kSets> kSetExtras = {POLLHUP | POLLERR, POLLERR, 0};
using DescriptorSet = std::array<uint64_t, kMostPolled / 64>;

int64_t SelectFor(SyscallContext& context, const SyscallArguments& args,
                  Timeout timeout) {
  const int32_t count = args.Int(0);
  if (count < 0 || count > static_cast<int32_t>(kMostPolled)) return -EINVAL;
  // The kernel reads whole words.
  const size_t words = (static_cast<size_t>(count) + 63) / 64;
  std::array<DescriptorSet, kSets> wanted = {};
  std::array<DescriptorSet, kSets> found = {};
  for (size_t set = 0; set < kSets; ++set) {
    if (args[1 + set] == 0) continue;
    if (!context.ReadBytes(
            args.Pointer(1 + set),
            std::as_writable_bytes(std::span(wanted[set]).first(words)))) {
      return -EFAULT;
    }
  }
  const int64_t ready = Wait(context, timeout, [&]() -> int64_t {
    int64_t bits = 0;
    found = {};
    for (int32_t fd = 0; fd < count; ++fd) {
      const size_t word = static_cast<size_t>(fd) / 64;
      const uint64_t bit = uint64_t{1} << (fd % 64);
      for (size_t set = 0; set < kSets; ++set) {
        if ((wanted[set][word] & bit) == 0) continue;
        const int64_t events = context.files().Poll(fd, kSetEvents[set]);
        if ((events & POLLNVAL) != 0) return -EBADF;
        if ((events & (kSetEvents[set] | kSetExtras[set])) == 0) continue;
        found[set][word] |= bit;
        ++bits;
      }
    }
    return bits;
  });
  if (ready < 0) return ready;
  for (size_t set = 0; set < kSets; ++set) {
    if (args[1 + set] == 0) continue;
    if (!context.WriteBytes(
            args.Pointer(1 + set),
            std::as_bytes(std::span(found[set]).first(words)))) {
      return -EFAULT;
    }
  }
  return ready;
}

int64_t Select(SyscallContext& context, const SyscallArguments& args) {
  Timeout timeout = absl::InfiniteDuration();
  if (args[4] != 0) {
    if (const int64_t error = ReadTimeval(context, args.Pointer(4), timeout);
        error != 0) {
      return error;
    }
  }
  return SelectFor(context, args, timeout);
}

int64_t Pselect6(SyscallContext& context, const SyscallArguments& args) {
  Timeout timeout;
  if (const int64_t error = ReadTimeout(context, args.Pointer(4), timeout);
      error != 0) {
    return error;
  }
  return SelectFor(context, args, timeout);
}

constexpr SyscallEntry kCalls[] = {
    {SYS_poll, "poll", Poll},
    {SYS_select, "select", Select},
    {SYS_pselect6, "pselect6", Pselect6},
    {SYS_ppoll, "ppoll", Ppoll},
};

}  // namespace

std::span<const SyscallEntry> PollCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
