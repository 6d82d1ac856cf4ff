// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/test_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/stale_entries.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/standard_streams.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"

namespace libvmm::sandbox::testing {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

std::unique_ptr<GuestMemory> MakeMemory(uint64_t size) {
  auto memory = GuestMemory::Create();
  Require(memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = size})).ok());
  return memory;
}

std::unique_ptr<AddressSpace> MakeSpace(GuestMemory& memory, uint64_t size) {
  auto space = AddressSpace::Create(memory, {.managed = {Gpa(0), size}});
  Require(space.ok());
  const auto map = [&](Gva at, uint64_t bytes, UserAccess access) {
    Require((*space)->Map({.at = at,
                           .size = bytes,
                           .place = AddressSpace::Place::kFixed,
                           .access = access}) >= 0);
  };
  map(TestProcess::kData, TestProcess::kDataSize,
      {.readable = true, .writable = true});
  map(TestProcess::kReadOnly, TestProcess::kPage, {.readable = true});
  (*space)->SetHeapStart(TestProcess::kHeap);
  return *std::move(space);
}

std::shared_ptr<const FileTree> MakeTree() {
  FileTreeBuilder builder;
  Require(builder.AddFile("/etc/motd", "hello\n").ok());
  Require(builder.AddStandardDevices().ok());
  Require(builder.AddDirectory("/tmp").ok());
  Require(builder.AddSymlink("/link", "etc/motd").ok());
  return std::move(builder).Build();
}

std::unique_ptr<FileSystem> MakeFiles(const TestProcess::Options& options,
                                      TestProcess& process) {
  const auto write = [&process](std::span<const std::byte> bytes) -> int64_t {
    if (process.output_error != 0) return process.output_error;
    process.output.append(reinterpret_cast<const char*>(bytes.data()),
                          bytes.size());
    return static_cast<int64_t>(bytes.size());
  };
  const auto read = [&process](std::span<std::byte> bytes) -> int64_t {
    const size_t size = std::min(bytes.size(), process.input.size());
    if (size == 0) return process.input_end;
    std::transform(process.input.begin(), process.input.begin() + size,
                   bytes.begin(),
                   [](char c) { return static_cast<std::byte>(c); });
    process.input.erase(0, size);
    return static_cast<int64_t>(size);
  };
  auto files = FileSystem::Create({
      .tree = MakeTree(),
      .limits = options.limits,
      .streams = {.input = read,
                  .output = write,
                  .errors = write,
                  .terminal = options.terminal},
      .random =
          [](std::span<std::byte> bytes) {
            std::fill(bytes.begin(), bytes.end(), std::byte{0x42});
          },
      .now = [&process] { return process.clock().Now(); },
      .read_only = false,
      .working_directory = "/",
  });
  Require(files.ok());
  return *std::move(files);
}

}  // namespace

TestProcess::TestProcess(const Options& options)
    : memory_(MakeMemory(options.memory_size)),
      space_(MakeSpace(*memory_, options.memory_size)),
      files_(MakeFiles(options, *this)),
      host_{.clock = &clock_, .sleep = {}, .random = {}},
      context_({.space = *space_,
                .files = *files_,
                .process = process_,
                .host = host_}),
      table_(SyscallTable::LinuxProgram()) {}

SyscallOutcome TestProcess::Serve(uint64_t number,
                                  const SyscallArguments& arguments) {
  const SyscallOutcome outcome = table_.Serve(context_, number, arguments);
  // What ring 0 would do before the program runs on.
  std::array<StaleRange, 64> stale;
  while (space_->TakeStale(stale) != 0) {
  }
  return outcome;
}

Gva TestProcess::Put(absl::string_view text, Gva to) {
  std::string with_end(text);
  with_end.push_back('\0');
  PutBytes(std::as_bytes(std::span(with_end.data(), with_end.size())), to);
  return to;
}

void TestProcess::PutBytes(std::span<const std::byte> bytes, Gva to) {
  Require(context_.WriteBytes(to, bytes));
}

std::string TestProcess::Text(Gva from, size_t size) {
  std::string text(size, '\0');
  Require(context_.ReadBytes(
      from, std::as_writable_bytes(std::span(text.data(), text.size()))));
  return text;
}

}  // namespace libvmm::sandbox::testing
