// SPDX-License-Identifier: Apache-2.0
// Machine code by chance in a sandbox. However it ends, the next call is right.
//
//   LIBVMM_RANDOM_PROGRAMS=1000000 bazel-bin/tests/sandbox/random_code_test
//
// A failure names the program's number; LIBVMM_RANDOM_FIRST begins with it.
#include "tests/sandbox/random_code.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/hostile_guest.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::Repetitions;

constexpr int kPrograms = 4000;
// Every so many programs, all of the sandbox is read back.
constexpr uint64_t kVerifyEvery = 16;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

TEST(RandomCodeTest, NothingGetsOutAndResetsAreComplete) {
  LIBVMM_NEEDS_KVM();
  HostFunctions::Builder functions;
  ASSERT_OK(functions.Define(
      "host_any", [](long a, long b, long c, long d, long e, long f) -> long {
        return a ^ b ^ c ^ d ^ e ^ f;
      }));
  ASSERT_OK(
      functions.Define("host_text", [](const std::string& text, long) -> long {
        return static_cast<long>(text.size());
      }));
  ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<HostileGuest> guest,
      HostileGuest::Create({.memory_size = 4 << 20,
                            .program_stack_size = 64 << 10,
                            .call_stack_size = 64 << 10,
                            .syscalls = SyscallTable::LinuxProgram(),
                            .host_functions = std::move(functions).Build(),
                            .random_seed = 1}));
  const HostileNumbers numbers(guest->data(), guest->code());
  const uint64_t count = FromEnvironment(
      "LIBVMM_RANDOM_PROGRAMS", static_cast<uint64_t>(Repetitions(kPrograms)));
  const uint64_t first = FromEnvironment("LIBVMM_RANDOM_FIRST", 1);
  std::map<std::string, uint64_t> ends;
  for (uint64_t i = 0; i < count; ++i) {
    SCOPED_TRACE(::testing::Message() << "LIBVMM_RANDOM_FIRST=" << first + i);
    const RandomCode program = MakeRandomCode(first + i, numbers);
    ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                         guest->Run(program.code, program.registers,
                                    {.after = absl::Milliseconds(3)}));
    std::string end(EndName(outcome.end()));
    if (outcome.end() == End::kFaulted) {
      const Fault& fault = guest->sandbox().fault();
      end += " kind " + std::to_string(static_cast<int>(fault.kind));
      if (fault.kind == Fault::Kind::kException) {
        end += " vector " + std::to_string(fault.vector);
      }
      if (fault.kind == Fault::Kind::kMachine) {
        end += " exit " + std::string(ExitReasonName(fault.exit));
        if (fault.exit != ExitReason::kPio) {
          std::printf("%s: program %lu\n", end.c_str(),
                      static_cast<unsigned long>(first + i));
          std::fflush(stdout);
        }
      }
    }
    ++ends[end];
    ASSERT_OK(guest->CheckReset((first + i) % kVerifyEvery == 0)) << end;
  }
  for (const auto& [end, times] : ends) {
    RecordProperty(end, std::to_string(times));
    std::printf("%8lu %s\n", static_cast<unsigned long>(times), end.c_str());
  }
}

}  // namespace
}  // namespace libvmm::sandbox
