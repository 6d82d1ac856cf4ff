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
#include "libvmm/base/event_fd.h"
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
  Ring(std::unique_ptr<DiskFile> file, EventFd ready, uint32_t entries)
      : file_(std::move(file)), entries_(entries), ready_(std::move(ready)) {
    unstarted_.reserve(entries);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (made_) ::io_uring_queue_exit(&ring_);
  }

  absl::Status Make();

  DiskFile& file() { return *file_; }
  int fd() const { return ready_.fd(); }

  BlockAnswer Submit(BlockRequest& request);
  void Start();
  void Drain();
  void OnReady();

 private:
  enum class Next : uint8_t { kFinished, kQueued, kBlocking };

  // Requests that left the ring, to be told about without the lock.
  struct Batch {
    std::array<BlockCompletion, kBatch> done;
    size_t count = 0;
    // Which of them blocking calls are to finish first.
    std::array<size_t, kBatch> blocking;
    size_t blocking_count = 0;

    void Add(BlockRequest& request, BlockAnswer answer) {
      done[count++] = {&request, answer};
    }
    void AddBlocking(BlockRequest& request) {
      blocking[blocking_count++] = count;
      Add(request, BlockAnswer::kIoError);
    }
  };

  // Puts the request, or what is left of it, into the submission ring. False
  // when that is full.
  bool Queue(BlockRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What to do about a request that the kernel finished with `result`; its
  // answer when that is kFinished.
  Next OnResult(BlockRequest& request, int result, BlockAnswer& answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One submission and one batch of completions, unless the ring is drained and
  // this is not Drain. True when there is more.
  bool Turn(bool draining);
  // Turns until there is nothing more, as many as a full ring can take.
  void GoOn();
  void SubmitUnstarted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Requests that the kernel did not take, into the batch.
  void TakeUnstarted(Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fetch(Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] bool HasUnstarted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Completions signal ready_, or do not.
  void SetSignals(bool on) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Finish(Batch& batch);

  void Tell(std::span<const BlockCompletion> completions);

  const std::unique_ptr<DiskFile> file_;
  const uint32_t entries_;
  bool made_ = false;

  // Counts completions that nobody looked for.
  const EventFd ready_;
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
  if (const int result = ::io_uring_register_eventfd(&ring_, ready_.fd());
      result != 0) {
    return ErrnoStatus(-result, "io_uring_register(IORING_REGISTER_EVENTFD)");
  }
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

void UringDisk::Ring::SubmitUnstarted() {
  while (!unstarted_.empty()) {
    const int taken = ::io_uring_submit(&ring_);
    if (taken == -EINTR) continue;
    if (taken <= 0) return;
    unstarted_.erase(unstarted_.begin(),
                     unstarted_.begin() + std::min<std::ptrdiff_t>(
                                              taken, std::ssize(unstarted_)));
  }
}

void UringDisk::Ring::TakeUnstarted(Batch& batch) {
  for (Entry& entry : unstarted_) {
    if (batch.count == kBatch) return;
    if (entry.request == nullptr) continue;
    // The kernel will take the entry sooner or later.
    ::io_uring_prep_nop(entry.sqe);
    ::io_uring_sqe_set_data(entry.sqe, nullptr);
    batch.AddBlocking(*std::exchange(entry.request, nullptr));
  }
}

bool UringDisk::Ring::HasUnstarted() const {
  return std::ranges::any_of(
      unstarted_, [](const Entry& entry) { return entry.request != nullptr; });
}

void UringDisk::Ring::SetSignals(bool on) {
  // Kernels before 5.8 have no such flag: they signal more than is needed.
  if (ring_.cq.kflags == nullptr) return;
  const std::atomic_ref<unsigned> flags(*ring_.cq.kflags);
  if (on) {
    // Ordered before the next look at the completion ring: what is not seen
    // there then, the kernel puts there later and finds the flag gone.
    flags.fetch_and(~IORING_CQ_EVENTFD_DISABLED, std::memory_order_seq_cst);
  } else {
    flags.store(
        flags.load(std::memory_order_relaxed) | IORING_CQ_EVENTFD_DISABLED,
        std::memory_order_relaxed);
  }
}

void UringDisk::Ring::Start() {
  {
    const MutexLock lock(mutex_);
    if (unstarted_.empty()) return;
  }
  GoOn();
}

UringDisk::Ring::Next UringDisk::Ring::OnResult(BlockRequest& request,
                                                int result,
                                                BlockAnswer& answer) {
  answer = BlockAnswer::kIoError;
  if (result == -EINTR || result == -EAGAIN) return Next::kBlocking;
  // The thread that submitted it has ended, and its work with it; what Drain
  // cancelled stays so.
  if (!draining_ && (result == -ECANCELED || result == -EFAULT)) {
    return Next::kBlocking;
  }
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

void UringDisk::Ring::Fetch(Batch& batch) {
  std::array<io_uring_cqe*, kBatch> fetched;
  const unsigned count = ::io_uring_peek_batch_cqe(
      &ring_, fetched.data(), static_cast<unsigned>(kBatch - batch.count));
  for (const io_uring_cqe* const cqe : std::span(fetched).first(count)) {
    auto* const request =
        static_cast<BlockRequest*>(::io_uring_cqe_get_data(cqe));
    if (request == nullptr) continue;
    BlockAnswer answer;
    switch (OnResult(*request, cqe->res, answer)) {
      case Next::kQueued:
        break;
      case Next::kBlocking:
        batch.AddBlocking(*request);
        break;
      case Next::kFinished:
        batch.Add(*request, answer);
        break;
    }
  }
  ::io_uring_cq_advance(&ring_, count);
}

bool UringDisk::Ring::Turn(bool draining) {
  Batch batch;
  bool more = false;
  {
    const MutexLock lock(mutex_);
    if (draining_ != draining) return false;
    // What the page cache has is complete when the call returns: no loop need
    // wake for it.
    SetSignals(false);
    SubmitUnstarted();
    // What is left, the kernel does not take now, and nothing says when it
    // will.
    TakeUnstarted(batch);
    Fetch(batch);
    SetSignals(true);
    more = HasUnstarted() || ::io_uring_cq_ready(&ring_) != 0;
    in_flight_ -= static_cast<uint32_t>(batch.count);
    telling_.fetch_add(static_cast<uint32_t>(batch.count),
                       std::memory_order_relaxed);
  }
  Finish(batch);
  return more;
}

void UringDisk::Ring::Finish(Batch& batch) {
  for (const size_t i : std::span(batch.blocking).first(batch.blocking_count)) {
    BlockRequest rest = Rest(*batch.done[i].request);
    batch.done[i].answer = file_->Run(rest);
  }
  if (batch.count > 0) Tell(std::span(batch.done).first(batch.count));
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

void UringDisk::Ring::GoOn() {
  for (uint32_t turns = entries_ / kBatch + 2; turns > 0; --turns) {
    if (!Turn(/*draining=*/false)) return;
  }
  // Requests of other threads came meanwhile. The loop's turn.
  ready_.Signal();
}

void UringDisk::Ring::OnReady() {
  (void)ready_.Drain();
  GoOn();
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
  while (true) {
    while (Turn(/*draining=*/true)) {
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
  LIBVMM_ASSIGN_OR_RETURN(EventFd ready, EventFd::Create());
  auto ring = std::make_unique<Ring>(std::move(file), std::move(ready),
                                     options.entries);
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
void UringDisk::OnReady(short) { ring_->OnReady(); }
void UringDisk::OnDeadline() {}

}  // namespace libvmm
