// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/uring_disk.h"

#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

constexpr uint32_t kMaxEntries = 4096;
// Completions that are fetched under one lock and told together.
constexpr size_t kBatch = 32;

constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int kZero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

bool IsTransfer(const BlockRequest& request) {
  return request.operation == BlockOperation::kRead ||
         request.operation == BlockOperation::kWrite;
}

// What is left of a transfer of which request.note bytes are done; its buffers
// are those of the rest already.
BlockRequest Rest(const BlockRequest& request) {
  BlockRequest rest = request;
  rest.offset += request.note;
  rest.size -= request.note;
  return rest;
}

}  // namespace

// Who has what: a request is in exactly one of these states.
//   - queued: in the submission ring, and in unstarted_;
//   - the kernel's, from Start to its completion;
//   - being told: fetched, its owner's OnComplete not returned.
class UringDisk::Ring {
 public:
  Ring(std::unique_ptr<DiskFile> file, uint32_t entries)
      : file_(std::move(file)), entries_(entries) {
    unstarted_.reserve(entries);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (made_) ::io_uring_queue_exit(&ring_);
  }

  absl::Status Make();

  DiskFile& file() { return *file_; }
  int fd() const { return ring_.ring_fd; }

  BlockAnswer Submit(BlockRequest& request);
  void Start();
  void Drain();
  void Reap();

 private:
  enum class Next : uint8_t { kFinished, kQueued, kBlocking };

