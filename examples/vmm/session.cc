// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/session.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "examples/vmm/batch_scheduling.h"
#include "examples/vmm/progress.h"
#include "examples/vmm/start_pages.h"
#include "examples/vmm/terminal.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/devices/virtio/console/virtio_console.h"
#include "libvmm/platform/pc_virtio.h"

namespace vmm {

using namespace libvmm;

namespace {

absl::StatusOr<UniqueFd> TakeSignals() {
  signal(SIGPIPE, SIG_IGN);
  // A guest that writes beyond this process's limit for files gets an error.
  signal(SIGXFSZ, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return fd;
}

int PollTimeout(absl::Duration deadline, const Clock& clock) {
  if (deadline == absl::InfiniteDuration()) return -1;
  const absl::Duration left = deadline - clock.Monotonic();
  if (left <= absl::ZeroDuration()) return 0;
  // Rounded up, so as not to ask again just before it.
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1000 * 1000));
}

bool HasPolledQueues(const PcConfig& config) {
  return std::ranges::any_of(PcVirtioPlacesOf(config),
                             [](const PcVirtioPlace& place) {
                               return place.doorbell == PcVirtioDoorbell::kPoll;
                             });
}

void PrintProgress(absl::string_view step, const PcConfig& config) {
  Say(absl::StrCat("vmm: ", ProgressLine(step, config), "\n"));
}

}  // namespace

Session::Session(const Options& options, const Kvm& kvm, Networks networks,
                 UniqueFd signals, EventFd attention, EventFd input_ready)
    : options_(options),
      kvm_(kvm),
      networks_(std::move(networks)),
      signals_(std::move(signals)),
      attention_(std::move(attention)),
      input_ready_(std::move(input_ready)),
      polls_(HasPolledQueues(options.config)),
      is_terminal_(isatty(STDIN_FILENO) != 0) {}

absl::StatusOr<std::unique_ptr<Session>> Session::Create(const Options& options,
                                                         const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(
      Networks networks,
      Networks::Create(options.config.virtio, [&](absl::string_view path) {
        if (!options.quiet) {
          Say(absl::StrCat("vmm: waiting for the other end of ", path, "\n"));
        }
      }));
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd signals, TakeSignals());
  LIBVMM_ASSIGN_OR_RETURN(EventFd attention, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(EventFd input_ready, EventFd::Create());
  std::unique_ptr<Session> session(
      new Session(options, kvm, std::move(networks), std::move(signals),
                  std::move(attention), std::move(input_ready)));
  LIBVMM_ASSIGN_OR_RETURN(
      ConsoleOutput output,
      ConsoleOutput::Create(STDOUT_FILENO, session->attention_));
  session->output_.emplace(std::move(output));
  return session;
}

absl::StatusOr<std::unique_ptr<Pc>> Session::CreateMachine() {
  PcHost host;
  host.serial[0] = {
      .output =
          [this](std::span<const std::byte> bytes) { output_->Write(bytes); },
      .input_ready = [this] { input_ready_.Signal(); }};
  host.debug_console = [](std::span<const std::byte> bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
  };
  // The console of a virtio device is on this terminal, too.
  host.virtio.console.push_back(
      {.output =
           [this](std::span<const std::byte> bytes) {
             output_->Write(bytes);
             return bytes.size();
           },
       .input_ready = [this] { input_ready_.Signal(); }});
  host.virtio.open_net = [this](const PcNet& net, const Clock& clock) {
    return networks_.Open(net, clock);
  };
  if (!options_.quiet) {
    host.progress = [this](absl::string_view step) {
      PrintProgress(step, options_.config);
    };
  }
  return Pc::Create(kvm_, options_.config, std::move(host));
}

// A virtio console takes the keys, since who asks for one wants to log in there.
void Session::ConnectKeys(Pc& pc) {
  if (VirtioConsole* const console = pc.virtio().console()) {
    input_.Connect([console](std::span<const std::byte> bytes) {
      constexpr uint16_t kFirstPort = 0;
      return console->Send(kFirstPort, bytes);
    });
  } else if (Uart16550a* const uart = pc.serial(0)) {
    input_.Connect([uart](std::span<const std::byte> bytes) {
      return uart->Receive(bytes);
    });
  }
}

