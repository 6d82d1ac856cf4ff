// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using ::testing::ElementsAre;

constexpr uint64_t kPage = TestProcess::kPage;
constexpr Gva kBuffer = TestProcess::kData;

// struct iovec, as the program has it.
struct Buffer {
  Gva base;
  uint64_t size;
};

int64_t Open(TestProcess& process, absl::string_view path, int flags) {
  return process.Value(SYS_open, process.Put(path), flags, 0600);
}

TEST(ReadTest, FileToItsEnd) {
  TestProcess process;
  const int64_t file = Open(process, "/etc/motd", O_RDONLY);
  EXPECT_EQ(process.Value(SYS_read, file, kBuffer, 4), 4);
  EXPECT_EQ(process.Text(kBuffer, 4), "hell");
  EXPECT_EQ(process.Value(SYS_read, file, kBuffer, 4), 2);
  EXPECT_EQ(process.Text(kBuffer, 2), "o\n");
  EXPECT_EQ(process.Value(SYS_read, file, kBuffer, 4), 0);
  EXPECT_EQ(process.Value(SYS_lseek, file, -2, SEEK_END), 4);
  EXPECT_EQ(process.Value(SYS_read, file, kBuffer, 4), 2);
  EXPECT_EQ(process.Value(SYS_pread64, file, kBuffer, 3, 1), 3);
  EXPECT_EQ(process.Text(kBuffer, 3), "ell");
  EXPECT_EQ(process.Value(SYS_lseek, file, 0, SEEK_CUR), 6);
}

TEST(ReadTest, WrongDescriptors) {
  TestProcess process;
  const int64_t directory = Open(process, "/etc", O_RDONLY);
  const int64_t write_only = Open(process, "/tmp/w", O_WRONLY | O_CREAT);
  const struct {
    int64_t fd;
    int64_t result;
  } rows[] = {{99, -EBADF},         {-1, -EBADF},         {INT32_MIN, -EBADF},
              {directory, -EISDIR}, {write_only, -EBADF}, {1, -EBADF}};
  for (const auto& row : rows) {
    // Whatever the buffer is.
    for (const Gva buffer : {kBuffer, TestProcess::kHole, Gva(0)}) {
      EXPECT_EQ(process.Value(SYS_read, row.fd, buffer, 4), row.result)
          << row.fd;
    }
    EXPECT_EQ(process.Value(SYS_read, row.fd, kBuffer, 0), row.result);
  }
  EXPECT_EQ(process.Value(SYS_write, 0, kBuffer, 1), -EBADF);
  EXPECT_EQ(process.Value(SYS_pread64, 0, kBuffer, 1, 0), -ESPIPE);
  EXPECT_EQ(process.Value(SYS_pread64, write_only, kBuffer, 1, -1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_pwrite64, write_only, kBuffer, 1, -1), -EINVAL);
}

TEST(ReadTest, UpToTheFirstBadPage) {
  TestProcess process;
  const int64_t zero = Open(process, "/dev/zero", O_RDONLY);
  const int64_t full = TestProcess::kDataSize;
  EXPECT_EQ(process.Value(SYS_read, zero, kBuffer, uint64_t{1} << 40), full);
  EXPECT_EQ(process.Value(SYS_read, zero, kBuffer + 100, full), full - 100);
  EXPECT_EQ(process.Value(SYS_read, zero, TestProcess::kReadOnly, 1), -EFAULT);
}

