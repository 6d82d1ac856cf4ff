// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/block_requests.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "libvmm/base/check.h"

namespace libvmm::testing {
namespace {

constexpr size_t kPage = 4096;

std::byte* AlignedStart(std::vector<std::byte>& bytes, size_t misaligned) {
  const auto start = reinterpret_cast<uintptr_t>(bytes.data());
  return bytes.data() + (kPage - start % kPage) % kPage + misaligned;
}

}  // namespace

BlockRequests::Entry& BlockRequests::Submit(const Args& args,
                                            std::span<const std::byte> data) {
  auto owned = std::make_unique<Entry>();
  Entry& entry = *owned;
  entry.request = {.operation = args.operation,
                   .durable = args.durable,
                   .unmap = args.unmap,
                   .offset = args.offset,
                   .size = args.size,
                   .owner = this};
  if (args.operation == BlockOperation::kRead ||
      args.operation == BlockOperation::kWrite) {
    entry.bytes.resize(args.size + kPage + args.misaligned);
    std::byte* at = AlignedStart(entry.bytes, args.misaligned);
    if (args.operation == BlockOperation::kWrite) {
      LIBVMM_CHECK(data.size() == args.size);
      std::memcpy(at, data.data(), data.size());
    }
    size_t left = args.size;
    for (const size_t piece : args.pieces) {
      const size_t size = std::min(piece, left);
      if (size == 0) continue;
      entry.buffers.push_back({.iov_base = at, .iov_len = size});
      at += size;
      left -= size;
    }
    if (left > 0) entry.buffers.push_back({.iov_base = at, .iov_len = left});
    entry.request.buffers = entry.buffers;
  }
  {
    const MutexLock lock(mutex_);
    entries_.push_back(std::move(owned));
  }
  const BlockAnswer answer = backend_.Submit(entry.request);
  const MutexLock lock(mutex_);
  // It may be finished already.
  if (answer == BlockAnswer::kPending) {
    entry.answers.insert(entry.answers.begin(), answer);
  } else {
    entry.answers.push_back(answer);
  }
  return entry;
}

BlockAnswer BlockRequests::Run(const Args& args,
                               std::span<const std::byte> data) {
  const Entry& entry = Submit(args, data);
  backend_.Start();
  while (Answer(entry) == BlockAnswer::kPending) wait();
  return Answer(entry);
}

BlockAnswer BlockRequests::Read(uint64_t offset, std::span<std::byte> to,
                                const Args& more) {
  Args args = more;
  args.operation = BlockOperation::kRead;
  args.offset = offset;
  args.size = to.size();
  const Entry& entry = Submit(args);
  backend_.Start();
  while (Answer(entry) == BlockAnswer::kPending) wait();
  std::memcpy(to.data(),
              AlignedStart(const_cast<Entry&>(entry).bytes, args.misaligned),
              to.size());
  return Answer(entry);
}

BlockAnswer BlockRequests::Write(uint64_t offset,
                                 std::span<const std::byte> data,
                                 const Args& more) {
  Args args = more;
  args.operation = BlockOperation::kWrite;
  args.offset = offset;
  args.size = data.size();
  return Run(args, data);
}

BlockAnswer BlockRequests::Answer(const Entry& entry) {
  const MutexLock lock(mutex_);
  return entry.answers.back();
}

size_t BlockRequests::Finished(const Entry& entry) {
  const MutexLock lock(mutex_);
  return entry.answers.size() - static_cast<size_t>(std::count(
                                    entry.answers.begin(), entry.answers.end(),
                                    BlockAnswer::kPending));
}

int BlockRequests::rooms() {
  const MutexLock lock(mutex_);
  return rooms_;
}

BlockRequests::Entry* BlockRequests::Find(const BlockRequest* request) {
  for (const auto& entry : entries_) {
    if (&entry->request == request) return entry.get();
  }
  return nullptr;
}

void BlockRequests::OnComplete(std::span<const BlockCompletion> completions) {
  const MutexLock lock(mutex_);
  for (const BlockCompletion& completion : completions) {
    Entry* const entry = Find(completion.request);
    LIBVMM_CHECK(entry != nullptr);
    entry->answers.push_back(completion.answer);
  }
}

void BlockRequests::OnRoom() {
  const MutexLock lock(mutex_);
  ++rooms_;
}

}  // namespace libvmm::testing