  // Puts the request, or what is left of it, into the submission ring. False
  // when that is full.
  bool Queue(BlockRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What to do about a request that the kernel finished with `result`; its
  // answer when that is kFinished.
  Next OnResult(BlockRequest& request, int result, BlockAnswer& answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Fetches up to kBatch completions and tells what is finished; returns how
  // many it fetched.
  size_t ReapBatch(bool draining);
  // Takes back the oldest request that the kernel did not; null if none.
  BlockRequest* TakeUnstarted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Tell(std::span<const BlockCompletion> completions);

  const std::unique_ptr<DiskFile> file_;
  const uint32_t entries_;
  bool made_ = false;

  Mutex mutex_;
  io_uring ring_ = {};
  // Entries of the submission ring that the kernel has not taken, in their
  // order. Those without a request do nothing.
  struct Entry {
    io_uring_sqe* sqe;
    BlockRequest* request;
  };
  std::vector<Entry> unstarted_ ABSL_GUARDED_BY(mutex_);
  // Queued and the kernel's.
  uint32_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  // Who was told to try later.
  BlockRequestOwner* waiting_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Only Drain fetches completions.
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  // Requests being told.
  std::atomic<uint32_t> telling_ = 0;
};

absl::Status UringDisk::Ring::Make() {
  io_uring_params params = {};
  if (const int result =
          ::io_uring_queue_init_params(entries_, &ring_, &params);
      result != 0) {
    return ErrnoStatus(-result, absl::StrCat("io_uring_setup(", entries_, ")"));
  }
  made_ = true;
  return absl::OkStatus();
}

bool UringDisk::Ring::Queue(BlockRequest& request) {
  io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return false;
  const int file = file_->fd();
  const uint64_t offset = request.offset + request.note;
  switch (request.operation) {
    case BlockOperation::kRead:
      ::io_uring_prep_readv(sqe, file, request.buffers.data(),
                            static_cast<unsigned>(request.buffers.size()),
                            offset);
      break;
    case BlockOperation::kWrite:
      ::io_uring_prep_writev2(
          sqe, file, request.buffers.data(),
          static_cast<unsigned>(request.buffers.size()), offset,
          request.durable && file_->cache() != DiskCache::kUnsafe ? RWF_DSYNC
                                                                  : 0);
      break;
    case BlockOperation::kFlush:
      ::io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
      break;
    case BlockOperation::kDiscard:
    case BlockOperation::kWriteZeroes:
      ::io_uring_prep_fallocate(
          sqe, file,
          request.operation == BlockOperation::kDiscard || request.unmap
              ? kPunch
              : kZero,
          static_cast<off_t>(offset), static_cast<off_t>(request.size));
      break;
  }
  ::io_uring_sqe_set_data(sqe, &request);
  unstarted_.push_back({sqe, &request});
  return true;
}

BlockAnswer UringDisk::Ring::Submit(BlockRequest& request) {
  const BlockTraits& traits = file_->traits();
  const bool writes = request.operation != BlockOperation::kRead &&
                      request.operation != BlockOperation::kFlush;
  if (writes && traits.read_only) return BlockAnswer::kIoError;
  if (request.operation == BlockOperation::kFlush &&
      file_->cache() == DiskCache::kUnsafe) {
    return BlockAnswer::kOk;
  }
  // Zeroes that are to be durable are two calls; rare enough to block.
  const bool blocking =
      (IsTransfer(request) && !file_->TakesBuffers(request)) ||
      (request.operation == BlockOperation::kWriteZeroes && request.durable);
  if (!blocking) {
    const MutexLock lock(mutex_);
    if (in_flight_ == entries_) {
      waiting_ = request.owner;
      return BlockAnswer::kLater;
    }
    if (Queue(request)) {
      ++in_flight_;
      return BlockAnswer::kPending;
    }
  }
  return file_->Run(request);
}

BlockRequest* UringDisk::Ring::TakeUnstarted() {
  for (Entry& entry : unstarted_) {
    if (entry.request == nullptr) continue;
    // The kernel will take the entry sooner or later.
    ::io_uring_prep_nop(entry.sqe);
    ::io_uring_sqe_set_data(entry.sqe, nullptr);
    --in_flight_;
    telling_.fetch_add(1, std::memory_order_relaxed);
    return std::exchange(entry.request, nullptr);
  }
  return nullptr;
}

void UringDisk::Ring::Start() {
  while (true) {
    BlockRequest* request = nullptr;
    {
      const MutexLock lock(mutex_);
      while (!unstarted_.empty()) {
        const int taken = ::io_uring_submit(&ring_);
        if (taken == -EINTR) continue;
        if (taken <= 0) break;
        unstarted_.erase(
            unstarted_.begin(),
            unstarted_.begin() +
                std::min<std::ptrdiff_t>(taken, std::ssize(unstarted_)));
      }
      request = TakeUnstarted();
    }
    if (request == nullptr) return;
    // The kernel takes no more now, and nothing says when it will.
    BlockRequest rest = Rest(*request);
    const BlockCompletion done{request, file_->Run(rest)};
    Tell(std::span(&done, 1));
  }
}

UringDisk::Ring::Next UringDisk::Ring::OnResult(BlockRequest& request,
                                                int result,
                                                BlockAnswer& answer) {
  answer = BlockAnswer::kIoError;
  if (result == -EINTR || result == -EAGAIN) return Next::kBlocking;
  if (!IsTransfer(request)) {
    if (result >= 0) {
      answer = BlockAnswer::kOk;
    } else if (result != -EIO && result != -ENOSPC && result != -ECANCELED &&
               request.operation != BlockOperation::kFlush) {
      // Perhaps not this way: DiskFile knows others.
      return Next::kBlocking;
    }
    return Next::kFinished;
  }
  // Zero: the file is shorter than it was.
  if (result <= 0) return Next::kFinished;
  const auto moved = static_cast<uint64_t>(result);
  if (moved >= request.size - request.note) {
    answer = BlockAnswer::kOk;
    return Next::kFinished;
  }
  request.note += moved;
  AdvanceBuffers(request.buffers, moved);
  return Queue(request) ? Next::kQueued : Next::kBlocking;
}

size_t UringDisk::Ring::ReapBatch(bool draining) {
  std::array<BlockCompletion, kBatch> done;
  std::array<size_t, kBatch> blocking;
  size_t count = 0;
  size_t blocking_count = 0;
  unsigned fetched_count = 0;
  bool queued = false;
  {
    const MutexLock lock(mutex_);
    if (draining_ != draining) return 0;
    std::array<io_uring_cqe*, kBatch> fetched;
    fetched_count = ::io_uring_peek_batch_cqe(&ring_, fetched.data(), kBatch);
    for (const io_uring_cqe* const cqe :
         std::span(fetched).first(fetched_count)) {
      auto* const request =
          static_cast<BlockRequest*>(::io_uring_cqe_get_data(cqe));
      if (request == nullptr) continue;
      BlockCompletion& completion = done[count];
      completion.request = request;
      switch (OnResult(*request, cqe->res, completion.answer)) {
        case Next::kQueued:
          queued = true;
          continue;
        case Next::kBlocking:
          blocking[blocking_count++] = count;
          break;
        case Next::kFinished:
          break;
      }
      ++count;
    }
    ::io_uring_cq_advance(&ring_, fetched_count);
    in_flight_ -= static_cast<uint32_t>(count);
    telling_.fetch_add(static_cast<uint32_t>(count), std::memory_order_relaxed);
  }
  if (queued) Start();
  for (const size_t i : std::span(blocking).first(blocking_count)) {
    BlockRequest rest = Rest(*done[i].request);
    done[i].answer = file_->Run(rest);
  }
  if (count > 0) Tell(std::span(done).first(count));
  return fetched_count;
}

void UringDisk::Ring::Tell(std::span<const BlockCompletion> completions) {
  completions.front().request->owner->OnComplete(completions);
  BlockRequestOwner* waiting = nullptr;
  {
    const MutexLock lock(mutex_);
    waiting = std::exchange(waiting_, nullptr);
  }
  if (waiting != nullptr) waiting->OnRoom();
  const auto count = static_cast<uint32_t>(completions.size());
  // The release pairs with the acquire in Drain.
  if (telling_.fetch_sub(count, std::memory_order_release) == count) {
    telling_.notify_all();
  }
}

void UringDisk::Ring::Reap() {
  // As many as there can be at once: those that come meanwhile make the
  // descriptor readable again.
  for (uint32_t reaped = 0; reaped <= entries_; reaped += kBatch) {
    if (ReapBatch(/*draining=*/false) < kBatch) return;
  }
}

void UringDisk::Ring::Drain() {
  Start();
  {
    const MutexLock lock(mutex_);
    draining_ = true;
    waiting_ = nullptr;
    if (in_flight_ > 0) {
      // What the kernel has not begun need not be. Kernels that cannot cancel
      // everything at once say so, and do it all.
      if (io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_)) {
        ::io_uring_prep_cancel(
            sqe, nullptr, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        ::io_uring_sqe_set_data(sqe, nullptr);
        unstarted_.push_back({sqe, nullptr});
      }
    }
  }
  Start();
  while (true) {
    while (ReapBatch(/*draining=*/true) > 0) {
    }
    {
      const MutexLock lock(mutex_);
      if (in_flight_ == 0) {
        draining_ = false;
        break;
      }
    }
    // Nobody else fetches, so there is something to wait for.
    io_uring_cqe* cqe = nullptr;
    (void)::io_uring_wait_cqe(&ring_, &cqe);
  }
  for (uint32_t told = telling_.load(std::memory_order_acquire); told != 0;
       told = telling_.load(std::memory_order_acquire)) {
    telling_.wait(told, std::memory_order_acquire);
  }
}

absl::StatusOr<std::unique_ptr<UringDisk>> UringDisk::Create(
    UniqueFd fd, const Options& options) {
  if (!std::has_single_bit(options.entries) || options.entries > kMaxEntries) {
    return absl::InvalidArgumentError(
        absl::StrCat("UringDisk::Options::entries ", options.entries,
                     " is not a power of two from 1 to ", kMaxEntries));
  }
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<DiskFile> file,
                          DiskFile::Create(std::move(fd), options.file));
  auto ring = std::make_unique<Ring>(std::move(file), options.entries);
  LIBVMM_RETURN_IF_ERROR(ring->Make());
  return std::unique_ptr<UringDisk>(new UringDisk(std::move(ring)));
}

UringDisk::UringDisk(std::unique_ptr<Ring> ring) : ring_(std::move(ring)) {}
UringDisk::~UringDisk() = default;

const BlockTraits& UringDisk::traits() const { return ring_->file().traits(); }
uint64_t UringDisk::capacity() const { return ring_->file().capacity(); }
absl::Status UringDisk::UpdateCapacity() {
  return ring_->file().UpdateCapacity();
}

BlockAnswer UringDisk::Submit(BlockRequest& request) {
  return ring_->Submit(request);
}
void UringDisk::Start() { ring_->Start(); }
void UringDisk::Drain() { ring_->Drain(); }

int UringDisk::fd() const { return ring_->fd(); }
short UringDisk::events() const { return POLLIN; }
absl::Duration UringDisk::NextDeadline() const {
  return absl::InfiniteDuration();
}
void UringDisk::OnReady(short) { ring_->Reap(); }
void UringDisk::OnDeadline() {}

}  // namespace libvmm
