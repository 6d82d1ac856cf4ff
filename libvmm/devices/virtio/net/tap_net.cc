// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/tap_net.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {
namespace {

constexpr char kDevice[] = "/dev/net/tun";
// The kernel's limit for an interface (MAX_TAP_QUEUES).
constexpr uint16_t kMaxQueues = 256;
// Linux 6.2 and later; headers of before lack them.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

constexpr size_t kBufferSize = sizeof(NetHeader) + virtio::net::kMaxFrameSize;

unsigned TunOffloads(const NetOffloads& offloads) {
  unsigned flags = 0;
  if (offloads.checksum) flags |= TUN_F_CSUM;
  if (offloads.tso4) flags |= TUN_F_TSO4;
  if (offloads.tso6) flags |= TUN_F_TSO6;
  if (offloads.ecn) flags |= TUN_F_TSO_ECN;
  if (offloads.ufo) flags |= TUN_F_UFO;
  if (offloads.uso) flags |= kTunUso4 | kTunUso6;
  return flags;
}

int SetOffloads(int fd, const NetOffloads& offloads) {
  // TUNSETOFFLOAD has its argument in the place of a pointer.
  return ::ioctl(fd, TUNSETOFFLOAD,
                 static_cast<unsigned long>(TunOffloads(offloads)));
}

// The most that the kernel's taps can do. At first none of it is used.
absl::StatusOr<NetOffloads> ProbeOffloads(int fd, absl::string_view name) {
  NetOffloads offloads = NetOffloads::All();
  if (SetOffloads(fd, offloads) != 0) offloads.uso = false;
  if (!offloads.uso && SetOffloads(fd, offloads) != 0) offloads.ufo = false;
  if (!offloads.ufo && SetOffloads(fd, offloads) != 0) offloads = {};
  if (SetOffloads(fd, {}) != 0) {
    return ErrnoStatus(errno, absl::StrCat("TUNSETOFFLOAD, \"", name, "\""));
  }
  return offloads;
}

// Opens a queue of the interface `request` names; the kernel puts the name of
// the interface there.
absl::StatusOr<UniqueFd> OpenQueue(ifreq& request) {
  UniqueFd fd(::open(kDevice, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open, ", kDevice));
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return ErrnoStatus(errno,
                       absl::StrCat("TUNSETIFF, \"", request.ifr_name, "\""));
  }
  return fd;
}

absl::Status SetHeaderSize(int fd, absl::string_view name) {
  int size = sizeof(NetHeader);
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("TUNSETVNETHDRSZ, \"", name, "\""));
  }
  return absl::OkStatus();
}

int SetQueue(int fd, unsigned short flag) {
  ifreq request{};
  request.ifr_flags = static_cast<short>(flag);
  return ::ioctl(fd, TUNSETQUEUE, &request);
}

}  // namespace

struct TapNet::Attached {
  UniqueFd fd;
  std::string name;
  NetOffloads offloads;
  EdgeWatch watch;
  bool detachable = false;
};

absl::StatusOr<std::unique_ptr<TapNet>> TapNet::Open(const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(std::vector<std::unique_ptr<TapNet>> queues,
                          OpenQueues(options, 1));
  return std::move(queues.front());
}

absl::StatusOr<std::vector<std::unique_ptr<TapNet>>> TapNet::OpenQueues(
    const Options& options, uint16_t queues) {
  if (options.name.size() >= IFNAMSIZ ||
      options.name.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("TapNet: name: \"", options.name, "\" is longer than ",
                     IFNAMSIZ - 1, " bytes or has a NUL"));
  }
  if (queues == 0 || queues > kMaxQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat("TapNet: queues: ", queues, ", not 1 to ", kMaxQueues));
  }
  ifreq request{};
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (queues > 1) request.ifr_flags |= IFF_MULTI_QUEUE;
  std::vector<std::unique_ptr<TapNet>> result;
  while (result.size() < queues) {
    LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, OpenQueue(request));
    const std::string name = request.ifr_name;
    LIBVMM_RETURN_IF_ERROR(SetHeaderSize(fd.get(), name));
    NetOffloads offloads;
    if (options.offloads) {
      LIBVMM_ASSIGN_OR_RETURN(offloads, ProbeOffloads(fd.get(), name));
    }
    LIBVMM_ASSIGN_OR_RETURN(EdgeWatch watch, EdgeWatch::Create(fd.get()));
    // An interface has one queue at least.
    const bool detachable = !result.empty();
    if (detachable && SetQueue(fd.get(), IFF_DETACH_QUEUE) != 0) {
      return ErrnoStatus(
          errno, absl::StrCat("TUNSETQUEUE(IFF_DETACH_QUEUE), \"", name, "\""));
    }
    result.emplace_back(new TapNet({.fd = std::move(fd),
                                    .name = name,
                                    .offloads = offloads,
                                    .watch = std::move(watch),
                                    .detachable = detachable}));
  }
  return result;
}

