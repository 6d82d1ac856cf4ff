// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_TEST_PROCESS_H_
#define LIBVMM_SANDBOX_SYSCALLS_TEST_PROCESS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace libvmm::sandbox::testing {

// For tests: all that a system call works on, without a VM. The program has
//   kData       four pages that it can read and write
//   kReadOnly   a page that it can only read, behind kData without a gap
//   kHole       a page behind that where there is nothing
// and this tree of files:
//   /etc/motd   "hello\n"
//   /dev        null, zero, full, random, urandom
//   /tmp        empty
//   /link       -> etc/motd
class TestProcess {
 public:
  static constexpr uint64_t kPage = 4096;
  static constexpr Gva kData{0x10'0000};
  static constexpr uint64_t kDataSize = 4 * kPage;
  static constexpr Gva kReadOnly = kData + kDataSize;
  static constexpr Gva kHole = kReadOnly + kPage;
  static constexpr Gva kHeap{0x20'0000};
  // Where helpers below put paths and structures: the last page of kData.
  static constexpr Gva kScratch = kData + 3 * kPage;

  struct Options {
    uint64_t memory_size = uint64_t{8} << 20;
    FileLimits limits{};
    bool terminal = false;
  };

  TestProcess() : TestProcess(Options{}) {}
  explicit TestProcess(const Options& options);

  // Makes the call and returns what became of it.
  template <typename... Arguments>
  SyscallOutcome Call(uint64_t number, Arguments... arguments) {
    static_assert(sizeof...(Arguments) <= 6);
    return Serve(number, {.values = {ToRegister(arguments)...}});
  }
  // The same, of a call that returns: what is in RAX.
  template <typename... Arguments>
  int64_t Value(uint64_t number, Arguments... arguments) {
    const SyscallOutcome outcome = Call(number, arguments...);
    const auto* const returned = std::get_if<SyscallReturned>(&outcome);
    return returned != nullptr ? returned->value : kDidNotReturn;
  }
  static constexpr int64_t kDidNotReturn = INT64_MIN;

  SyscallOutcome Serve(uint64_t number, const SyscallArguments& arguments);

  // Writes to the program's memory, and where it stands.
  Gva Put(absl::string_view text, Gva to = kScratch);
  template <typename T>
  Gva PutValue(const T& value, Gva to = kScratch) {
    PutBytes(std::as_bytes(std::span(&value, 1)), to);
    return to;
  }
  void PutBytes(std::span<const std::byte> bytes, Gva to);
  // Reads from it.
  std::string Text(Gva from, size_t size);
  template <typename T>
  T Get(Gva from) {
    std::optional<T> value = context_.Read<T>(from);
    return value.value_or(T{});
  }

  SyscallContext& context() { return context_; }
  ProcessState& process() { return process_; }
  FileSystem& files() { return *files_; }
  AddressSpace& space() { return *space_; }
  SyscallHost& host() { return host_; }
  ManualClock& clock() { return clock_; }
  void SetTable(const SyscallTable& table) { table_ = table; }

  // What the program wrote to descriptors 1 and 2.
  std::string output;
  // What descriptor 0 gives, then input_end: 0 or a negative errno.
  std::string input;
  int64_t input_end = 0;
  // What writing gives instead of taking the bytes, when not 0.
  int64_t output_error = 0;

 private:
  template <typename T>
  static uint64_t ToRegister(T value) {
    if constexpr (std::is_same_v<T, Gva>) {
      return value.value();
    } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
      return 0;
    } else {
      return static_cast<uint64_t>(static_cast<int64_t>(value));
    }
  }

  ManualClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<AddressSpace> space_;
  std::unique_ptr<FileSystem> files_;
  ProcessState process_;
  SyscallHost host_;
  SyscallContext context_;
  SyscallTable table_;
};

}  // namespace libvmm::sandbox::testing

#endif  // LIBVMM_SANDBOX_SYSCALLS_TEST_PROCESS_H_
