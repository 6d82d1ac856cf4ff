// SPDX-License-Identifier: Apache-2.0
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/deterministic_random.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using ::testing::StrEq;

constexpr Gva kOut = TestProcess::kData;

TEST(UnameTest, IsALinuxThatCLibrariesStartOn) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_uname, kOut), 0);
  const auto names = process.Get<utsname>(kOut);
  EXPECT_THAT(names.sysname, StrEq("Linux"));
  EXPECT_THAT(names.nodename, StrEq("sandbox"));
  EXPECT_THAT(names.release, StrEq("6.1.0"));
  EXPECT_THAT(names.machine, StrEq("x86_64"));
}

TEST(SysinfoTest, MemoryIsTheSandboxs) {
  TestProcess process({.memory_size = 2 << 20});
  process.clock().Advance(absl::Seconds(9));
  EXPECT_EQ(process.Value(SYS_sysinfo, kOut), 0);
  const auto info = process.Get<struct sysinfo>(kOut);
  EXPECT_EQ(info.uptime, 9);
  EXPECT_EQ(info.totalram, 2u << 20);
  EXPECT_LT(info.freeram, info.totalram);
  EXPECT_GT(info.freeram, 1u << 20);
  EXPECT_EQ(info.procs, 1);
  EXPECT_EQ(info.mem_unit, 1u);
}

TEST(GetrandomTest, SameSeedSameBytes) {
  TestProcess process;
  process.process().random = DeterministicRandom(5);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 5000, 0), 5000);
  const std::string first = process.Text(kOut, 5000);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 5000, GRND_NONBLOCK), 5000);
  EXPECT_NE(process.Text(kOut, 5000), first);
  process.process().random = DeterministicRandom(5);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 5000, GRND_RANDOM), 5000);
  EXPECT_EQ(process.Text(kOut, 5000), first);
  process.process().random = DeterministicRandom(6);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 16, 0), 16);
  EXPECT_NE(process.Text(kOut, 16), first.substr(0, 16));
}

TEST(GetrandomTest, FromTheEmbedderAndFromTheHost) {
  TestProcess process;
  process.PutValue(uint64_t{0}, kOut);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 8, 0), 8);
  EXPECT_NE(process.Get<uint64_t>(kOut), 0u);
  process.host().random = [](std::span<std::byte> bytes) {
    std::fill(bytes.begin(), bytes.end(), std::byte{'r'});
  };
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 4, 0), 4);
  EXPECT_EQ(process.Text(kOut, 4), "rrrr");
}

TEST(GetrandomTest, WrongArguments) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 4, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, 4, GRND_RANDOM | GRND_INSECURE),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_getrandom, TestProcess::kHole, 4, 0), -EFAULT);
  EXPECT_EQ(process.Value(SYS_getrandom, TestProcess::kHole, 0, 0), 0);
  // What fits is given, a page at a time.
  EXPECT_EQ(process.Value(SYS_getrandom, kOut, UINT64_MAX, 0),
            static_cast<int64_t>(TestProcess::kDataSize));
}

TEST(DeterministicRandomTest, KnownValues) {
  // SplitMix64's first outputs for the seed 1234567.
  DeterministicRandom random(1234567);
  std::array<uint64_t, 3> words;
  random.Fill(std::as_writable_bytes(std::span(words)));
  EXPECT_EQ(words[0], 6457827717110365317u);
  EXPECT_EQ(words[1], 3203168211198807973u);
  EXPECT_EQ(words[2], 9817491932198370423u);
}

}  // namespace
}  // namespace libvmm::sandbox