absl::StatusOr<std::unique_ptr<TapNet>> TapNet::Adopt(UniqueFd fd,
                                                      bool offloads) {
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0) {
    // Not even a tap, says the kernel in several ways.
    return absl::InvalidArgumentError(absl::StrCat(
        "TapNet: descriptor ", fd.get(),
        ": TUNGETIFF: ", ErrnoStatus(errno, "not attached").message()));
  }
  constexpr int kWanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if ((request.ifr_flags & kWanted) != kWanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "TapNet: descriptor ", fd.get(), ", \"", request.ifr_name,
        "\": not a tap (IFF_TAP) with headers (IFF_VNET_HDR) and without "
        "packet information (IFF_NO_PI)"));
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl(O_NONBLOCK)");
  }
  const std::string name = request.ifr_name;
  LIBVMM_RETURN_IF_ERROR(SetHeaderSize(fd.get(), name));
  NetOffloads usable;
  if (offloads) {
    LIBVMM_ASSIGN_OR_RETURN(usable, ProbeOffloads(fd.get(), name));
  }
  LIBVMM_ASSIGN_OR_RETURN(EdgeWatch watch, EdgeWatch::Create(fd.get()));
  return std::unique_ptr<TapNet>(new TapNet({.fd = std::move(fd),
                                             .name = name,
                                             .offloads = usable,
                                             .watch = std::move(watch)}));
}

TapNet::TapNet(Attached attached)
    : fd_(std::move(attached.fd)),
      name_(std::move(attached.name)),
      offloads_(attached.offloads),
      detachable_(attached.detachable),
      watch_(std::move(attached.watch)),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferSize)) {}

TapNet::~TapNet() = default;

NetOffloads TapNet::send_offloads() const { return offloads_; }
NetOffloads TapNet::receive_offloads() const { return offloads_; }

void TapNet::Note(int error) {
  last_error_.store(error, std::memory_order_relaxed);
}

void TapNet::Start(const NetOffloads& receive) {
  if (detachable_ && SetQueue(fd_.get(), IFF_ATTACH_QUEUE) != 0) Note(errno);
  SetReceiveOffloads(receive);
  readable_.store(true, std::memory_order_relaxed);
}

void TapNet::Stop() {
  has_front_ = false;
  if (detachable_ && SetQueue(fd_.get(), IFF_DETACH_QUEUE) != 0) Note(errno);
}

void TapNet::SetReceiveOffloads(const NetOffloads& receive) {
  if (SetOffloads(fd_.get(), receive.And(offloads_)) != 0) Note(errno);
}

NetBackend::SendResult TapNet::Send(const OutgoingFrame& frame) {
  const std::span<const iovec> pieces = frame.pieces_with_header();
  ssize_t written;
  do {
    written =
        ::writev(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
  } while (written < 0 && errno == EINTR);
  if (written >= 0) {
    watch_.WantWrite(false);
    return SendResult::kSent;
  }
  if (errno == EAGAIN) {
    watch_.WantWrite(true);
    return SendResult::kLater;
  }
  Note(errno);
  return SendResult::kDropped;
}

const IncomingFrame* TapNet::Front() {
  if (has_front_) return &front_;
  // Cleared before the read: OnReady sets it when something comes after it.
  while (readable_.exchange(false)) {
    const ssize_t size = ::read(fd_.get(), buffer_.get(), kBufferSize);
    if (size < 0) {
      if (errno == EAGAIN) return nullptr;
      if (errno != EINTR) {
        Note(errno);
        return nullptr;
      }
    }
    readable_.store(true);
    // Linux makes no frame without a header, but this is not the place to trust
    // it.
    if (size < static_cast<ssize_t>(sizeof(NetHeader))) continue;
    std::memcpy(&front_.header, buffer_.get(), sizeof(NetHeader));
    front_.bytes = {buffer_.get() + sizeof(NetHeader),
                    static_cast<size_t>(size) - sizeof(NetHeader)};
    has_front_ = true;
    return &front_;
  }
  return nullptr;
}

void TapNet::PopFront() { has_front_ = false; }

short TapNet::events() const { return POLLIN; }

void TapNet::OnReady(short) {
  if (watch_.Take() == 0) return;
  readable_.store(true);
  NotifyListener();
}

}  // namespace libvmm
