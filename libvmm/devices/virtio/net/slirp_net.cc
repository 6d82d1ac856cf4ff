// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/slirp_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/net/frame_ring.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/pair_net.h"

namespace libvmm {
namespace {

// libslirp takes mtu between these.
constexpr uint16_t kMinMtu = 68;
constexpr uint16_t kMaxMtu = 65521;
// What one call of OnReady does at most before it lets the loop go on.
constexpr int kFramesPerRun = 256;
constexpr size_t kEventsPerRun = 64;
// When epoll would not take a descriptor, it is looked at so often.
constexpr absl::Duration kUnwatchedPeriod = absl::Milliseconds(10);

in_addr Address(const char* text) {
  in_addr address{};
  ::inet_pton(AF_INET, text, &address);
  return address;
}

in6_addr Address6(const char* text) {
  in6_addr address{};
  ::inet_pton(AF_INET6, text, &address);
  return address;
}

// An address of a forward; `fallback` for an empty text.
absl::StatusOr<in_addr> ParseAddress(absl::string_view field,
                                     const std::string& text,
                                     const char* fallback) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.empty() ? fallback : text.c_str(), &address) !=
      1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SlirpNet: forwards: ", field, ": \"", text, "\" is no IPv4 address"));
  }
  return address;
}

}  // namespace

// Everything of libslirp, in one thread.
class SlirpNet::Network {
 public:
  static absl::StatusOr<std::unique_ptr<Network>> Create(
      const Clock& clock, const Options& options);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network() {
    if (slirp_ != nullptr) ::slirp_cleanup(slirp_);
  }

  // The machine's end of the way to it.
  [[nodiscard]] PairNet& guest() { return *ends_.first; }

  [[nodiscard]] int fd() const { return set_.get(); }
  [[nodiscard]] absl::Duration NextDeadline() const;
  // Does all that is to do now. The machine may have something to do after it.
  void Run();

 private:
  struct Timer {
    SlirpTimerCb callback;
    void* opaque;
    absl::Duration at = absl::InfiniteDuration();
  };
  // A descriptor in the epoll set.
  struct Watched {
    short events = 0;
    size_t index = 0;
    uint64_t round = 0;
  };

  Network(const Clock& clock, PairNet::Ends ends, UniqueFd set)
      : clock_(clock), ends_(std::move(ends)), set_(std::move(set)) {}

  [[nodiscard]] PairNet& host() { return *ends_.second; }

  absl::Status Watch(int fd);
  absl::Status Start(const Options& options);
  absl::Status Add(const Forward& forward);
  void TakeEvents();
  void RunTimers();
  void TakeFrames();
  void FillPolls();
  void WatchPolls();
  [[nodiscard]] bool SetWatch(int fd, short events) const;

  static const SlirpCb kCallbacks;
  static Network& Of(void* opaque) { return *static_cast<Network*>(opaque); }

  static ssize_t SendPacket(const void* data, size_t size, void* opaque);
  static int64_t Now(void* opaque);
  static void* NewTimer(SlirpTimerCb callback, void* timer_opaque,
                        void* opaque);
  static void FreeTimer(void* timer, void* opaque);
  static void SetTimer(void* timer, int64_t milliseconds, void* opaque);
  static void ForgetPoll(int fd, void* opaque);
  static int AddPoll(int fd, int events, void* opaque);
  static int PollResult(int index, void* opaque);

  const Clock& clock_;
  const PairNet::Ends ends_;
  const UniqueFd set_;
  Slirp* slirp_ = nullptr;
  std::vector<std::unique_ptr<Timer>> timers_;
  // What libslirp waits for, and what the set has.
  std::vector<pollfd> polls_;
  std::unordered_map<int, Watched> watched_;
  uint64_t round_ = 0;
  absl::Duration deadline_ = absl::InfiniteDuration();
  bool more_ = false;
};

