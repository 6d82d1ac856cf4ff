// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/process_start.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/time_values.h"

namespace libvmm::sandbox {
namespace {

// AT_MINSIGSTKSZ, which older <elf.h> lack.
constexpr uint64_t kAtMinSigStackSize = 51;
// The psABI wants RSP at a multiple of 16 on entry.
constexpr uint64_t kStackAlignment = 16;
constexpr size_t kRandomSize = 16;
constexpr absl::string_view kPlatform = "x86_64";
// The strings and vectors may fill this part of the stack (execve(2)).
constexpr uint64_t kStackShare = 4;

absl::Status CheckStrings(absl::string_view name,
                          const std::vector<std::string>& strings,
                          uint64_t room, uint64_t& size) {
  for (size_t i = 0; i < strings.size(); ++i) {
    if (strings[i].find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, "[", i, "] has a NUL inside"));
    }
    if (strings[i].size() >= ProcessStart::kMaxStringSize) {
      return absl::ResourceExhaustedError(absl::StrCat(
          name, "[", i, "] is of ", strings[i].size(), " bytes, at most ",
          ProcessStart::kMaxStringSize - 1, " fit"));
    }
    size += strings[i].size() + 1 + sizeof(uint64_t);
    if (size > room) {
      return absl::ResourceExhaustedError(absl::StrCat(
          name, " is too long: with its pointers it passes ", room, " bytes"));
    }
  }
  return absl::OkStatus();
}

// Fills a block of bytes that will stand at `start`.
class Block {
 public:
  explicit Block(Gva end, size_t size) : start_(end - size), bytes_(size) {}

  // From the end down; where it will stand.
  Gva PushDown(std::span<const std::byte> data) {
    end_ += data.size();
    std::copy(data.begin(), data.end(), bytes_.end() - end_);
    return start_ + (bytes_.size() - end_);
  }
  Gva PushDown(absl::string_view text) {
    ++end_;  // The NUL is there already.
    return PushDown(std::as_bytes(std::span(text.data(), text.size())));
  }
  // From the start up.
  void PushUp(uint64_t word) {
    std::memcpy(bytes_.data() + begin_, &word, sizeof(word));
    begin_ += sizeof(word);
  }

  [[nodiscard]] Gva start() const { return start_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

 private:
  Gva start_;
  std::vector<std::byte> bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

void NameProcess(ProcessState& process, absl::string_view executable) {
  if (const size_t slash = executable.rfind('/');
      slash != absl::string_view::npos) {
    executable.remove_prefix(slash + 1);
  }
  process.name.fill('\0');
  executable.copy(process.name.data(), process.name.size() - 1);
}

}  // namespace

absl::StatusOr<Gva> WriteProcessStart(SyscallContext& context,
                                      const ProcessStart& start) {
  if (!start.stack_top.IsAligned(kStackAlignment)) {
    return absl::InvalidArgumentError(
        absl::StrCat("stack_top is 0x", absl::Hex(start.stack_top.value()),
                     ", expected a multiple of ", kStackAlignment));
  }
  if (start.stack_size > start.stack_top.value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("stack_size is ", start.stack_size,
                     ", more than there is below stack_top"));
  }
  const std::string& executable =
      !start.executable.empty() || start.arguments.empty() ? start.executable
                                                           : start.arguments[0];
  const uint64_t room = std::min<uint64_t>(ProcessStart::kMaxSize,
                                           start.stack_size / kStackShare);
  uint64_t strings = 0;
  LIBVMM_RETURN_IF_ERROR(CheckStrings("argv", start.arguments, room, strings));
  LIBVMM_RETURN_IF_ERROR(
      CheckStrings("envp", start.environment, room, strings));
  LIBVMM_RETURN_IF_ERROR(
      CheckStrings("executable", {executable}, room, strings));

  std::array<std::byte, kRandomSize> random;
  context.FillRandom(random);
  ProcessState& process = context.process();

  // Linux's order, from the top: a null word, the strings, random bytes; then
  // with RSP at its start argc, argv, envp and the auxiliary vector.
  constexpr size_t kAuxiliaryEntries = 20;
  const size_t words = 1 + start.arguments.size() + 1 +
                       start.environment.size() + 1 + 2 * kAuxiliaryEntries;
  const size_t string_bytes =
      strings - sizeof(uint64_t) *
                    (start.arguments.size() + start.environment.size() + 1);
  const size_t size = sizeof(uint64_t) + string_bytes + kPlatform.size() + 1 +
                      kRandomSize + words * sizeof(uint64_t);
  const size_t rounded =
      (size + kStackAlignment - 1) / kStackAlignment * kStackAlignment;
  if (rounded > start.stack_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("stack_size is ", start.stack_size, ", the start takes ",
                     rounded, " bytes"));
  }
  Block block(start.stack_top, rounded);
  block.PushDown(std::array<std::byte, sizeof(uint64_t)>{});
  const Gva executable_at = block.PushDown(executable);
  // Downwards, so that argv[0] is the lowest and they follow each other.
  std::vector<Gva> environment(start.environment.size());
  for (size_t i = environment.size(); i-- > 0;) {
    environment[i] = block.PushDown(start.environment[i]);
  }
  std::vector<Gva> arguments(start.arguments.size());
  for (size_t i = arguments.size(); i-- > 0;) {
    arguments[i] = block.PushDown(start.arguments[i]);
  }
  const Gva platform_at = block.PushDown(kPlatform);
  const Gva random_at = block.PushDown(random);

  block.PushUp(arguments.size());
  for (const Gva at : arguments) block.PushUp(at.value());
  block.PushUp(0);
  for (const Gva at : environment) block.PushUp(at.value());
  block.PushUp(0);
  const std::pair<uint64_t, uint64_t> auxiliary[kAuxiliaryEntries] = {
      {AT_HWCAP, start.hardware_capabilities},
      {AT_PAGESZ, AddressSpace::kPageSize},
      {AT_CLKTCK, internal::kTicksPerSecond},
      {AT_PHDR, start.program_headers.value()},
      {AT_PHENT, start.program_header_size},
      {AT_PHNUM, start.program_header_count},
      {AT_BASE, start.base.value()},
      {AT_FLAGS, 0},
      {AT_ENTRY, start.entry.value()},
      {AT_UID, process.user},
      {AT_EUID, process.user},
      {AT_GID, process.group},
      {AT_EGID, process.group},
      {AT_SECURE, 0},
      {AT_RANDOM, random_at.value()},
      {AT_HWCAP2, start.hardware_capabilities2},
      {AT_EXECFN, executable_at.value()},
      {AT_PLATFORM, platform_at.value()},
      {kAtMinSigStackSize, start.minimum_signal_stack_size},
      {AT_NULL, 0},
  };
  for (const auto& [type, value] : auxiliary) {
    block.PushUp(type);
    block.PushUp(value);
  }
  if (!context.WriteBytes(block.start(), block.bytes())) {
    return absl::OutOfRangeError(absl::StrCat(
        "the stack below 0x", absl::Hex(start.stack_top.value()),
        " is not writable memory of the program for ", rounded, " bytes"));
  }
  NameProcess(process, executable);
  process.started = context.Monotonic() - process.skipped_time;
  return block.start();
}

}  // namespace libvmm::sandbox
