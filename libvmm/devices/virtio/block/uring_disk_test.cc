// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/uring_disk.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/block_requests.h"
#include "libvmm/testing/empty_file.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BlockRequests;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What liburing is made to do below, and what it was asked.
struct Kernel {
  int setup_error = 0;
  int register_error = 0;
  // Submissions fail with this errno, unless zero; the next one with EINTR.
  int submit_error = 0;
  bool interrupt_submit = false;
  // The next look at the completions comes just before the first of them.
  bool look_too_early = false;
  // Completions that were there when the last submission returned.
  unsigned done_at_once = 0;
  // Called with each result of a request, which it may change.
  std::function<void(BlockRequest& request, int& result)> on_result;
  // Of each submission, the opcodes and flags of its requests.
  struct Operation {
    int opcode;
    unsigned flags;
    friend bool operator==(const Operation&, const Operation&) = default;
  };
  std::vector<std::vector<Operation>> submissions;
};
// Of one thread, but for tests that leave it null.
Kernel* kernel = nullptr;

}  // namespace
}  // namespace libvmm

// The linker sends the disk's calls here (--wrap).
extern "C" {
int __real_io_uring_queue_init_params(unsigned entries, io_uring* ring,
                                      io_uring_params* params);
int __wrap_io_uring_queue_init_params(unsigned entries, io_uring* ring,
                                      io_uring_params* params) {
  if (libvmm::kernel != nullptr && libvmm::kernel->setup_error != 0) {
    return -libvmm::kernel->setup_error;
  }
  return __real_io_uring_queue_init_params(entries, ring, params);
}
int __real_io_uring_register_eventfd(io_uring* ring, int fd);
int __wrap_io_uring_register_eventfd(io_uring* ring, int fd) {
  if (libvmm::kernel != nullptr && libvmm::kernel->register_error != 0) {
    return -libvmm::kernel->register_error;
  }
  return __real_io_uring_register_eventfd(ring, fd);
}
int __real_io_uring_submit(io_uring* ring);
int __wrap_io_uring_submit(io_uring* ring) {
  using libvmm::kernel;
  if (kernel == nullptr) return __real_io_uring_submit(ring);
  std::vector<libvmm::Kernel::Operation> operations;
  for (unsigned i = *ring->sq.khead; i != ring->sq.sqe_tail; ++i) {
    const io_uring_sqe& sqe = ring->sq.sqes[i & *ring->sq.kring_mask];
    operations.push_back({sqe.opcode, sqe.fsync_flags});
  }
  kernel->submissions.push_back(operations);
  if (std::exchange(kernel->interrupt_submit, false)) return -EINTR;
  if (kernel->submit_error != 0) return -kernel->submit_error;
  const int taken = __real_io_uring_submit(ring);
  kernel->done_at_once = ::io_uring_cq_ready(ring);
  return taken;
}
unsigned __real_io_uring_peek_batch_cqe(io_uring* ring, io_uring_cqe** cqes,
                                        unsigned count);
unsigned __wrap_io_uring_peek_batch_cqe(io_uring* ring, io_uring_cqe** cqes,
                                        unsigned count) {
  if (libvmm::kernel != nullptr &&
      std::exchange(libvmm::kernel->look_too_early, false)) {
    while (::io_uring_cq_ready(ring) == 0) std::this_thread::yield();
    return 0;
  }
  const unsigned fetched = __real_io_uring_peek_batch_cqe(ring, cqes, count);
  if (libvmm::kernel == nullptr || !libvmm::kernel->on_result) return fetched;
  for (unsigned i = 0; i < fetched; ++i) {
    auto* const request =
        static_cast<libvmm::BlockRequest*>(::io_uring_cqe_get_data(cqes[i]));
    if (request == nullptr) continue;
    int result = cqes[i]->res;
    libvmm::kernel->on_result(*request, result);
    cqes[i]->res = result;
  }
  return fetched;
}
}  // extern "C"