// What the machine does wrong is not printed. Descriptors are known from the
// next list, and nothing is to be woken, there being one thread.
const SlirpCb SlirpNet::Network::kCallbacks = {
    .send_packet = SendPacket,
    .guest_error = [](const char*, void*) {},
    .clock_get_ns = Now,
    .timer_new = NewTimer,
    .timer_free = FreeTimer,
    .timer_mod = SetTimer,
    .register_poll_fd = [](int, void*) {},
    .unregister_poll_fd = ForgetPoll,
    .notify = [](void*) {},
    .init_completed = nullptr,
    .timer_new_opaque = nullptr,
};

absl::StatusOr<std::unique_ptr<SlirpNet::Network>> SlirpNet::Network::Create(
    const Clock& clock, const Options& options) {
  if (options.mtu < kMinMtu || options.mtu > kMaxMtu) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SlirpNet: mtu: ", options.mtu, ", not ", kMinMtu, " to ", kMaxMtu));
  }
  LIBVMM_RETURN_IF_ERROR(
      FrameRing::CheckCapacity("SlirpNet: capacity", options.capacity));
  LIBVMM_ASSIGN_OR_RETURN(
      PairNet::Ends ends,
      PairNet::Create({.capacity = options.capacity, .offloads = {}}));
  UniqueFd set(::epoll_create1(EPOLL_CLOEXEC));
  if (!set.valid()) return ErrnoStatus(errno, "epoll_create1");
  std::unique_ptr<Network> network(
      new Network(clock, std::move(ends), std::move(set)));
  LIBVMM_RETURN_IF_ERROR(network->Watch(network->guest().fd()));
  LIBVMM_RETURN_IF_ERROR(network->Watch(network->host().fd()));
  LIBVMM_RETURN_IF_ERROR(network->Start(options));
  return network;
}

absl::Status SlirpNet::Network::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl(EPOLL_CTL_ADD)");
  }
  return absl::OkStatus();
}

absl::Status SlirpNet::Network::Start(const Options& options) {
  SlirpConfig config{};
  config.version = 1;
  config.restricted = options.restricted ? 1 : 0;
  config.in_enabled = true;
  config.vnetwork = Address("10.0.2.0");
  config.vnetmask = Address("255.255.255.0");
  config.vhost = Address("10.0.2.2");
  config.vdhcp_start = Address("10.0.2.15");
  config.vnameserver = Address("10.0.2.3");
  config.in6_enabled = options.ipv6;
  config.vprefix_addr6 = Address6("fec0::");
  config.vprefix_len = 64;
  config.vhost6 = Address6("fec0::2");
  config.vnameserver6 = Address6("fec0::3");
  config.vhostname =
      options.host_name.empty() ? nullptr : options.host_name.c_str();
  config.if_mtu = options.mtu;
  config.if_mru = options.mtu;
  config.disable_host_loopback = options.hide_host_loopback;
  slirp_ = ::slirp_new(&config, &kCallbacks, this);
  if (slirp_ == nullptr) {
    return absl::InternalError("SlirpNet: slirp_new refuses its configuration");
  }
  for (const Forward& forward : options.forwards) {
    LIBVMM_RETURN_IF_ERROR(Add(forward));
  }
  host().Start({});
  // Finds nothing, and with that asks to be woken.
  TakeFrames();
  FillPolls();
  return absl::OkStatus();
}

absl::Status SlirpNet::Network::Add(const Forward& forward) {
  LIBVMM_ASSIGN_OR_RETURN(
      const in_addr host,
      ParseAddress("host_address", forward.host_address, "127.0.0.1"));
  // Any address stands for that of DHCP.
  LIBVMM_ASSIGN_OR_RETURN(
      const in_addr guest,
      ParseAddress("guest_address", forward.guest_address, "0.0.0.0"));
  if (forward.guest_port == 0) {
    return absl::InvalidArgumentError("SlirpNet: forwards: guest_port is 0");
  }
  const bool udp = forward.protocol == Forward::Protocol::kUdp;
  if (::slirp_add_hostfwd(slirp_, udp ? 1 : 0, host, forward.host_port, guest,
                          forward.guest_port) != 0) {
    return absl::UnavailableError(
        absl::StrCat("SlirpNet: forwards: host_port ", forward.host_port, ": ",
                     ErrnoStatus(errno, "slirp_add_hostfwd").message()));
  }
  return absl::OkStatus();
}

