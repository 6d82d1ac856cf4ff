// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/syscall_table.h"

#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint64_t kOwnCall = 700;

SyscallTable Built(SyscallTable::Builder builder) {
  return std::move(builder).Build();
}

TEST(SyscallTableTest, DefaultRefusesEverything) {
  TestProcess process;
  process.SetTable(SyscallTable());
  for (const uint64_t number :
       {uint64_t{0}, uint64_t{SYS_exit_group}, SyscallTable::kNumbers - 1,
        SyscallTable::kNumbers, UINT64_MAX}) {
    EXPECT_EQ(process.Call(number), SyscallOutcome(SyscallReturned{-ENOSYS}))
        << number;
    EXPECT_FALSE(SyscallTable().Has(number));
  }
}

TEST(SyscallTableTest, FaultForWhatIsNotNamed) {
  SyscallTable::Builder builder;
  builder.SetOtherwise(SyscallTable::Refusal::kFault);
  ASSERT_THAT(builder.Remove(SYS_read), IsOk());
  ASSERT_THAT(builder.Set(kOwnCall,
                          [](SyscallContext&,
                             const SyscallArguments&) -> int64_t { return 7; }),
              IsOk());
  TestProcess process;
  process.SetTable(Built(std::move(builder)));
  EXPECT_EQ(process.Call(SYS_read), SyscallOutcome(SyscallReturned{-ENOSYS}));
  EXPECT_EQ(process.Call(kOwnCall), SyscallOutcome(SyscallReturned{7}));
  for (const uint64_t number :
       {uint64_t{SYS_write}, kOwnCall - 1, kOwnCall + 1, UINT64_MAX}) {
    EXPECT_EQ(process.Call(number), SyscallOutcome(ForbiddenSyscall{number}));
  }
}

TEST(SyscallTableTest, FaultForOneNumber) {
  SyscallTable::Builder builder(SyscallTable::LinuxProgram());
  ASSERT_THAT(builder.Remove(SYS_unlink, SyscallTable::Refusal::kFault),
              IsOk());
  TestProcess process;
  process.SetTable(Built(std::move(builder)));
  EXPECT_EQ(process.Call(SYS_unlink),
            SyscallOutcome(ForbiddenSyscall{SYS_unlink}));
  EXPECT_EQ(process.Value(SYS_getpid), 1);
  EXPECT_EQ(process.Value(SYS_socket), -ENOSYS);
}

TEST(SyscallTableTest, HandlerGetsArgumentsAndContext) {
  SyscallTable::Builder builder(SyscallTable::LinuxProgram());
  SyscallArguments seen;
  ASSERT_THAT(
      builder.Set(SYS_write,
                  [&seen](SyscallContext& context,
                          const SyscallArguments& arguments) -> int64_t {
                    seen = arguments;
                    return context.process().pid + 40;
                  }),
      IsOk());
  TestProcess process;
  process.process().pid = 2;
  process.SetTable(Built(std::move(builder)));
  EXPECT_EQ(process.Value(SYS_write, 1, 2, 3, 4, 5, 6), 42);
  EXPECT_EQ(seen, (SyscallArguments{.values = {1, 2, 3, 4, 5, 6}}));
}

TEST(SyscallTableTest, TablesMadeFromOneAnotherDoNotShare) {
  const SyscallTable first = SyscallTable::LinuxProgram();
  SyscallTable::Builder builder(first);
  ASSERT_THAT(builder.Remove(SYS_getpid), IsOk());
  const SyscallTable second = Built(std::move(builder));
  EXPECT_TRUE(first.Has(SYS_getpid));
  EXPECT_FALSE(second.Has(SYS_getpid));
  EXPECT_TRUE(second.Has(SYS_getppid));
}

TEST(SyscallTableTest, LastOutcomeOfAHandlerCounts) {
  SyscallTable::Builder builder;
  ASSERT_THAT(builder.Set(kOwnCall,
                          [](SyscallContext& context,
                             const SyscallArguments&) -> int64_t {
                            context.Deadlock();
                            context.Exit(0x1ff);
                            return 5;
                          }),
              IsOk());
  ASSERT_THAT(builder.Set(kOwnCall + 1,
                          [](SyscallContext& context,
                             const SyscallArguments&) -> int64_t {
                            context.Forbid(kOwnCall + 1);
                            return 5;
                          }),
              IsOk());
  TestProcess process;
  process.SetTable(Built(std::move(builder)));
  EXPECT_EQ(process.Call(kOwnCall), SyscallOutcome(ProgramExited{0xff}));
  EXPECT_EQ(process.Call(kOwnCall + 1),
            SyscallOutcome(ForbiddenSyscall{kOwnCall + 1}));
  // It does not stay.
  EXPECT_EQ(process.Call(SYS_read), SyscallOutcome(SyscallReturned{-ENOSYS}));
}

TEST(SyscallTableTest, WrongNumberOrHandlerIsAnError) {
  SyscallTable::Builder builder;
  const auto handler = [](SyscallContext&, const SyscallArguments&) -> int64_t {
    return 0;
  };
  EXPECT_THAT(builder.Set(SyscallTable::kNumbers, handler),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024")));
  EXPECT_THAT(builder.Set(SyscallTable::kNumbers - 1, handler), IsOk());
  EXPECT_THAT(builder.Set(5, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5")));
  EXPECT_THAT(builder.Remove(UINT64_MAX),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("18446744073709551615")));
  EXPECT_TRUE(Built(std::move(builder)).Has(SyscallTable::kNumbers - 1));
}

TEST(SyscallTableTest, NamesAreLinuxs) {
  EXPECT_EQ(SyscallTable::Name(0), "read");
  EXPECT_EQ(SyscallTable::Name(257), "openat");
  EXPECT_EQ(SyscallTable::Name(SYS_socket), "");
  EXPECT_EQ(SyscallTable::Name(UINT64_MAX), "");
  const SyscallTable table = SyscallTable::LinuxProgram();
  for (uint64_t number = 0; number < SyscallTable::kNumbers; ++number) {
    EXPECT_EQ(table.Has(number), SyscallTable::Name(number) != "") << number;
  }
}

TEST(SyscallTableTest, NothingOfTheHostIsServed) {
  const SyscallTable table = SyscallTable::LinuxProgram();
  for (const uint64_t number :
       {SYS_socket, SYS_connect, SYS_ptrace, SYS_process_vm_readv, SYS_bpf,
        SYS_io_uring_setup, SYS_mount, SYS_chroot, SYS_reboot, SYS_kexec_load,
        SYS_init_module, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_userfaultfd,
        SYS_perf_event_open, SYS_unshare, SYS_setns}) {
    EXPECT_FALSE(table.Has(number)) << number;
  }
}

}  // namespace
}  // namespace libvmm::sandbox