namespace libvmm {
namespace {

constexpr size_t kCapacity = 128 * 1024;
constexpr uint32_t kEntries = 4;

UniqueFd EmptyFile() { return testing::EmptyFile(kCapacity); }

std::vector<std::byte> Pattern(size_t size, unsigned seed = 1) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 131 + seed * 7) >> 3 ^ i);
  }
  return bytes;
}

void WaitReadable(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  ::poll(&poll, 1, -1);
}

bool IsReadable(int fd) {
  pollfd poll{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

class UringDiskTest : public ::testing::Test {
 protected:
  ~UringDiskTest() override {
    if (disk_ != nullptr) disk_->Drain();
    kernel = nullptr;
  }

  void Make(DiskFile::Options options = {}, bool watch = true) {
    UniqueFd fd = EmptyFile();
    file_ = *fd.Duplicate();
    auto disk = UringDisk::Create(std::move(fd),
                                  {.file = options, .entries = kEntries});
    if (!disk.ok()) GTEST_SKIP() << disk.status();
    disk_ = *std::move(disk);
    requests_ = std::make_unique<BlockRequests>(*disk_);
    requests_->wait = [this] {
      WaitReadable(disk_->fd());
      disk_->OnReady(POLLIN);
    };
    if (watch) kernel = &kernel_;
  }

  std::vector<std::byte> FileBytes() {
    std::vector<std::byte> bytes(kCapacity);
    EXPECT_EQ(::pread(file_.get(), bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    return bytes;
  }

  Kernel kernel_;
  UniqueFd file_;
  std::unique_ptr<UringDisk> disk_;
  std::unique_ptr<BlockRequests> requests_;
};

#define MAKE_OR_SKIP(...) \
  Make(__VA_ARGS__);      \
  if (disk_ == nullptr) return

TEST_F(UringDiskTest, AHostWithoutIoUringIsNamed) {
  kernel = &kernel_;
  const struct {
    int error;
    absl::StatusCode code;
  } rows[] = {{ENOSYS, absl::StatusCode::kUnimplemented},
              {EPERM, absl::StatusCode::kPermissionDenied},
              {ENOMEM, absl::StatusCode::kResourceExhausted}};
  for (const auto& row : rows) {
    kernel_.setup_error = row.error;
    EXPECT_THAT(UringDisk::Create(EmptyFile(), {}).status(),
                StatusIs(row.code, HasSubstr("io_uring_setup")));
  }
}

TEST_F(UringDiskTest, AHostThatRefusesTheEventFdIsNamed) {
  MAKE_OR_SKIP();
  kernel_.register_error = ENOMEM;
  EXPECT_THAT(UringDisk::Create(EmptyFile(), {}).status(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("IORING_REGISTER_EVENTFD")));
}

TEST_F(UringDiskTest, EntriesAreChecked) {
  for (const uint32_t entries : {0u, 3u, 8192u}) {
    EXPECT_THAT(
        UringDisk::Create(EmptyFile(), {.entries = entries}).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entries")));
  }
}

TEST_F(UringDiskTest, RequestsAreStartedTogether) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(512);
  for (int i = 0; i < 3; ++i) {
    requests_->Submit({.operation = BlockOperation::kWrite, .size = 512}, data);
  }
  EXPECT_FALSE(IsReadable(disk_->fd()));
  EXPECT_TRUE(kernel_.submissions.empty());
  disk_->Start();
  ASSERT_EQ(kernel_.submissions.size(), 1u);
  EXPECT_EQ(kernel_.submissions[0].size(), 3u);
  // Nothing left to start, nothing asked of the kernel.
  disk_->Start();
  EXPECT_EQ(kernel_.submissions.size(), 1u);
}

TEST_F(UringDiskTest, WhatThePageCacheHasIsToldInsideStartAndWakesNoLoop) {
  MAKE_OR_SKIP();
  for (int round = 0; round < 10; ++round) {
    const auto& entry = requests_->Submit({.size = 4096});
    disk_->Start();
    if (kernel_.done_at_once == 0) {
      GTEST_SKIP() << "this kernel does not read this file at once";
    }
    EXPECT_EQ(requests_->Answer(entry), BlockAnswer::kOk);
    EXPECT_FALSE(IsReadable(disk_->fd()));
  }
}

TEST_F(UringDiskTest, ACompletionThatComesWhileSignalsAreOffIsNotLost) {
  MAKE_OR_SKIP();
  const auto& entry = requests_->Submit(
      {.operation = BlockOperation::kWrite, .size = 512}, Pattern(512));
  kernel_.look_too_early = true;
  disk_->Start();
  EXPECT_FALSE(kernel_.look_too_early);
  EXPECT_TRUE(requests_->Answer(entry) == BlockAnswer::kOk ||
              IsReadable(disk_->fd()));
}

TEST_F(UringDiskTest, AFlushIsADataSyncAndADurableWriteOneOfItsOwn) {
  MAKE_OR_SKIP();
  ASSERT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
  ASSERT_EQ(requests_->Write(0, Pattern(512), {.durable = true}),
            BlockAnswer::kOk);
  ASSERT_EQ(requests_->Write(0, Pattern(512)), BlockAnswer::kOk);
  using Operation = Kernel::Operation;
  EXPECT_THAT(kernel_.submissions,
              ElementsAre(ElementsAre(Operation{IORING_OP_FSYNC,
                                                IORING_FSYNC_DATASYNC}),
                          ElementsAre(Operation{IORING_OP_WRITEV, RWF_DSYNC}),
                          ElementsAre(Operation{IORING_OP_WRITEV, 0})));
}

TEST_F(UringDiskTest, AnUnsafeDiskNeverSyncs) {
  MAKE_OR_SKIP({.cache = DiskCache::kUnsafe});
  ASSERT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
  ASSERT_EQ(requests_->Write(0, Pattern(512), {.durable = true}),
            BlockAnswer::kOk);
  EXPECT_THAT(kernel_.submissions,
              ElementsAre(ElementsAre(Kernel::Operation{IORING_OP_WRITEV, 0})));
}

TEST_F(UringDiskTest, AFullRingSaysLaterAndThenThatThereIsRoom) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(512);
  const BlockRequests::Args write{.operation = BlockOperation::kWrite,
                                  .size = 512};
  for (uint32_t i = 0; i < kEntries; ++i) {
    ASSERT_EQ(requests_->Answer(requests_->Submit(write, data)),
              BlockAnswer::kPending);
  }
  ASSERT_EQ(requests_->Answer(requests_->Submit(write, data)),
            BlockAnswer::kLater);
  EXPECT_EQ(requests_->rooms(), 0);
  disk_->Start();
  while (requests_->rooms() == 0) requests_->wait();
  EXPECT_EQ(requests_->rooms(), 1);
  EXPECT_EQ(requests_->Run(write, data), BlockAnswer::kOk);
  EXPECT_EQ(requests_->rooms(), 1);
}

// The kernel says that it moved less than it did; what it does not own up to is
// spoilt here, and must be right in the end.
TEST_F(UringDiskTest, ShortReadsGoOnBehindWhatWasMoved) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(8192);
  ASSERT_EQ(requests_->Write(512, data), BlockAnswer::kOk);
  int parts = 0;
  kernel_.on_result = [&](BlockRequest& request, int& result) {
    if (++parts > 5) return;
    result = std::min(result, 777);
    size_t moved = static_cast<size_t>(result);
    for (const iovec& buffer : request.buffers) {
      const size_t kept = std::min(moved, buffer.iov_len);
      std::fill_n(static_cast<std::byte*>(buffer.iov_base) + kept,
                  buffer.iov_len - kept, std::byte{0xee});
      moved -= kept;
    }
  };
  std::vector<std::byte> back(data.size());
  ASSERT_EQ(requests_->Read(512, back, {.pieces = {512, 100, 3000}}),
            BlockAnswer::kOk);
  EXPECT_EQ(parts, 6);
  EXPECT_EQ(back, data);
}

TEST_F(UringDiskTest, ShortWritesGoOnBehindWhatWasMoved) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(8192);
  int parts = 0;
  kernel_.on_result = [&](BlockRequest& request, int& result) {
    if (++parts > 5) return;
    result = std::min(result, 777);
    const uint64_t done = request.note + static_cast<uint64_t>(result);
    const std::vector<std::byte> spoilt(data.size() - done, std::byte{0xee});
    EXPECT_EQ(::pwrite(file_.get(), spoilt.data(), spoilt.size(),
                       static_cast<off_t>(request.offset + done)),
              static_cast<ssize_t>(spoilt.size()));
  };
  ASSERT_EQ(requests_->Write(512, data, {.pieces = {512, 100, 3000}}),
            BlockAnswer::kOk);
  EXPECT_EQ(parts, 6);
  std::vector<std::byte> expected(kCapacity);
  std::ranges::copy(data, expected.begin() + 512);
  EXPECT_EQ(FileBytes(), expected);
}

TEST_F(UringDiskTest, ErrorsOfTheHostAreIoErrors) {
  MAKE_OR_SKIP();
  std::vector<std::byte> back(512);
  for (const int error : {EIO, ENOSPC}) {
    kernel_.on_result = [error](BlockRequest&, int& result) {
      result = -error;
    };
    EXPECT_EQ(requests_->Write(0, Pattern(512)), BlockAnswer::kIoError);
    EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kIoError);
    EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
              BlockAnswer::kIoError);
  }
}