TEST(ReadTest, BigBufferOfASmallFileTakesNoMemory) {
  TestProcess process({.memory_size = 1 << 20});
  const int64_t address =
      process.Value(SYS_mmap, 0, int64_t{1} << 30, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_GT(address, 0);
  const int64_t file = Open(process, "/etc/motd", O_RDONLY);
  const uint64_t used = process.space().used_frames();
  EXPECT_EQ(process.Value(SYS_read, file, address, int64_t{1} << 30), 6);
  process.input = "typed";
  EXPECT_EQ(process.Value(SYS_read, 0, address, int64_t{1} << 30), 5);
  // 64 KiB, and the tables that lead there.
  EXPECT_LE(process.space().used_frames(), used + 16 + 4);
}

TEST(WriteTest, BigFilesGoThroughWhole) {
  TestProcess process;
  constexpr uint64_t kSize = (1 << 20) + 12345;
  const int64_t address =
      process.Value(SYS_mmap, 0, kSize, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::string bytes(kSize, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i ^ (i >> 8) ^ (i >> 16));
  }
  process.PutBytes(std::as_bytes(std::span(bytes)), Gva(address));
  const int64_t file = Open(process, "/tmp/big", O_RDWR | O_CREAT);
  EXPECT_EQ(process.Value(SYS_write, file, address, kSize),
            static_cast<int64_t>(kSize));
  EXPECT_EQ(*process.files().ReadFile("/tmp/big"), bytes);
  // Back to another place, that starts within a page.
  const int64_t other =
      process.Value(SYS_mmap, 0, 2 * kSize, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(process.Value(SYS_lseek, file, 0, SEEK_SET), 0);
  EXPECT_EQ(process.Value(SYS_read, file, other + 77, 2 * kSize - 77),
            static_cast<int64_t>(kSize));
  EXPECT_EQ(process.Text(Gva(other + 77), kSize), bytes);
  EXPECT_EQ(process.Value(SYS_write, 1, address, kSize),
            static_cast<int64_t>(kSize));
  EXPECT_EQ(process.output, bytes);
}

TEST(WriteTest, LimitsAreErrnos) {
  TestProcess process({.limits = {.bytes = 256 << 10, .file_size = 1 << 20}});
  const int64_t file = Open(process, "/tmp/f", O_RDWR | O_CREAT);
  EXPECT_EQ(process.Value(SYS_pwrite64, file, kBuffer, 4, int64_t{1} << 62),
            -EFBIG);
  const int64_t null_size =
      process.Value(SYS_mmap, 0, 512 << 10, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int64_t written = process.Value(SYS_write, file, null_size, 512 << 10);
  EXPECT_GT(written, 0);
  EXPECT_LT(written, 512 << 10);
  EXPECT_EQ(process.Value(SYS_write, file, null_size, 512 << 10), -ENOSPC);
}

TEST(VectorTest, GatherAndScatter) {
  TestProcess process;
  process.Put("abc", kBuffer);
  process.Put("defgh", kBuffer + kPage - 2);  // across two pages
  const std::vector<Buffer> buffers = {
      {kBuffer, 3}, {Gva(0), 0}, {kBuffer + kPage - 2, 5}};
  process.PutBytes(std::as_bytes(std::span(buffers)), TestProcess::kScratch);
  EXPECT_EQ(process.Value(SYS_writev, 1, TestProcess::kScratch, 3), 8);
  EXPECT_EQ(process.output, "abcdefgh");
  const int64_t file = process.Value(
      SYS_open, process.Put("/tmp/v", TestProcess::kScratch + 512),
      O_RDWR | O_CREAT, 0600);
  EXPECT_EQ(process.Value(SYS_pwritev, file, TestProcess::kScratch, 3, 10), 8);
  EXPECT_EQ(*process.files().ReadFile("/tmp/v"),
            std::string(10, '\0') + "abcdefgh");
  EXPECT_EQ(process.Value(SYS_preadv, file, TestProcess::kScratch, 3, 11), 7);
  EXPECT_EQ(process.Text(kBuffer, 3), "bcd");
  EXPECT_EQ(process.Text(kBuffer + kPage - 2, 5), "efghh");
  EXPECT_EQ(process.Value(SYS_readv, file, TestProcess::kScratch, 3), 8);
  EXPECT_EQ(process.Text(kBuffer + kPage - 2, 5), std::string(5, '\0'));
}

TEST(VectorTest, ManySmallBuffers) {
  TestProcess process;
  std::vector<Buffer> buffers;
  for (uint64_t i = 0; i < 1024; ++i) buffers.push_back({kBuffer + i, 1});
  const Gva vectors(process.Value(SYS_mmap, 0, 1024 * sizeof(Buffer),
                                  PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  process.PutBytes(std::as_bytes(std::span(buffers)), vectors);
  const std::string expected = process.Text(kBuffer, 1024);
  EXPECT_EQ(process.Value(SYS_writev, 1, vectors, 1024), 1024);
  EXPECT_EQ(process.output, expected);
  const int64_t zero = Open(process, "/dev/zero", O_RDONLY);
  EXPECT_EQ(process.Value(SYS_readv, zero, vectors, 1024), 1024);
}

TEST(VectorTest, WrongArguments) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_writev, 1, kBuffer, 1025), -EINVAL);
  EXPECT_EQ(process.Value(SYS_writev, 1, kBuffer, -1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_writev, 1, TestProcess::kHole, 1), -EFAULT);
  EXPECT_EQ(process.Value(SYS_writev, 1, TestProcess::kHole, 0), 0);
  EXPECT_EQ(process.Value(SYS_writev, 9, TestProcess::kHole, 0), -EBADF);
  const Buffer buffers[] = {{kBuffer, uint64_t{1} << 62},
                            {kBuffer, uint64_t{1} << 62}};
  process.PutBytes(std::as_bytes(std::span(buffers)), TestProcess::kScratch);
  EXPECT_EQ(process.Value(SYS_writev, 1, TestProcess::kScratch, 2), -EINVAL);
  process.PutValue(Buffer{kBuffer, uint64_t{1} << 63});
  EXPECT_EQ(process.Value(SYS_readv, 0, TestProcess::kScratch, 1), -EINVAL);
  // What is before the bad one goes.
  const Buffer partly[] = {{kBuffer, 5}, {TestProcess::kHole, 5}};
  process.PutBytes(std::as_bytes(std::span(partly)), TestProcess::kScratch);
  EXPECT_EQ(process.Value(SYS_writev, 1, TestProcess::kScratch, 2), 5);
}

TEST(SendfileTest, FromAFileToAnything) {
  TestProcess process;
  const int64_t file = Open(process, "/etc/motd", O_RDONLY);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, file, 0, 4), 4);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, file, 0, uint64_t{1} << 40), 2);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, file, 0, 100), 0);
  EXPECT_EQ(process.output, "hello\n");
  // With an offset the descriptor's own stays.
  const Gva offset = process.PutValue(int64_t{1}, kBuffer);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, file, offset, 3), 3);
  EXPECT_EQ(process.Get<int64_t>(offset), 4);
  EXPECT_EQ(process.Value(SYS_lseek, file, 0, SEEK_CUR), 6);
  EXPECT_EQ(process.output, "hello\nell");
  process.PutValue(int64_t{-1}, offset);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, file, offset, 3), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, 0, 0, 3), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sendfile, 1, 99, 0, 3), -EBADF);
  EXPECT_EQ(process.Value(SYS_sendfile, 99, file, offset, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_lseek, file, 0, SEEK_SET), 0);
  EXPECT_EQ(process.Value(SYS_sendfile, 99, file, 0, 3), -EBADF);
  process.output_error = -EAGAIN;
  EXPECT_EQ(process.Call(SYS_sendfile, 1, file, 0, 3),
            SyscallOutcome(SyscallPending{}));
  EXPECT_EQ(process.Value(SYS_lseek, file, 0, SEEK_CUR), 0);
  const int64_t copy = Open(process, "/tmp/copy", O_RDWR | O_CREAT);
  EXPECT_EQ(process.Value(SYS_ftruncate, copy, 100'000), 0);
  process.output_error = 0;
  process.output.clear();
  EXPECT_EQ(process.Value(SYS_sendfile, 1, copy, 0, 1 << 20), 100'000);
  EXPECT_EQ(process.output.size(), 100'000u);
}

TEST(StreamTest, InputComesAsItIs) {
  TestProcess process;
  process.input = "one line\n";
  EXPECT_EQ(process.Value(SYS_read, 0, kBuffer, 100), 9);
  EXPECT_EQ(process.Text(kBuffer, 9), "one line\n");
  EXPECT_EQ(process.Value(SYS_read, 0, kBuffer, 100), 0);
  EXPECT_EQ(process.Value(SYS_write, 2, process.Put("oops"), 4), 4);
  EXPECT_EQ(process.output, "oops");
}

TEST(StreamTest, ReadIsNotAskedTwice) {
  // More could come later; what there is must not wait for it.
  TestProcess process;
  process.input = std::string(100'000, 'x');
  process.input_end = -EAGAIN;
  const int64_t address =
      process.Value(SYS_mmap, 0, 1 << 20, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int64_t total = 0;
  SyscallOutcome outcome;
  while (outcome = process.Call(SYS_read, 0, address, 1 << 20),
         outcome.index() == 0) {
    const int64_t count = std::get<SyscallReturned>(outcome).value;
    ASSERT_GT(count, 0);
    ASSERT_LE(count, 64 << 10);
    total += count;
  }
  EXPECT_EQ(total, 100'000);
  EXPECT_EQ(outcome, SyscallOutcome(SyscallPending{}));
}

TEST(StreamTest, WaitingInputIsPendingUnlessNonBlocking) {
  TestProcess process;
  process.input_end = -EAGAIN;
  EXPECT_EQ(process.Call(SYS_read, 0, kBuffer, 10),
            SyscallOutcome(SyscallPending{}));
  process.input = "late";
  EXPECT_EQ(process.Call(SYS_read, 0, kBuffer, 10),
            SyscallOutcome(SyscallReturned{4}));
  EXPECT_EQ(process.Value(SYS_fcntl, 0, F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(process.Value(SYS_read, 0, kBuffer, 10), -EAGAIN);
  // A copy of the descriptor is the same stream.
  EXPECT_EQ(process.Value(SYS_fcntl, 0, F_SETFL, 0), 0);
  const int64_t copy = process.Value(SYS_dup, 0);
  EXPECT_EQ(process.Call(SYS_read, copy, kBuffer, 10),
            SyscallOutcome(SyscallPending{}));
}

TEST(StreamTest, BrokenOutputEndsTheProgramAsAPipeWould) {
  TestProcess process;
  process.output_error = -EPIPE;
  EXPECT_EQ(process.Call(SYS_write, 1, kBuffer, 1),
            SyscallOutcome(ProgramSignalled{SIGPIPE}));
  process.process().actions[SIGPIPE - 1].handler = 1;  // SIG_IGN
  EXPECT_EQ(process.Value(SYS_write, 1, kBuffer, 1), -EPIPE);
}

TEST(PipeTest, BytesGoThrough) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_pipe2, kBuffer, O_CLOEXEC), 0);
  const auto fds = process.Get<std::array<int32_t, 2>>(kBuffer);
  EXPECT_EQ(process.Value(SYS_write, fds[1], process.Put("through"), 7), 7);
  EXPECT_EQ(process.Value(SYS_read, fds[0], kBuffer, 100), 7);
  EXPECT_EQ(process.Text(kBuffer, 7), "through");
  // Nobody else could ever write.
  EXPECT_EQ(process.Call(SYS_read, fds[0], kBuffer, 1),
            SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Value(SYS_fcntl, fds[0], F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(process.Value(SYS_read, fds[0], kBuffer, 1), -EAGAIN);
  EXPECT_EQ(process.Value(SYS_close, fds[1]), 0);
  EXPECT_EQ(process.Value(SYS_read, fds[0], kBuffer, 1), 0);
}

TEST(PipeTest, WithoutAReader) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_pipe, kBuffer), 0);
  const auto fds = process.Get<std::array<int32_t, 2>>(kBuffer);
  EXPECT_EQ(process.Value(SYS_close, fds[0]), 0);
  EXPECT_EQ(process.Call(SYS_write, fds[1], kBuffer, 1),
            SyscallOutcome(ProgramSignalled{SIGPIPE}));
}

TEST(PipeTest, NoDescriptorStaysWhenTheyCannotBeTold) {
  TestProcess process;
  const uint32_t before = process.files().usage().descriptors;
  EXPECT_EQ(process.Value(SYS_pipe, TestProcess::kReadOnly), -EFAULT);
  EXPECT_EQ(process.files().usage().descriptors, before);
  EXPECT_EQ(process.Value(SYS_pipe2, kBuffer, 1), -EINVAL);
}

TEST(DescriptorTest, DupAndClose) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_dup, 1), 3);
  EXPECT_EQ(process.Value(SYS_dup2, 1, 9), 9);
  EXPECT_EQ(process.Value(SYS_dup2, 1, 1), 1);
  EXPECT_EQ(process.Value(SYS_dup3, 1, 10, O_CLOEXEC), 10);
  EXPECT_EQ(process.Value(SYS_fcntl, 10, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(process.Value(SYS_dup3, 1, 1, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_close, 9), 0);
  EXPECT_EQ(process.Value(SYS_close, 9), -EBADF);
  EXPECT_EQ(process.Value(SYS_fcntl, 1, F_DUPFD, 20), 20);
  EXPECT_EQ(process.Value(SYS_close_range, 10, 10, CLOSE_RANGE_CLOEXEC), 0);
  EXPECT_EQ(process.Value(SYS_close_range, 10, ~0u, 0), 0);
  EXPECT_EQ(process.Value(SYS_close, 20), -EBADF);
  EXPECT_EQ(process.Value(SYS_close, 3), 0);
  EXPECT_EQ(process.Value(SYS_close_range, 5, 4, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_close_range, 5, 6, 1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_dup, 99), -EBADF);
}

TEST(DescriptorTest, CallsThatOnlyCheck) {
  TestProcess process;
  const int64_t file = Open(process, "/etc/motd", O_RDONLY);
  for (const int64_t number :
       {SYS_flock, SYS_fadvise64, SYS_syncfs, SYS_fsync, SYS_fdatasync}) {
    EXPECT_EQ(process.Value(number, file, 0), 0) << number;
    EXPECT_EQ(process.Value(number, 99, 0), -EBADF) << number;
  }
  EXPECT_EQ(process.Value(SYS_sync), 0);
  EXPECT_EQ(process.Value(SYS_fallocate, file, 0, 0, 10), -EOPNOTSUPP);
  EXPECT_EQ(process.Value(SYS_fallocate, 99, 0, 0, 10), -EBADF);
}

TEST(GetdentsTest, ListsADirectory) {
  TestProcess process;
  const int64_t directory = Open(process, "/", O_RDONLY | O_DIRECTORY);
  const int64_t size = process.Value(SYS_getdents64, directory, kBuffer, 4096);
  ASSERT_GT(size, 0);
  const std::string records = process.Text(kBuffer, size);
  std::vector<std::string> names;
  for (size_t at = 0; at < records.size();) {
    constexpr size_t kSizeAt = 16;  // d_reclen
    constexpr size_t kNameAt = 19;  // d_name
    uint16_t length = 0;
    std::memcpy(&length, records.data() + at + kSizeAt, sizeof(length));
    names.emplace_back(records.data() + at + kNameAt);
    at += length;
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(".", "..", "dev", "etc",
                                                     "link", "tmp"));
  EXPECT_EQ(process.Value(SYS_getdents64, directory, kBuffer, 4096), 0);
  EXPECT_EQ(process.Value(SYS_lseek, directory, 0, SEEK_SET), 0);
  // A failure does not lose names.
  EXPECT_EQ(
      process.Value(SYS_getdents64, directory, TestProcess::kReadOnly, 4096),
      -EFAULT);
  EXPECT_EQ(process.Value(SYS_getdents64, directory, kBuffer, 4096), size);
  EXPECT_EQ(process.Value(SYS_lseek, directory, 0, SEEK_SET), 0);
  EXPECT_EQ(process.Value(SYS_getdents64, directory, kBuffer, 10), -EINVAL);
  EXPECT_EQ(process.Value(SYS_getdents64, 0, kBuffer, 4096), -ENOTDIR);
  EXPECT_EQ(process.Value(SYS_getdents64, 99, kBuffer, 4096), -EBADF);
}

TEST(IoctlTest, NoTerminal) {
  TestProcess process;
  const int64_t file = Open(process, "/etc/motd", O_RDONLY);
  for (const int64_t fd : {int64_t{0}, int64_t{1}, file}) {
    for (const uint64_t request :
         {TCGETS, TCSETS, TIOCGWINSZ, TIOCGPGRP, FIONREAD}) {
      EXPECT_EQ(process.Value(SYS_ioctl, fd, request, kBuffer), -ENOTTY);
    }
  }
  EXPECT_EQ(process.Value(SYS_ioctl, 99, TCGETS, kBuffer), -EBADF);
  EXPECT_EQ(process.Value(SYS_ioctl, file, FIOCLEX, 0), 0);
  EXPECT_EQ(process.Value(SYS_fcntl, file, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(process.Value(SYS_ioctl, file, FIONCLEX, 0), 0);
  EXPECT_EQ(process.Value(SYS_fcntl, file, F_GETFD), 0);
  EXPECT_EQ(process.Value(SYS_ioctl, 0, FIONBIO, process.PutValue(1)), 0);
  EXPECT_EQ(process.Value(SYS_fcntl, 0, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  EXPECT_EQ(process.Value(SYS_ioctl, 0, FIONBIO, process.PutValue(0)), 0);
  EXPECT_EQ(process.Value(SYS_fcntl, 0, F_GETFL) & O_NONBLOCK, 0);
}

TEST(IoctlTest, Terminal) {
  TestProcess process({.terminal = true});
  EXPECT_EQ(process.Value(SYS_ioctl, 0, TCGETS, kBuffer), 0);
  EXPECT_EQ(process.Get<uint32_t>(kBuffer + 12) & (ICANON | ECHO),
            static_cast<uint32_t>(ICANON | ECHO));
  EXPECT_EQ(process.Value(SYS_ioctl, 0, TCSETSW, kBuffer), 0);
  EXPECT_EQ(process.Value(SYS_ioctl, 1, TIOCGWINSZ, kBuffer), 0);
  const auto size = process.Get<winsize>(kBuffer);
  EXPECT_EQ(size.ws_row, 24);
  EXPECT_EQ(size.ws_col, 80);
  EXPECT_EQ(process.Value(SYS_ioctl, 0, TIOCGPGRP, kBuffer), 0);
  EXPECT_EQ(process.Get<int32_t>(kBuffer), 1);
  EXPECT_EQ(process.Value(SYS_ioctl, 0, TIOCSPGRP, kBuffer), 0);
  EXPECT_EQ(process.Value(SYS_ioctl, 0, TIOCSTI, kBuffer), -ENOTTY);
}

}  // namespace
}  // namespace libvmm::sandbox
