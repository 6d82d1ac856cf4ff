// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/vsock_unix_sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/vsock/internal/atomic_bits.h"

namespace libvmm {
namespace {

constexpr uint32_t kMaxConnections = 65536;
// Host programs that wait for being accepted; the kernel's own limit is lower
// or higher.
constexpr int kBacklog = 128;
// "_" and the longest number of a port.
constexpr size_t kMaxSuffix = 11;
constexpr size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1 - kMaxSuffix;

constexpr absl::string_view kHello = "CONNECT ";
// Room for the longest line of either side: "CONNECT 4294967295\n".
constexpr size_t kMaxLine = 24;

// How much one OnReady does: it comes again for the rest.
constexpr int kEventsAtOnce = 64;
constexpr int kAcceptsAtOnce = 16;
constexpr int kTransfersAtOnce = 16;

// How long accepting rests when there are no descriptors left.
constexpr absl::Duration kAcceptRest = absl::Milliseconds(100);

// What epoll tells beside the numbers of clients.
constexpr uint64_t kListenerTag = uint64_t{1} << 32;
constexpr uint64_t kWakeTag = kListenerTag + 1;

// Which file it is.
struct FileId {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t inode = 0;

  friend constexpr bool operator==(const FileId&, const FileId&) = default;
};

// Nothing, and errno, when there is no such file.
std::optional<FileId> FileIdOf(const std::string& path) {
  struct statx status;
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_INO,
              &status) != 0) {
    return std::nullopt;
  }
  return FileId{.major = status.stx_dev_major,
                .minor = status.stx_dev_minor,
                .inode = status.stx_ino};
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(),
              std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

UniqueFd NewSocket() {
  return UniqueFd(
      ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// As recvmsg and sendmsg, resumed after signals.
ssize_t Receive(int fd, std::span<std::byte> to, int flags) {
  iovec part{.iov_base = to.data(), .iov_len = to.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t result;
  do {
    result = ::recvmsg(fd, &message, flags);
  } while (result < 0 && errno == EINTR);
  return result;
}

ssize_t Send(int fd, std::span<const std::byte> from) {
  iovec part{.iov_base = const_cast<std::byte*>(from.data()),
             .iov_len = from.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t result;
  do {
    // A peer that has gone is a value here, no signal.
    result = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (result < 0 && errno == EINTR);
  return result;
}

bool IsOutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM ||
         error == ENOBUFS;
}

// The socket at a path, which it removes in the end.
class BoundPath {
 public:
  BoundPath() = default;
  BoundPath(std::string path, FileId id) : path_(std::move(path)), id_(id) {}
  BoundPath(BoundPath&& other) noexcept
      : path_(std::exchange(other.path_, {})), id_(other.id_) {}
  BoundPath& operator=(BoundPath&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(id_, other.id_);
    return *this;
  }
  // Unless somebody has put another one there.
  ~BoundPath() {
    if (!path_.empty() && FileIdOf(path_) == id_) ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  FileId id_;
};

}  // namespace

class VsockUnixSockets::Muxer {
 public:
  struct Descriptors {
    UniqueFd listener;
    BoundPath bound;
    UniqueFd epoll;
    EventFd wake;
  };
  static absl::StatusOr<Descriptors> Open(const Options& options);

  Muxer(Options options, Descriptors descriptors)
      : options_(std::move(options)),
        descriptors_(std::move(descriptors)),
        ready_(options_.max_connections),
        clients_(options_.max_connections) {
    free_.reserve(options_.max_connections);
    for (uint32_t i = options_.max_connections; i > 0; --i) {
      free_.push_back(i - 1);
    }
  }

  [[nodiscard]] int fd() const { return descriptors_.epoll.get(); }
  [[nodiscard]] uint32_t connections() const {
    return open_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] absl::Duration retry_at() const { return retry_at_; }

  void SetConnector(VsockConnector* connector) { connector_ = connector; }

  void TakeRequest(VsockStream stream) {
    {
      MutexLock lock(mutex_);
      requests_.push_back(std::move(stream));
      has_requests_.store(true, std::memory_order_relaxed);
    }
    descriptors_.wake.Signal();
  }

  void OnReady();
  void OnDeadline();

 private:
  // One socket.
  struct Client {
    enum class Phase : uint8_t {
      kFree,
      // The host program has not said where to.
      kHello,
      // The guest has not answered.
      kConnecting,
      kOpen,
    };

    Phase phase = Phase::kFree;
    UniqueFd fd;
    VsockStream stream;
    // What epoll watches; nothing when it does not have the descriptor.
    std::optional<uint32_t> watched;
    // The socket gives, or takes, no more.
    bool read_ended = false;
    bool write_ended = false;
    // The line that is being read, or written.
    std::array<char, kMaxLine> line = {};
    size_t line_size = 0;
  };
  using Phase = Client::Phase;

  Client* NewClient(UniqueFd fd, Phase phase);
  void Free(Client& client);
  // Both ends see a connection that broke.
  void Break(Client& client);

  void AcceptClients();
  void WatchListener(bool watch);
  void ConnectRequests();
  void ConnectToHost(VsockStream stream);

  absl::AnyInvocable<void()> ReadyOf(const Client& client);
  void Pump(Client& client, uint32_t revents);
  bool ReadHello(Client& client);
  bool FinishConnecting(Client& client);
  bool ToSocket(Client& client);
  bool FromSocket(Client& client);
  bool SettleEnds(Client& client, uint32_t revents);
  void Watch(Client& client);

  uint32_t IndexOf(const Client& client) const {
    return static_cast<uint32_t>(&client - clients_.data());
  }

  const Options options_;
  Descriptors descriptors_;
  VsockConnector* connector_ = nullptr;
  bool listening_ = true;
  absl::Duration retry_at_ = absl::InfiniteDuration();
  std::atomic<uint32_t> open_ = 0;
  std::vector<uint32_t> free_;

  // What the guest's side leaves for the loop's.
  internal::AtomicBits ready_;
  Mutex mutex_;
  std::vector<VsockStream> requests_ ABSL_GUARDED_BY(mutex_);
  // Whether there are any; written under the lock.
  std::atomic<bool> has_requests_ = false;

  // Last, to go first: the streams' callbacks use what is above.
  std::vector<Client> clients_;
};

absl::StatusOr<VsockUnixSockets::Muxer::Descriptors>
VsockUnixSockets::Muxer::Open(const Options& options) {
  UniqueFd listener = NewSocket();
  if (!listener.valid()) return ErrnoStatus(errno, "socket(AF_UNIX)");
  const sockaddr_un address = AddressOf(options.path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind(", options.path, ")"));
  }
  const std::optional<FileId> id = FileIdOf(options.path);
  if (!id.has_value()) {
    const int error = errno;
    ::unlink(options.path.c_str());
    return ErrnoStatus(error, absl::StrCat("statx(", options.path, ")"));
  }
  BoundPath bound(options.path, *id);
  if (::listen(listener.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen(", options.path, ")"));
  }
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  LIBVMM_ASSIGN_OR_RETURN(EventFd wake, EventFd::Create());
  const std::pair<int, uint64_t> watched[] = {{listener.get(), kListenerTag},
                                              {wake.fd(), kWakeTag}};
  for (const auto& [fd, tag] : watched) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoStatus(errno, "epoll_ctl");
    }
  }
  return Descriptors{.listener = std::move(listener),
                     .bound = std::move(bound),
                     .epoll = std::move(epoll),
                     .wake = std::move(wake)};
}

void VsockUnixSockets::Muxer::OnReady() {
  std::array<epoll_event, kEventsAtOnce> events;
  const int count =
      ::epoll_wait(descriptors_.epoll.get(), events.data(), kEventsAtOnce, 0);
  bool accept = false;
  for (int i = 0; i < count; ++i) {
    const uint64_t tag = events[i].data.u64;
    if (tag == kListenerTag) {
      accept = true;
    } else if (tag == kWakeTag) {
      // First drained, then looked: what comes in between signals again.
      (void)descriptors_.wake.Drain();
    } else {
      Pump(clients_[tag], events[i].events);
    }
  }
  ready_.TakeAll([this](uint32_t index) { Pump(clients_[index], 0); });
  // Not before the events of clients: a number may get another meaning here.
  ConnectRequests();
  if (accept) AcceptClients();
}

void VsockUnixSockets::Muxer::OnDeadline() {
  if (options_.clock->Monotonic() < retry_at_) return;
  retry_at_ = absl::InfiniteDuration();
  WatchListener(true);
}

// ---- Clients ----------------------------------------------------------------

VsockUnixSockets::Muxer::Client* VsockUnixSockets::Muxer::NewClient(
    UniqueFd fd, Phase phase) {
  if (free_.empty()) return nullptr;
  Client& client = clients_[free_.back()];
  free_.pop_back();
  open_.fetch_add(1, std::memory_order_relaxed);
  client.phase = phase;
  client.fd = std::move(fd);
  client.watched.reset();
  client.read_ended = client.write_ended = false;
  client.line_size = 0;
  return &client;
}

void VsockUnixSockets::Muxer::Free(Client& client) {
  client.stream.Close();
  // epoll forgets a descriptor that is closed and was never duplicated.
  client.fd.Reset();
  client.phase = Phase::kFree;
  free_.push_back(IndexOf(client));
  open_.fetch_sub(1, std::memory_order_relaxed);
  // There is a descriptor again, and a place.
  if (!listening_) {
    retry_at_ = absl::InfiniteDuration();
    WatchListener(true);
  }
}

void VsockUnixSockets::Muxer::Break(Client& client) {
  client.stream.Reset();
  Free(client);
}

void VsockUnixSockets::Muxer::WatchListener(bool watch) {
  epoll_event event{};
  event.events = watch ? uint32_t{EPOLLIN} : 0;
  event.data.u64 = kListenerTag;
  if (::epoll_ctl(descriptors_.epoll.get(), EPOLL_CTL_MOD,
                  descriptors_.listener.get(), &event) == 0) {
    listening_ = watch;
  } else if (watch) {
    // The host is short of memory: later.
    retry_at_ = options_.clock->Monotonic() + kAcceptRest;
  }
}

void VsockUnixSockets::Muxer::AcceptClients() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    if (free_.empty()) {
      // Until Free.
      WatchListener(false);
      return;
    }
    UniqueFd fd(::accept4(descriptors_.listener.get(), nullptr, nullptr,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      // The listener stays readable while there are no descriptors: watching it
      // would keep the loop awake.
      if (IsOutOfResources(errno)) {
        WatchListener(false);
        retry_at_ = options_.clock->Monotonic() + kAcceptRest;
      }
      return;
    }
    Watch(*NewClient(std::move(fd), Phase::kHello));
  }
}

void VsockUnixSockets::Muxer::ConnectRequests() {
  if (!has_requests_.load(std::memory_order_relaxed)) return;
  std::vector<VsockStream> requests;
  {
    MutexLock lock(mutex_);
    requests.swap(requests_);
    has_requests_.store(false, std::memory_order_relaxed);
  }
  for (VsockStream& stream : requests) ConnectToHost(std::move(stream));
}

// Without a socket, or anyone who listens there, `stream` is refused by going.
void VsockUnixSockets::Muxer::ConnectToHost(VsockStream stream) {
  UniqueFd fd = NewSocket();
  if (!fd.valid()) return;
  const sockaddr_un address =
      AddressOf(absl::StrCat(options_.path, "_", stream.host_port()));
  int result;
  do {
    result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof(address));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return;
  Client* const client = NewClient(std::move(fd), Phase::kOpen);
  if (client == nullptr) return;
  client->stream = std::move(stream);
  client->stream.Accept(ReadyOf(*client));
  Pump(*client, 0);
}

absl::AnyInvocable<void()> VsockUnixSockets::Muxer::ReadyOf(
    const Client& client) {
  return [this, index = IndexOf(client)] {
    if (ready_.Add(index)) descriptors_.wake.Signal();
  };
}

// ---- One client -------------------------------------------------------------

// Does all that can be done for a client now. Each step returns false when it
// has freed the client.
void VsockUnixSockets::Muxer::Pump(Client& client, uint32_t revents) {
  if (client.phase == Phase::kHello && !ReadHello(client)) return;
  if (client.phase == Phase::kConnecting && !FinishConnecting(client)) return;
  if (client.phase == Phase::kOpen) {
    if (!ToSocket(client) || !FromSocket(client) ||
        !SettleEnds(client, revents)) {
      return;
    }
  }
  if (client.phase != Phase::kFree) Watch(client);
}

bool VsockUnixSockets::Muxer::ReadHello(Client& client) {
  const auto line = std::as_writable_bytes(std::span(client.line));
  const std::span<std::byte> rest = line.subspan(client.line_size);
  const ssize_t seen = Receive(client.fd.get(), rest, MSG_PEEK);
  if (seen < 0 && errno == EAGAIN) return true;
  if (seen <= 0) {
    Free(client);
    return false;
  }
  // What is behind the line is the guest's.
  const auto end =
      std::find(rest.begin(), rest.begin() + seen, std::byte{'\n'});
  const bool whole = end != rest.begin() + seen;
  const ssize_t taken = Receive(
      client.fd.get(), rest.first((end - rest.begin()) + (whole ? 1 : 0)), 0);
  if (taken < 0 && errno == EAGAIN) return true;
  if (taken <= 0) {
    Free(client);
    return false;
  }
  client.line_size += static_cast<size_t>(taken);
  if (!whole && client.line_size < client.line.size()) return true;

  absl::string_view text(client.line.data(), client.line_size);
  uint32_t port = 0;
  if (!absl::ConsumeSuffix(&text, "\n") ||
      !absl::ConsumePrefix(&text, kHello) ||
      text.find_first_not_of("0123456789") != text.npos ||
      !absl::SimpleAtoi(text, &port) || connector_ == nullptr) {
    Free(client);
    return false;
  }
  client.line_size = 0;
  client.phase = Phase::kConnecting;
  absl::StatusOr<VsockStream> stream =
      connector_->Connect(port, ReadyOf(client));
  if (!stream.ok()) {
    Free(client);
    return false;
  }
  client.stream = *std::move(stream);
  return true;
}

bool VsockUnixSockets::Muxer::FinishConnecting(Client& client) {
  switch (client.stream.state()) {
    case VsockState::kAsking:
    case VsockState::kConnecting:
      return true;
    case VsockState::kOpen:
      break;
    case VsockState::kEnded:
      // It was open, and may have left something to read.
      break;
    case VsockState::kReset:
      if (!client.stream.Peek().empty()) break;
      Free(client);
      return false;
  }
  const std::string line = absl::StrCat("OK ", client.stream.host_port(), "\n");
  std::copy(line.begin(), line.end(), client.line.begin());
  client.line_size = line.size();
  client.phase = Phase::kOpen;
  return true;
}

bool VsockUnixSockets::Muxer::ToSocket(Client& client) {
  for (int i = 0; i < kTransfersAtOnce && !client.write_ended; ++i) {
    const bool in_line = client.line_size != 0;
    const std::span<const std::byte> bytes =
        in_line ? std::as_bytes(std::span(client.line).first(client.line_size))
                : client.stream.Peek();
    if (bytes.empty()) return true;
    const ssize_t sent = Send(client.fd.get(), bytes);
    if (sent < 0) {
      if (errno == EAGAIN) return true;
      if (errno != EPIPE) {
        Break(client);
        return false;
      }
      // Nobody reads there any more; what was written before may still come.
      client.write_ended = true;
      client.stream.ShutdownRead();
      return true;
    }
    if (in_line) {
      std::move(client.line.begin() + sent,
                client.line.begin() + client.line_size, client.line.begin());
      client.line_size -= static_cast<size_t>(sent);
    } else {
      client.stream.Consume(static_cast<size_t>(sent));
    }
  }
  return true;
}

bool VsockUnixSockets::Muxer::FromSocket(Client& client) {
  for (int i = 0; i < kTransfersAtOnce && !client.read_ended; ++i) {
    const std::span<std::byte> room = client.stream.Room();
    if (room.empty()) return true;
    const ssize_t got = Receive(client.fd.get(), room, 0);
    if (got > 0) {
      client.stream.Commit(static_cast<size_t>(got));
    } else if (got == 0) {
      client.read_ended = true;
      client.stream.ShutdownWrite();
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno == ECONNRESET) {
      // The host program closed without reading all. What it wrote has been
      // read, and is not lost to the guest.
      client.read_ended = client.write_ended = true;
    } else {
      Break(client);
      return false;
    }
  }
  return true;
}

// Carries the end of a direction from one side to the other.
bool VsockUnixSockets::Muxer::SettleEnds(Client& client, uint32_t revents) {
  // In this order: when the state says that it is over, all is there to be
  // read.
  const VsockState state = client.stream.state();
  const bool over = state == VsockState::kEnded || state == VsockState::kReset;
  const bool all_sent =
      client.line_size == 0 && (client.write_ended || client.stream.AtEnd());
  if (all_sent && !client.write_ended) {
    ::shutdown(client.fd.get(), SHUT_WR);
    client.write_ended = true;
  }
  if (!client.read_ended && !over && !client.stream.CanWrite()) {
    ::shutdown(client.fd.get(), SHUT_RD);
    client.read_ended = true;
  }
  // Both directions are done; or the guest is gone and has all been passed on;
  // or the host program is.
  const bool gone = client.read_ended && (revents & (EPOLLHUP | EPOLLERR)) != 0;
  if ((client.read_ended && client.write_ended) || (over && all_sent) || gone) {
    Free(client);
    return false;
  }
  return true;
}

void VsockUnixSockets::Muxer::Watch(Client& client) {
  // A descriptor that is watched for nothing still tells of a hang-up. That is
  // wanted only when all was read that came before.
  std::optional<uint32_t> wanted;
  if (client.phase == Phase::kHello) {
    wanted = EPOLLIN;
  } else if (client.phase == Phase::kOpen) {
    uint32_t events = 0;
    if (!client.read_ended && !client.stream.Room().empty()) events |= EPOLLIN;
    if (!client.write_ended &&
        (client.line_size != 0 || !client.stream.Peek().empty())) {
      events |= EPOLLOUT;
    }
    if (events != 0 || client.read_ended) wanted = events;
  }
  if (wanted == client.watched) return;
  epoll_event event{};
  event.events = wanted.value_or(0);
  event.data.u64 = IndexOf(client);
  const int operation = !client.watched.has_value() ? EPOLL_CTL_ADD
                        : wanted.has_value()        ? EPOLL_CTL_MOD
                                                    : EPOLL_CTL_DEL;
  if (::epoll_ctl(descriptors_.epoll.get(), operation, client.fd.get(),
                  &event) != 0) {
    Break(client);
    return;
  }
  client.watched = wanted;
}

// ---- VsockUnixSockets -------------------------------------------------------

absl::StatusOr<std::unique_ptr<VsockUnixSockets>> VsockUnixSockets::Create(
    Options options) {
  if (options.path.empty() || options.path.size() > kMaxPath) {
    return absl::InvalidArgumentError(
        absl::StrCat("VsockUnixSockets::Options.path has ", options.path.size(),
                     " bytes: 1 to ", kMaxPath, " can be"));
  }
  if (options.path.find('\0') != options.path.npos) {
    return absl::InvalidArgumentError(
        "VsockUnixSockets::Options.path has a NUL");
  }
  if (options.max_connections < 1 ||
      options.max_connections > kMaxConnections) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VsockUnixSockets::Options.max_connections is ",
        options.max_connections, ": 1 to ", kMaxConnections, " can be"));
  }
  if (options.clock == nullptr) {
    return absl::InvalidArgumentError(
        "VsockUnixSockets::Options.clock is null");
  }
  LIBVMM_ASSIGN_OR_RETURN(Muxer::Descriptors descriptors, Muxer::Open(options));
  return std::unique_ptr<VsockUnixSockets>(new VsockUnixSockets(
      std::make_unique<Muxer>(std::move(options), std::move(descriptors))));
}

VsockUnixSockets::VsockUnixSockets(std::unique_ptr<Muxer> muxer)
    : muxer_(std::move(muxer)) {}

VsockUnixSockets::~VsockUnixSockets() = default;

uint32_t VsockUnixSockets::connections() const { return muxer_->connections(); }

void VsockUnixSockets::OnConnect(VsockStream stream) {
  muxer_->TakeRequest(std::move(stream));
}

void VsockUnixSockets::OnAttach(VsockConnector* connector) {
  muxer_->SetConnector(connector);
}

int VsockUnixSockets::fd() const { return muxer_->fd(); }

short VsockUnixSockets::events() const { return POLLIN; }

absl::Duration VsockUnixSockets::NextDeadline() const {
  return muxer_->retry_at();
}

void VsockUnixSockets::OnReady(short) { muxer_->OnReady(); }

void VsockUnixSockets::OnDeadline() { muxer_->OnDeadline(); }

}  // namespace libvmm
