// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/system_calls.h"

#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

// The field stays NUL-terminated.
template <size_t kSize>
void CopyName(absl::string_view from, char (&to)[kSize]) {
  from.copy(to, kSize - 1);
}

int64_t Uname(SyscallContext& context, const SyscallArguments& args) {
  utsname names;
  std::memset(&names, 0, sizeof(names));
  CopyName("Linux", names.sysname);
  CopyName("sandbox", names.nodename);
  // C libraries refuse to start on a kernel older than they know.
  CopyName("6.1.0", names.release);
  CopyName("#1 libvmm", names.version);
  CopyName("x86_64", names.machine);
  CopyName("(none)", names.domainname);
  return context.Write(args.Pointer(0), names) ? 0 : -EFAULT;
}

int64_t Sysinfo(SyscallContext& context, const SyscallArguments& args) {
  struct sysinfo info;
  std::memset(&info, 0, sizeof(info));
  const AddressSpace& space = context.space();
  info.uptime = absl::ToInt64Seconds(context.Monotonic());
  info.freeram = space.available_frames() * AddressSpace::kPageSize;
  info.totalram = info.freeram + space.used_frames() * AddressSpace::kPageSize;
  info.procs = 1;
  info.mem_unit = 1;
  return context.Write(args.Pointer(0), info) ? 0 : -EFAULT;
}

// The most bytes of one call. Linux gives up to 32 MiB at once.
constexpr uint64_t kMostRandom = 32 << 20;

int64_t Getrandom(SyscallContext& context, const SyscallArguments& args) {
  constexpr uint32_t kKnown = GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE;
  constexpr uint32_t kContrary = GRND_RANDOM | GRND_INSECURE;
  const uint32_t flags = args.Unsigned(2);
  if ((flags & ~kKnown) != 0 || (flags & kContrary) == kContrary) {
    return -EINVAL;
  }
  const uint64_t size = std::min(args[1], kMostRandom);
  uint64_t done = 0;
  std::array<std::byte, AddressSpace::kPageSize> chunk;
  while (done < size) {
    const std::span<std::byte> bytes =
        std::span(chunk).first(std::min<uint64_t>(chunk.size(), size - done));
    context.FillRandom(bytes);
    if (!context.WriteBytes(args.Pointer(0) + done, bytes)) {
      return done != 0 ? static_cast<int64_t>(done) : -EFAULT;
    }
    done += bytes.size();
  }
  return static_cast<int64_t>(done);
}

constexpr SyscallEntry kCalls[] = {
    {SYS_uname, "uname", Uname},
    {SYS_sysinfo, "sysinfo", Sysinfo},
    {SYS_getrandom, "getrandom", Getrandom},
};

}  // namespace

std::span<const SyscallEntry> SystemCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