absl::Duration SlirpNet::Network::NextDeadline() const {
  if (more_) return absl::ZeroDuration();
  absl::Duration next = deadline_;
  for (const auto& timer : timers_) next = std::min(next, timer->at);
  return next;
}

void SlirpNet::Network::Run() {
  TakeEvents();
  ::slirp_pollfds_poll(slirp_, /*select_error=*/0, PollResult, this);
  RunTimers();
  TakeFrames();
  FillPolls();
  // What was signalled just now as well: else the loop would come again for it.
  guest().OnReady(POLLIN);
}

// Events of the set become those of polls_.
void SlirpNet::Network::TakeEvents() {
  std::array<epoll_event, kEventsPerRun> events;
  const int count =
      ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()),
                   /*timeout=*/0);
  for (int i = 0; i < count; ++i) {
    const int fd = events[i].data.fd;
    if (fd == host().fd()) {
      host().OnReady(POLLIN);
    } else if (const auto it = watched_.find(fd); it != watched_.end()) {
      polls_[it->second.index].revents = static_cast<short>(events[i].events);
    }
  }
}

void SlirpNet::Network::RunTimers() {
  const absl::Duration now = clock_.Monotonic();
  // A timer may set, make and free timers.
  for (size_t i = 0; i < timers_.size(); ++i) {
    Timer& timer = *timers_[i];
    if (timer.at > now) continue;
    timer.at = absl::InfiniteDuration();
    timer.callback(timer.opaque);
  }
}

void SlirpNet::Network::TakeFrames() {
  int count = 0;
  const IncomingFrame* frame;
  while (count < kFramesPerRun && (frame = host().Front()) != nullptr) {
    ++count;
    ::slirp_input(slirp_, reinterpret_cast<const uint8_t*>(frame->bytes.data()),
                  static_cast<int>(frame->bytes.size()));
    host().PopFront();
  }
  more_ = count == kFramesPerRun;
}

void SlirpNet::Network::FillPolls() {
  polls_.clear();
  uint32_t timeout = UINT32_MAX;
  ::slirp_pollfds_fill(slirp_, &timeout, AddPoll, this);
  deadline_ = timeout == UINT32_MAX
                  ? absl::InfiniteDuration()
                  : clock_.Monotonic() + absl::Milliseconds(timeout);
  WatchPolls();
}

void SlirpNet::Network::WatchPolls() {
  ++round_;
  for (size_t i = 0; i < polls_.size(); ++i) {
    const pollfd& poll = polls_[i];
    const auto [it, added] = watched_.try_emplace(poll.fd);
    Watched& watched = it->second;
    watched.index = i;
    watched.round = round_;
    if (!added && watched.events == poll.events) continue;
    watched.events = poll.events;
    if (!SetWatch(poll.fd, poll.events)) {
      // For lack of memory, or of watches (EPOLL_MAX_USER_WATCHES): another try
      // soon.
      watched_.erase(it);
      deadline_ = std::min(deadline_, clock_.Monotonic() + kUnwatchedPeriod);
    }
  }
  for (auto it = watched_.begin(); it != watched_.end();) {
    if (it->second.round == round_) {
      ++it;
      continue;
    }
    (void)::epoll_ctl(set_.get(), EPOLL_CTL_DEL, it->first, nullptr);
    it = watched_.erase(it);
  }
}