TEST_F(UringDiskTest, WhatTheKernelPutsOffIsDoneByBlockingCalls) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(4096);
  // The last two come of a thread that ended before its request did.
  for (const int error : {EAGAIN, EINTR, ECANCELED, EFAULT}) {
    ASSERT_EQ(::ftruncate(file_.get(), 0), 0);
    ASSERT_EQ(::ftruncate(file_.get(), kCapacity), 0);
    // Once a part, then not now.
    int results = 0;
    kernel_.on_result = [&](BlockRequest&, int& result) {
      result = ++results == 1 ? 1000 : -error;
    };
    ASSERT_EQ(requests_->Write(512, data, {.pieces = {100}}), BlockAnswer::kOk);
    EXPECT_EQ(results, 2);
    std::vector<std::byte> expected(kCapacity);
    std::ranges::copy(data, expected.begin() + 512);
    EXPECT_EQ(FileBytes(), expected);
  }
}

TEST_F(UringDiskTest, WhenNothingCanBeSubmittedBlockingCallsDoIt) {
  MAKE_OR_SKIP();
  const std::vector<std::byte> data = Pattern(512);
  for (const int error : {EAGAIN, EBUSY, ENOMEM}) {
    kernel_.submit_error = error;
    kernel_.interrupt_submit = true;
    std::vector<const BlockRequests::Entry*> entries;
    for (uint64_t i = 0; i < 3; ++i) {
      entries.push_back(&requests_->Submit(
          {.operation = BlockOperation::kWrite, .offset = i * 512, .size = 512},
          data));
    }
    disk_->Start();
    for (const BlockRequests::Entry* entry : entries) {
      EXPECT_EQ(requests_->Answer(*entry), BlockAnswer::kOk);
      EXPECT_EQ(requests_->Finished(*entry), 1u);
    }
  }
  kernel_.submit_error = 0;
  // What stayed behind in the ring is in nobody's way.
  for (int i = 0; i < 10; ++i) {
    std::vector<std::byte> back(512);
    ASSERT_EQ(requests_->Read(1024, back), BlockAnswer::kOk);
    EXPECT_EQ(back, data);
  }
}