absl::StatusOr<PcStop> Session::Boot() {
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<Pc> pc, CreateMachine());
  if (is_terminal_ && !options_.quiet) {
    Say("vmm: running; Ctrl-A X ends it\n");
  }
  if (options_.stats || is_terminal_) counts_.Observe(*pc);
  ConnectKeys(*pc);
  ReleaseStartPages();
  absl::Status served;
  absl::Status ran;
  {
    VcpuThreads threads(*pc, attention_);
    const BatchScheduling batch;
    served = Serve(*pc, threads);
    ran = threads.Join();
  }
  input_.Connect(nullptr);
  LIBVMM_RETURN_IF_ERROR(ran);
  LIBVMM_RETURN_IF_ERROR(served);
  LIBVMM_RETURN_IF_ERROR(output_->status());
  return *pc->stop();
}

absl::Status Session::Serve(Pc& pc, VcpuThreads& threads) {
  absl::Status status;
  while (!threads.all_ended()) {
    status.Update(ServeOnce(pc));
    if (quit_signal_.has_value()) {
      pc.Stop({.reason = PcStopReason::kPowerOff, .source = "the terminal"});
    }
    if (!status.ok() || !output_->status().ok()) {
      pc.Stop({.reason = PcStopReason::kFailed, .source = "the host"});
    }
    // A thread that waits for the reader of the output does not see the stop.
    if (quit_signal_.has_value() || !status.ok()) output_->Close();
  }
  return status;
}

absl::Status Session::ServeOnce(Pc& pc) {
  const SystemClock clock;
  std::vector<pollfd> fds = {
      {.fd = WantsKeys() ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
      {.fd = signals_.get(), .events = POLLIN, .revents = 0},
      {.fd = attention_.fd(), .events = POLLIN, .revents = 0},
      {.fd = input_ready_.fd(), .events = POLLIN, .revents = 0},
  };
  const size_t first_source = fds.size();
  absl::Duration deadline = absl::InfiniteDuration();
  for (const EventSource* source : pc.event_sources()) {
    fds.push_back({.fd = source->events() != 0 ? source->fd() : -1,
                   .events = source->events(),
                   .revents = 0});
    deadline = std::min(deadline, source->NextDeadline());
  }
  // Queues that are polled leave no time to sleep.
  if (polls_) deadline = -absl::InfiniteDuration();
  if (poll(fds.data(), fds.size(), PollTimeout(deadline, clock)) < 0) {
    return errno == EINTR ? absl::OkStatus() : ErrnoStatus(errno, "poll");
  }
  if (polls_) pc.virtio().Poll();
  if (fds[0].revents != 0) ReadKeys(pc);
  if (fds[1].revents != 0) ReadSignal();
  if (fds[2].revents != 0) (void)attention_.Drain();
  if (fds[3].revents != 0) {
    (void)input_ready_.Drain();
    input_.Offer();
  }
  for (size_t i = first_source; i < fds.size(); ++i) {
    EventSource& source = *pc.event_sources()[i - first_source];
    if (fds[i].revents != 0) source.OnReady(fds[i].revents);
    if (source.NextDeadline() <= clock.Monotonic()) source.OnDeadline();
  }
  return absl::OkStatus();
}

// A terminal is always read, for Ctrl-A X must work on a guest that does not
// listen; whoever feeds a pipe or a file can wait until it does.
bool Session::WantsKeys() const {
  return !input_ended_ && (is_terminal_ || input_.room() > 0);
}

void Session::ReadKeys(Pc& pc) {
  std::array<char, 256> buffer;
  const size_t wanted =
      is_terminal_ ? buffer.size() : std::min(buffer.size(), input_.room());
  const ssize_t size = read(STDIN_FILENO, buffer.data(), wanted);
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) {
    input_ended_ = true;
    return;
  }
  std::span<const char> keys(buffer.data(), static_cast<size_t>(size));
  while (!keys.empty()) {
    std::string guest;
    size_t used = 0;
    const Command command = escape_.Filter(keys, guest, used);
    input_.Type(guest);
    keys = keys.subspan(used);
    switch (command) {
      case Command::kNone:
        break;
      case Command::kQuit:
        quit_signal_ = SIGINT;
        return;
      case Command::kPowerButton:
        pc.PressPowerButton();
        break;
      case Command::kStats:
        PrintStats();
        break;
    }
  }
}

void Session::ReadSignal() {
  signalfd_siginfo info;
  if (read(signals_.get(), &info, sizeof info) == sizeof info) {
    quit_signal_ = static_cast<int>(info.ssi_signo);
  }
}

void Session::PrintStats() const { Say(absl::StrCat("\n", counts_.Table())); }

}  // namespace vmm