bool SlirpNet::Network::SetWatch(int fd, short events) const {
  epoll_event event{};
  event.events = static_cast<uint32_t>(events);
  event.data.fd = fd;
  // A number that was closed and given out again is not in the set any more.
  return ::epoll_ctl(set_.get(), EPOLL_CTL_MOD, fd, &event) == 0 ||
         ::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// ---- What libslirp calls ----------------------------------------------------

ssize_t SlirpNet::Network::SendPacket(const void* data, size_t size,
                                      void* opaque) {
  NetHeader header;
  const std::array<iovec, 2> pieces{
      iovec{.iov_base = &header, .iov_len = sizeof header},
      iovec{.iov_base = const_cast<void*>(data), .iov_len = size}};
  // What finds no room is lost, and TCP sends it again.
  if (size <= virtio::net::kMaxFrameSize) {
    (void)Of(opaque).host().Send(OutgoingFrame(pieces));
  }
  return static_cast<ssize_t>(size);
}

int64_t SlirpNet::Network::Now(void* opaque) {
  return absl::ToInt64Nanoseconds(Of(opaque).clock_.Monotonic());
}

void* SlirpNet::Network::NewTimer(SlirpTimerCb callback, void* timer_opaque,
                                  void* opaque) {
  auto& timers = Of(opaque).timers_;
  timers.push_back(std::make_unique<Timer>(
      Timer{.callback = callback, .opaque = timer_opaque}));
  return timers.back().get();
}

void SlirpNet::Network::FreeTimer(void* timer, void* opaque) {
  std::erase_if(Of(opaque).timers_,
                [&](const auto& each) { return each.get() == timer; });
}

void SlirpNet::Network::SetTimer(void* timer, int64_t milliseconds, void*) {
  static_cast<Timer*>(timer)->at = absl::Milliseconds(milliseconds);
}

void SlirpNet::Network::ForgetPoll(int fd, void* opaque) {
  Network& network = Of(opaque);
  if (network.watched_.erase(fd) == 0) return;
  (void)::epoll_ctl(network.set_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int SlirpNet::Network::AddPoll(int fd, int events, void* opaque) {
  auto& polls = Of(opaque).polls_;
  short wanted = 0;
  if ((events & SLIRP_POLL_IN) != 0) wanted |= POLLIN;
  if ((events & SLIRP_POLL_OUT) != 0) wanted |= POLLOUT;
  if ((events & SLIRP_POLL_PRI) != 0) wanted |= POLLPRI;
  polls.push_back({.fd = fd, .events = wanted, .revents = 0});
  return static_cast<int>(polls.size()) - 1;
}

int SlirpNet::Network::PollResult(int index, void* opaque) {
  const auto& polls = Of(opaque).polls_;
  if (index < 0 || static_cast<size_t>(index) >= polls.size()) return 0;
  const short revents = polls[static_cast<size_t>(index)].revents;
  int result = 0;
  if ((revents & POLLIN) != 0) result |= SLIRP_POLL_IN;
  if ((revents & POLLOUT) != 0) result |= SLIRP_POLL_OUT;
  if ((revents & POLLPRI) != 0) result |= SLIRP_POLL_PRI;
  if ((revents & POLLERR) != 0) result |= SLIRP_POLL_ERR;
  if ((revents & POLLHUP) != 0) result |= SLIRP_POLL_HUP;
  return result;
}

// ---- SlirpNet ---------------------------------------------------------------

absl::StatusOr<std::unique_ptr<SlirpNet>> SlirpNet::Create(
    const Clock& clock, const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Network> network,
                          Network::Create(clock, options));
  return std::unique_ptr<SlirpNet>(new SlirpNet(std::move(network)));
}

SlirpNet::SlirpNet(std::unique_ptr<Network> network)
    : network_(std::move(network)) {}

SlirpNet::~SlirpNet() = default;

void SlirpNet::Start(const NetOffloads& receive) {
  network_->guest().Start(receive);
}
void SlirpNet::Stop() { network_->guest().Stop(); }
void SlirpNet::SetReceiveOffloads(const NetOffloads&) {}
NetBackend::SendResult SlirpNet::Send(const OutgoingFrame& frame) {
  return network_->guest().Send(frame);
}
const IncomingFrame* SlirpNet::Front() { return network_->guest().Front(); }
void SlirpNet::PopFront() { network_->guest().PopFront(); }

int SlirpNet::fd() const { return network_->fd(); }
short SlirpNet::events() const { return POLLIN; }
absl::Duration SlirpNet::NextDeadline() const {
  return network_->NextDeadline();
}
void SlirpNet::OnReady(short) {
  network_->Run();
  NotifyListener();
}
void SlirpNet::OnDeadline() {
  network_->Run();
  NotifyListener();
}

}  // namespace libvmm
