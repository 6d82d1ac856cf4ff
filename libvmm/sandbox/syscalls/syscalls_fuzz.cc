// SPDX-License-Identifier: Apache-2.0
// A program that means harm: a script of system calls, with arguments that are
// biased towards what hurts, on memory that holds what the script says. The
// host must survive, and what it gives the program must keep its promises:
// results are values or errnos, memory and files stay in their bounds, pages
// that are read-only keep their contents.
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/deterministic_random.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace {

using libvmm::Gva;
using libvmm::sandbox::AddressSpace;
using libvmm::sandbox::DeterministicRandom;
using libvmm::sandbox::FileLimits;
using libvmm::sandbox::FileUsage;
using libvmm::sandbox::ProgramExited;
using libvmm::sandbox::ProgramSignalled;
using libvmm::sandbox::SyscallArguments;
using libvmm::sandbox::SyscallOutcome;
using libvmm::sandbox::SyscallReturned;
using libvmm::sandbox::SyscallTable;
using libvmm::sandbox::testing::TestProcess;

constexpr uint64_t kMemorySize = uint64_t{1} << 20;
constexpr FileLimits kLimits = {.bytes = uint64_t{256} << 10,
                                .files = 64,
                                .descriptors = 32,
                                .file_size = uint64_t{1} << 20};
constexpr int kMostCalls = 64;

void Require(bool condition) {
  if (!condition) std::abort();
}

class Script {
 public:
  explicit Script(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool done() const { return bytes_.empty(); }
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  uint64_t Word() {
    uint64_t word = 0;
    for (size_t i = 0; i < sizeof(word); ++i) word = word << 8 | Byte();
    return word;
  }
  std::vector<std::byte> Bytes(size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = std::byte{Byte()};
    return bytes;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// Strings and numbers that calls look at.
constexpr const char* kPaths[] = {
    "/etc/motd", "/tmp/a",   "/tmp/b",
    "/tmp",      "/",        "..",
    "",          "link",     "/dev/zero",
    "/dev/full", "/tmp/a/b", "/tmp/../tmp/./a",
    "/etc",      "a",        "/dev/urandom",
};
constexpr uint64_t kNumbers[] = {
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    24,
    32,
    64,
    100,
    0xff,
    0x1000,
    0x1001,
    0x4000,
    0x8000,
    0x10000,
    uint64_t{1} << 20,
    uint64_t{1} << 31,
    uint64_t{1} << 32,
    uint64_t{1} << 46,
    uint64_t{1} << 47,
    uint64_t{1} << 62,
    uint64_t{1} << 63,
    UINT64_MAX,
    UINT64_MAX - 4095,
    static_cast<uint64_t>(AT_FDCWD),
    O_CREAT | O_RDWR,
    O_CREAT | O_WRONLY | O_TRUNC,
    O_DIRECTORY,
    O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK,
    AT_EMPTY_PATH,
    AT_SYMLINK_NOFOLLOW,
    0x22,      // MAP_PRIVATE | MAP_ANONYMOUS
    0x32,      // the same, fixed
    0x8022,    // the same, populated
    0x122,     // the same, growing down
    0x100022,  // the same, fixed but not instead of others
    INT32_MAX,
    static_cast<uint64_t>(INT32_MIN),
};

const SyscallTable& Table() {
  static const SyscallTable* const table =
      new SyscallTable(SyscallTable::LinuxProgram());
  return *table;
}

// The numbers that are served, and some that are not.
const std::vector<uint64_t>& Calls() {
  static const std::vector<uint64_t>* const calls = [] {
    auto* const numbers = new std::vector<uint64_t>;
    for (uint64_t number = 0; number < SyscallTable::kNumbers; ++number) {
      if (Table().Has(number)) numbers->push_back(number);
    }
    numbers->push_back(SYS_socket);
    numbers->push_back(SyscallTable::kNumbers);
    numbers->push_back(UINT64_MAX);
    return numbers;
  }();
  return *calls;
}

uint64_t PickAddress(Script& script) {
  const uint8_t choice = script.Byte();
  const uint64_t offset = script.Byte();
  switch (choice % 10) {
    case 0:
      return TestProcess::kData.value() + offset;
    case 1:
      return TestProcess::kScratch.value() + offset;
    case 2:
      return TestProcess::kReadOnly.value() - offset;
    case 3:
      return TestProcess::kHole.value() - offset;
    case 4:
      return TestProcess::kHole.value() + offset * TestProcess::kPage;
    case 5:
      return TestProcess::kHeap.value() + offset * TestProcess::kPage;
    case 6:
      return AddressSpace::kUserEnd.value() - (offset + 1) * TestProcess::kPage;
    case 7:
      return AddressSpace::kUserEnd.value() - offset;
    case 8:
      return (offset & 0xf) * TestProcess::kPage;
    default:
      return uint64_t{0} - offset;
  }
}

uint64_t PickArgument(Script& script, uint64_t last_result) {
  switch (script.Byte() % 8) {
    case 0:
    case 1:
    case 2:
      return PickAddress(script);
    case 3:
    case 4:
      return kNumbers[script.Byte() % std::size(kNumbers)];
    case 5:
      return script.Byte();
    case 6:
      return last_result;
    default:
      return script.Word();
  }
}

// Something in the program's memory, where it can be written.
void PutSomething(TestProcess& process, Script& script) {
  const Gva to(PickAddress(script));
  std::vector<std::byte> bytes;
  const uint8_t choice = script.Byte();
  if (choice % 3 == 0) {
    const std::string path = kPaths[choice / 3 % std::size(kPaths)];
    const auto text = std::as_bytes(std::span(path.c_str(), path.size() + 1));
    bytes.assign(text.begin(), text.end());
  } else if (choice % 3 == 1) {
    bytes = script.Bytes(choice / 3);
  } else {
    // Words as arrays of pointers, sizes and times have them.
    for (int i = 0; i < choice / 32 + 1; ++i) {
      const uint64_t word = PickArgument(script, choice);
      const auto word_bytes = std::as_bytes(std::span(&word, 1));
      bytes.insert(bytes.end(), word_bytes.begin(), word_bytes.end());
    }
  }
  (void)process.context().WriteBytes(to, bytes);
}

void CheckOutcome(uint64_t number, const SyscallOutcome& outcome) {
  constexpr int64_t kLastErrno = 4095;
  if (const auto* const returned = std::get_if<SyscallReturned>(&outcome)) {
    Require(returned->value >= -kLastErrno);
    // A result that is an address is one of the program's.
    Require((number != SYS_mmap && number != SYS_mremap && number != SYS_brk) ||
            returned->value <
                static_cast<int64_t>(AddressSpace::kUserEnd.value()));
  } else if (const auto* const exited = std::get_if<ProgramExited>(&outcome)) {
    Require(exited->code >= 0 && exited->code <= 0xff);
  } else if (const auto* const signalled =
                 std::get_if<ProgramSignalled>(&outcome)) {
    Require(signalled->signal >= 1 && signalled->signal <= 64);
  }
}

void CheckBounds(TestProcess& process) {
  const FileUsage usage = process.files().usage();
  Require(usage.bytes <= kLimits.bytes);
  Require(usage.files <= kLimits.files);
  Require(usage.descriptors <= kLimits.descriptors);
  Require(process.space().used_frames() + process.space().available_frames() <=
          kMemorySize / TestProcess::kPage);
  Require(process.space().areas().size() <= 4096);
  Require((process.process().blocked_signals & (uint64_t{1} << 8)) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(std::span(data, size));
  TestProcess process({.memory_size = kMemorySize,
                       .limits = kLimits,
                       .terminal = (script.Byte() & 1) != 0});
  process.SetTable(Table());
  process.process().random = DeterministicRandom(script.Byte());
  process.input = "some input\n";
  process.input_end = (script.Byte() & 1) != 0 ? -EAGAIN : 0;

  uint64_t last_result = 0;
  for (int i = 0; i < kMostCalls && !script.done(); ++i) {
    for (uint8_t puts = script.Byte() % 4; puts != 0; --puts) {
      PutSomething(process, script);
    }
    const uint64_t number = Calls()[script.Byte() % Calls().size()];
    SyscallArguments arguments;
    for (uint64_t& argument : arguments.values) {
      argument = PickArgument(script, last_result);
    }
    // What the program has is not what the host keeps.
    const bool had_page =
        process.space().FindArea(TestProcess::kReadOnly) &&
        !process.space().FindArea(TestProcess::kReadOnly)->access.writable;
    const SyscallOutcome outcome = process.Serve(number, arguments);
    CheckOutcome(number, outcome);
    CheckBounds(process);
    if (had_page) {
      const auto byte =
          process.context().Read<uint64_t>(TestProcess::kReadOnly);
      Require(!byte || *byte == 0 || number == SYS_mmap ||
              number == SYS_mremap);
    }
    process.output.clear();
    if (const auto* const returned = std::get_if<SyscallReturned>(&outcome)) {
      last_result = static_cast<uint64_t>(returned->value);
    }
  }
  return 0;
}
