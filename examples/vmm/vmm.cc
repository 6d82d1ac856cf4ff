// SPDX-License-Identifier: Apache-2.0
// Boots an unmodified operating system, with its console on this terminal. The
// machine is a Pc; the threads and the loop below are this program's.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "examples/vmm/console.h"
#include "examples/vmm/exit_counts.h"
#include "examples/vmm/options.h"
#include "examples/vmm/terminal.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/kernel_mode_probe.h"
#include "libvmm/platform/pc.h"

namespace vmm {
namespace {

using namespace libvmm;

constexpr int kExitUsage = 2;
constexpr int kExitHost = 126;
constexpr int kExitQuit = 130;

int ExitCode(const PcStop& stop) {
  switch (stop.reason) {
    case PcStopReason::kPowerOff:
      return 0;
    case PcStopReason::kReset:
      return 3;
    case PcStopReason::kPanic:
      return 4;
    case PcStopReason::kTripleFault:
      return 5;
    case PcStopReason::kHalted:
      return 6;
    case PcStopReason::kFailed:
      return 7;
    case PcStopReason::kSleep:
      return 8;
    case PcStopReason::kExitCode:
      return static_cast<int>(stop.code & 0xff);
  }
  return kExitHost;
}

void WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;
    if (written > 0) bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

// What outlives one boot of the machine.
struct Session {
  const Options& options;
  const Kvm& kvm;
  UniqueFd signals;
  EventFd vcpu_done;
  EventFd input_ready;
  ConsoleInput input = {};
  EscapeFilter escape = {};
  bool stdin_open = true;
  bool quit = false;
  ExitCounts counts = {};
};

absl::StatusOr<std::unique_ptr<Pc>> CreateMachine(Session& session) {
  PcHost host;
  host.serial[0] = {
      .output =
          [](std::span<const std::byte> bytes) {
            WriteAll(STDOUT_FILENO, bytes);
          },
      .input_ready = [&session] { session.input_ready.Signal(); }};
  host.debug_console = [](std::span<const std::byte> bytes) {
    WriteAll(STDERR_FILENO, bytes);
  };
  if (!session.options.quiet) {
    host.progress = [](absl::string_view step) {
      std::fprintf(stderr, "vmm: %s\n", std::string(step).c_str());
    };
  }
  return Pc::Create(session.kvm, session.options.config, std::move(host));
}

void ReadKeys(Session& session, Pc& pc) {
  std::array<char, 256> buffer;
  const ssize_t size = read(STDIN_FILENO, buffer.data(), buffer.size());
  if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (size <= 0) {
    session.stdin_open = false;
    return;
  }
  std::span<const char> keys(buffer.data(), static_cast<size_t>(size));
  while (!keys.empty()) {
    std::string guest;
    size_t used = 0;
    const Command command = session.escape.Filter(keys, guest, used);
    session.input.Type(guest);
    keys = keys.subspan(used);
    switch (command) {
      case Command::kNone:
        break;
      case Command::kQuit:
        session.quit = true;
        return;
      case Command::kPowerButton:
        pc.PressPowerButton();
        break;
      case Command::kStats:
        session.counts.Print();
        break;
    }
  }
}

int PollTimeout(absl::Duration deadline, const Clock& clock) {
  if (deadline == absl::InfiniteDuration()) return -1;
  const absl::Duration left = deadline - clock.Monotonic();
  if (left <= absl::ZeroDuration()) return 0;
  // Rounded up, so as not to ask again just before it.
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1000 * 1000));
}

