// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/stream_net.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {
namespace {

// The length before each frame.
constexpr size_t kLengthSize = 4;
constexpr size_t kMaxRecordSize = kLengthSize + virtio::net::kMaxFrameSize;
constexpr size_t kReceiveSize = size_t{128} << 10;
static_assert(kReceiveSize >= kMaxRecordSize);

std::array<std::byte, kLengthSize> ToBigEndian(uint32_t value) {
  return {std::byte(value >> 24), std::byte(value >> 16), std::byte(value >> 8),
          std::byte(value)};
}

// As writev(2), without the signal that a peer that has gone would bring.
ssize_t SendPieces(int fd, std::span<iovec> pieces) {
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  ssize_t sent;
  do {
    sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

uint32_t FromBigEndian(const std::byte* bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < kLengthSize; ++i) {
    value = value << 8 | std::to_integer<uint32_t>(bytes[i]);
  }
  return value;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamNet>> StreamNet::Adopt(UniqueFd socket) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_STREAM) {
    return absl::InvalidArgumentError(absl::StrCat(
        "StreamNet: descriptor ", socket.get(), " is no stream socket"));
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl(O_NONBLOCK)");
  }
  LIBVMM_ASSIGN_OR_RETURN(EdgeWatch watch, EdgeWatch::Create(socket.get()));
  return std::unique_ptr<StreamNet>(
      new StreamNet(std::move(socket), std::move(watch)));
}

absl::StatusOr<std::unique_ptr<StreamNet>> StreamNet::Connect(
    absl::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("StreamNet: path: \"", path, "\" has not 1 to ",
                     sizeof address.sun_path - 1, " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket(AF_UNIX)");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof address) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect, \"", path, "\""));
  }
  return Adopt(std::move(fd));
}

StreamNet::StreamNet(UniqueFd socket, EdgeWatch watch)
    : fd_(std::move(socket)),
      watch_(std::move(watch)),
      unsent_(std::make_unique_for_overwrite<std::byte[]>(kMaxRecordSize)),
      received_(std::make_unique_for_overwrite<std::byte[]>(kReceiveSize)) {}

StreamNet::~StreamNet() = default;

void StreamNet::Start(const NetOffloads&) { readable_.store(true); }

// What has come stays: the peer's frames have no gaps between them.
void StreamNet::Stop() {}

void StreamNet::SetReceiveOffloads(const NetOffloads&) {}

void StreamNet::Flush() {
  while (unsent_begin_ != unsent_end_ && connected()) {
    iovec rest{.iov_base = unsent_.get() + unsent_begin_,
               .iov_len = unsent_end_ - unsent_begin_};
    const ssize_t sent = SendPieces(fd_.get(), std::span(&rest, 1));
    if (sent >= 0) {
      unsent_begin_ += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      return watch_.WantWrite(true);
    } else {
      gone_.store(true, std::memory_order_relaxed);
    }
  }
  watch_.WantWrite(false);
}

NetBackend::SendResult StreamNet::Send(const OutgoingFrame& frame) {
  Flush();
  if (!connected()) return SendResult::kDropped;
  if (unsent_begin_ != unsent_end_) return SendResult::kLater;

  std::array<std::byte, kLengthSize> length =
      ToBigEndian(static_cast<uint32_t>(frame.size()));
  // The length takes the place of the header, which is all zeroes here.
  std::array<iovec, OutgoingFrame::kMaxPieces> pieces;
  pieces[0] = {.iov_base = length.data(), .iov_len = length.size()};
  std::ranges::copy(frame.pieces(), pieces.begin() + 1);
  const ssize_t sent =
      SendPieces(fd_.get(), std::span(pieces).first(frame.pieces().size() + 1));
  if (sent < 0) {
    if (errno == EAGAIN) {
      watch_.WantWrite(true);
      return SendResult::kLater;
    }
    gone_.store(true, std::memory_order_relaxed);
    return SendResult::kDropped;
  }

  // A part of it went: the rest is kept, since the driver gets its buffers back
  // and nothing may come between.
  size_t done = static_cast<size_t>(sent);
  const size_t total = length.size() + frame.size();
  if (done == total) return SendResult::kSent;
  size_t kept = 0;
  if (done < length.size()) {
    kept = length.size() - done;
    std::memcpy(unsent_.get(), length.data() + done, kept);
    done = length.size();
  }
  kept +=
      frame.CopyTo({unsent_.get() + kept, total - done}, done - length.size());
  unsent_begin_ = 0;
  unsent_end_ = kept;
  watch_.WantWrite(true);
  return SendResult::kSent;
}

const IncomingFrame* StreamNet::Front() {
  if (has_front_) return &front_;
  for (;;) {
    const std::byte* const begin = received_.get() + received_begin_;
    const size_t size = received_end_ - received_begin_;
    if (size >= kLengthSize) {
      const uint32_t length = FromBigEndian(begin);
      if (length == 0 || length > virtio::net::kMaxFrameSize) {
        // No way to find the next one.
        gone_.store(true, std::memory_order_relaxed);
        received_begin_ = received_end_ = 0;
        return nullptr;
      }
      if (size >= kLengthSize + length) {
        front_ = {.header = {}, .bytes = {begin + kLengthSize, length}};
        has_front_ = true;
        return &front_;
      }
    }
    if (!Fetch()) return nullptr;
  }
}

bool StreamNet::Fetch() {
  // The rest of a frame needs room behind it.
  std::memmove(received_.get(), received_.get() + received_begin_,
               received_end_ - received_begin_);
  received_end_ -= std::exchange(received_begin_, 0);
  // Cleared before the call: OnReady sets it when something comes after it.
  while (connected() && readable_.exchange(false)) {
    const ssize_t size = ::read(fd_.get(), received_.get() + received_end_,
                                kReceiveSize - received_end_);
    if (size > 0) {
      received_end_ += static_cast<size_t>(size);
      readable_.store(true);
      return true;
    }
    if (size < 0 && errno == EAGAIN) return false;
    if (size < 0 && errno == EINTR) {
      readable_.store(true);
      continue;
    }
    gone_.store(true, std::memory_order_relaxed);
  }
  return false;
}

void StreamNet::PopFront() {
  received_begin_ += kLengthSize + front_.bytes.size();
  has_front_ = false;
}

short StreamNet::events() const {
  return connected() ? static_cast<short>(POLLIN) : static_cast<short>(0);
}

void StreamNet::OnReady(short) {
  if (watch_.Take() == 0) return;
  readable_.store(true);
  NotifyListener();
}

}  // namespace libvmm