TEST_F(UringDiskTest, AFallocateThatIsRefusedIsDoneAnotherWay) {
  MAKE_OR_SKIP();
  ASSERT_EQ(requests_->Write(0, Pattern(4096)), BlockAnswer::kOk);
  kernel_.on_result = [](BlockRequest&, int& result) { result = -EOPNOTSUPP; };
  EXPECT_EQ(
      requests_->Run({.operation = BlockOperation::kWriteZeroes, .size = 4096}),
      BlockAnswer::kOk);
  EXPECT_EQ(FileBytes(), std::vector<std::byte>(kCapacity));
}

TEST_F(UringDiskTest, AFileThatShrankGivesErrors) {
  MAKE_OR_SKIP();
  ASSERT_EQ(::ftruncate(file_.get(), 4096), 0);
  std::vector<std::byte> back(8192);
  EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kIoError);
  ASSERT_OK(disk_->UpdateCapacity());
  EXPECT_EQ(disk_->capacity(), 4096u);
}

// Threads start requests and wait for each, a loop sleeps until the descriptor
// is readable: were one completion seen by none of them and not signalled, the
// test would stand still.
TEST_F(UringDiskTest, EveryCompletionIsSeenInStartOrSignalled) {
  MAKE_OR_SKIP({}, /*watch=*/false);
  const EventFd stop = *EventFd::Create();
  std::thread loop([&] {
    while (true) {
      pollfd polls[] = {{.fd = disk_->fd(), .events = POLLIN, .revents = 0},
                        {.fd = stop.fd(), .events = POLLIN, .revents = 0}};
      ::poll(polls, 2, -1);
      if (polls[1].revents != 0) return;
      if (polls[0].revents != 0) disk_->OnReady(polls[0].revents);
    }
  });
  requests_->wait = [] { std::this_thread::yield(); };
  std::vector<std::thread> threads;
  for (uint64_t id = 0; id < 2; ++id) {
    threads.emplace_back([this, id] {
      const std::vector<std::byte> data = Pattern(512);
      std::vector<std::byte> back(512);
      for (int round = 0; round < Repetitions(500); ++round) {
        // Done by the kernel's workers, and at once.
        ASSERT_EQ(requests_->Write(id * 512, data), BlockAnswer::kOk);
        ASSERT_EQ(requests_->Read(id * 512, back), BlockAnswer::kOk);
        ASSERT_EQ(back, data);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop.Signal();
  loop.join();
}

// Submit, Start and OnReady on threads of their own, and drained again and
// again: every request is answered once, and no request after Drain.
TEST_F(UringDiskTest, DrainBesideALoopLosesNothing) {
  MAKE_OR_SKIP({}, /*watch=*/false);
  std::atomic<bool> stop = false;
  std::thread loop([&] {
    while (!stop.load()) {
      pollfd poll{.fd = disk_->fd(), .events = POLLIN, .revents = 0};
      if (::poll(&poll, 1, 1) == 1) disk_->OnReady(poll.revents);
    }
  });
  const std::vector<std::byte> data = Pattern(512);
  for (int round = 0; round < Repetitions(100); ++round) {
    std::vector<const BlockRequests::Entry*> entries;
    for (uint64_t i = 0; i < 8; ++i) {
      entries.push_back(&requests_->Submit(
          {.operation = BlockOperation::kWrite, .offset = i * 512, .size = 512},
          data));
      if (i % 3 == 0) disk_->Start();
    }
    disk_->Drain();
    for (const BlockRequests::Entry* entry : entries) {
      ASSERT_NE(requests_->Answer(*entry), BlockAnswer::kPending);
      ASSERT_EQ(requests_->Finished(*entry), 1u);
    }
  }
  stop = true;
  loop.join();
}

}  // namespace
}  // namespace libvmm