// Serves terminal, signals and the machine's sources until every vCPU's thread
// has ended.
void ServeUntilStopped(Session& session, Pc& pc, VcpuThreads& threads) {
  const SystemClock clock;
  while (!threads.all_ended()) {
    std::vector<pollfd> fds = {
        {.fd = session.stdin_open ? STDIN_FILENO : -1,
         .events = POLLIN,
         .revents = 0},
        {.fd = session.signals.get(), .events = POLLIN, .revents = 0},
        {.fd = session.vcpu_done.fd(), .events = POLLIN, .revents = 0},
        {.fd = session.input_ready.fd(), .events = POLLIN, .revents = 0},
    };
    const size_t first_source = fds.size();
    absl::Duration deadline = absl::InfiniteDuration();
    for (const EventSource* source : pc.event_sources()) {
      fds.push_back(
          {.fd = source->fd(), .events = source->events(), .revents = 0});
      deadline = std::min(deadline, source->NextDeadline());
    }
    if (poll(fds.data(), fds.size(), PollTimeout(deadline, clock)) < 0)
      continue;

    if (fds[0].revents != 0) ReadKeys(session, pc);
    if (fds[1].revents != 0) session.quit = true;
    if (fds[2].revents != 0) (void)session.vcpu_done.Drain();
    if (fds[3].revents != 0) {
      (void)session.input_ready.Drain();
      session.input.Offer();
    }
    for (size_t i = first_source; i < fds.size(); ++i) {
      EventSource& source = *pc.event_sources()[i - first_source];
      if (fds[i].revents != 0) source.OnReady(fds[i].revents);
      if (source.NextDeadline() <= clock.Monotonic()) source.OnDeadline();
    }
    if (session.quit) {
      pc.Stop({.reason = PcStopReason::kPowerOff, .source = "the terminal"});
    }
  }
}

// One life of the machine, from power-on to its stop.
absl::StatusOr<PcStop> BootOnce(Session& session) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Pc> pc, CreateMachine(session));
  session.counts.Observe(*pc);
  session.input.Connect(pc->serial(0));
  absl::Status status;
  {
    VcpuThreads threads(*pc, session.vcpu_done);
    ServeUntilStopped(session, *pc, threads);
    status = threads.Join();
  }
  session.input.Connect(nullptr);
  LIBVMM_RETURN_IF_ERROR(status);
  return *pc->stop();
}

// Signals that end a program go to a descriptor: the loop ends, and everything
// is put back.
absl::StatusOr<UniqueFd> TakeSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "signalfd");
  return fd;
}

constexpr char kEmulated[] =
    "this KVM emulates the kernel mode of its guests and does not know every "
    "instruction: operating systems do not run on it";

absl::StatusOr<int> Check(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const bool runs, RunsKernelMode(kvm));
  std::printf("vmm: %s\n",
              runs ? "this KVM can run an operating system" : kEmulated);
  return runs ? 0 : 1;
}

absl::StatusOr<int> Main(const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  if (options.check) return Check(kvm);
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd signals, TakeSignals());
  LIBVMM_ASSIGN_OR_RETURN(EventFd vcpu_done, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(EventFd input_ready, EventFd::Create());
  Session session{.options = options,
                  .kvm = kvm,
                  .signals = std::move(signals),
                  .vcpu_done = std::move(vcpu_done),
                  .input_ready = std::move(input_ready)};
  const RawTerminal terminal;
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const PcStop stop, BootOnce(session));
    if (options.stats) session.counts.Print();
    if (session.quit) return kExitQuit;
    if (!options.quiet) {
      std::fprintf(stderr, "vmm: %s (%s)\n",
                   std::string(PcStopReasonName(stop.reason)).c_str(),
                   std::string(stop.source).c_str());
    }
    if (stop.reason == PcStopReason::kFailed) {
      const absl::StatusOr<bool> runs = RunsKernelMode(kvm);
      if (runs.ok() && !*runs) std::fprintf(stderr, "vmm: %s\n", kEmulated);
    }
    if (stop.reason != PcStopReason::kReset || !options.reboot) {
      return ExitCode(stop);
    }
  }
}

}  // namespace
}  // namespace vmm

int main(int argc, char** argv) {
  const absl::StatusOr<vmm::Options> options = vmm::ParseOptions(argc, argv);
  if (!options.ok()) {
    std::fprintf(stderr, "vmm: %s\n",
                 std::string(options.status().message()).c_str());
    return vmm::kExitUsage;
  }
  if (options->help) {
    std::fputs(vmm::kHelp, stdout);
    return 0;
  }
  const absl::StatusOr<int> code = vmm::Main(*options);
  if (!code.ok()) {
    std::fprintf(stderr, "vmm: %s\n",
                 std::string(code.status().message()).c_str());
    return vmm::kExitHost;
  }
  return *code;
}
