// SPDX-License-Identifier: Apache-2.0
// Two VMs that never stop by themselves, time-sliced on the program's one
// thread, between the events of its own epoll loop. There is no other thread: a
// Deadline gets the guest out of the CPU when its slice is over.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vcpu_thread.h"

namespace {

using namespace libvmm;

constexpr absl::Duration kSlice = absl::Milliseconds(1);
constexpr absl::Duration kReport = absl::Milliseconds(200);

// Counts in memory, and asks for attention at every 65536th step.
constexpr uint8_t kGuest[] = {
    0xff, 0x06, 0x00, 0x20,  // 1000: inc word [0x2000]
    0x75, 0xfa,              //       jnz 1000
    0xff, 0x06, 0x02, 0x20,  //       inc word [0x2002]
    0xe6, 0x60,              //       out 0x60, al
    0xeb, 0xf2,              //       jmp 1000
};

struct Guest {
  MemoryRegion ram;
  Vm vm;
  MemorySlot slot;
  Vcpu vcpu;
  int port_writes = 0;

  [[nodiscard]] uint32_t Steps() const {
    uint32_t steps;
    std::memcpy(&steps, ram.data() + 0x2000, sizeof(steps));
    return steps;
  }
};

absl::StatusOr<Guest> MakeGuest(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                          MemoryRegion::Anonymous({.size = 64 << 10}));
  std::memcpy(ram.data() + 0x1000, kGuest, sizeof(kGuest));
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(MemorySlot slot, MemorySlot::Create(vm, ram, {}));
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_RETURN_IF_ERROR(EnterRealMode(vcpu, {.ip = 0x1000}));
  return Guest{std::move(ram), std::move(vm), std::move(slot), std::move(vcpu)};
}

// Lends the thread to one guest for a slice. The result is by how much the
// guest had it longer than that.
absl::StatusOr<absl::Duration> RunSlice(VcpuThread& thread, Guest& guest) {
  const absl::Time end = absl::Now() + kSlice;
  LIBVMM_ASSIGN_OR_RETURN(Deadline slice,
                          thread.StartDeadline({.after = kSlice}));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(Exit exit, thread.Run(guest.vcpu));
    switch (exit.reason()) {
      case ExitReason::kDeadline:
        return absl::Now() - end;
      case ExitReason::kPio:
        ++guest.port_writes;
        break;
      case ExitReason::kInterrupted:
        break;
      default:
        return absl::InternalError(ExitReasonName(exit.reason()));
    }
  }
}

absl::StatusOr<UniqueFd> EveryReport() {
  UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  const itimerspec spec = {.it_interval = absl::ToTimespec(kReport),
                           .it_value = absl::ToTimespec(kReport)};
  if (!timer.valid() ||
      ::timerfd_settime(timer.get(), 0, &spec, nullptr) != 0) {
    return ErrnoStatus(errno, "timerfd");
  }
  return timer;
}

absl::Status Main(int reports) {
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(Guest first, MakeGuest(kvm));
  LIBVMM_ASSIGN_OR_RETURN(Guest second, MakeGuest(kvm));
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));

  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd timer, EveryReport());
  epoll_event event = {.events = EPOLLIN, .data = {.fd = timer.get()}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }

  std::printf("two VMs, one thread, slices of %s\n",
              absl::FormatDuration(kSlice).c_str());
  std::vector<absl::Duration> overshoot;
  for (int report = 0; report < reports;) {
    // The loop's own events first; with work to do, it does not wait for them.
    if (::epoll_wait(epoll.get(), &event, 1, 0) == 1) {
      uint64_t ticks;
      if (::read(timer.get(), &ticks, sizeof(ticks)) == sizeof(ticks)) ++report;
      std::printf("VM 1: %9u steps, %3d port writes   VM 2: %9u steps, %3d\n",
                  first.Steps(), first.port_writes, second.Steps(),
                  second.port_writes);
      std::fflush(stdout);
    }
    for (Guest* guest : {&first, &second}) {
      LIBVMM_ASSIGN_OR_RETURN(absl::Duration late, RunSlice(thread, *guest));
      overshoot.push_back(late);
    }
  }
  std::sort(overshoot.begin(), overshoot.end());
  std::printf(
      "%zu slices; over the deadline by: median %s, p99 %s\n", overshoot.size(),
      absl::FormatDuration(overshoot[overshoot.size() / 2]).c_str(),
      absl::FormatDuration(overshoot[overshoot.size() * 99 / 100]).c_str());
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  int reports = 5;
  if (argc == 2) reports = std::atoi(argv[1]);
  if (argc > 2 || reports < 1) {
    std::printf(
        "usage: two_vms_one_thread [REPORTS]\n\n"
        "Runs two VMs in turn on one thread, slices of 1 ms each, and prints\n"
        "what they did every 200 ms, REPORTS times (default 5).\n");
    return argc == 2 && std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  const absl::Status status = Main(reports);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
