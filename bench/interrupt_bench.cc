// SPDX-License-Identifier: Apache-2.0
// How late a vCPU that spins at privilege level 3 comes out: behind a deadline
// of 1 ms, and after a kick from another thread.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "bench/must.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/boot_guest.h"

namespace libvmm::bench {
namespace {

using Clock = std::chrono::steady_clock;
using ::libvmm::testing::BootGuest;

constexpr Gpa kCode{0x1000};
constexpr Gpa kStack{0x2000};

BootGuest SpinningUserGuest() {
  BootGuest guest = Must(BootGuest::Create());
  guest.Put(kCode, {0xeb, 0xfe});  // jmp to itself
  const PageMapping mappings[] = {
      IdentityMapping({kCode, 0x1000}, {.executable = true, .user = true}),
      IdentityMapping({kStack, 0x1000}, {.writable = true, .user = true})};
  LIBVMM_CHECK(EnterLongMode(guest.vcpu(), guest.memory(),
                             {.entry = Gva(kCode.value()),
                              .stack_top = Gva(kStack.value() + 0x1000),
                              .privilege = Privilege::kUser,
                              .tables = {Gpa(0x10000), 0x10000},
                              .mappings = mappings})
                   .ok());
  return guest;
}

void BenchDeadline(TwinBench& bench, VcpuThread& thread, Vcpu& vcpu) {
  constexpr auto kSlice = std::chrono::milliseconds(1);
  bench.RunAlone("deadline/1ms/overshoot", {.batch = 1, .batches = 1001}, [&] {
    const auto end = Clock::now() + kSlice;
    const Deadline deadline =
        Must(thread.StartDeadline({.after = absl::FromChrono(kSlice)}));
    LIBVMM_CHECK(Must(thread.Run(vcpu)).reason() == ExitReason::kDeadline);
    return NsSince(end);
  });
  bench.RunAlone("deadline/start_and_end", {.batch = 200, .batches = 51}, [&] {
    Must(thread.StartDeadline({.after = absl::Hours(1)}));
  });
}

// From the call of Kick on one thread to the return of Run on this one.
void BenchKick(TwinBench& bench, VcpuThread& thread, Vcpu& vcpu) {
  const Kicker kicker = Must(vcpu.kicker());
  std::atomic<int> wanted = 0;
  std::atomic<bool> stop = false;
  std::atomic<Clock::time_point> kicked_at{};
  std::thread kicking([&] {
    for (int done = 0; !stop.load();) {
      if (wanted.load() == done) {
        std::this_thread::yield();
        continue;
      }
      ++done;
      // Long enough for the guest to be entered, and not the same each time.
      const auto start =
          Clock::now() + std::chrono::microseconds(200 + 37 * (done % 16));
      while (Clock::now() < start) {
      }
      kicked_at.store(Clock::now());
      kicker.Kick();
    }
  });
  bench.RunAlone("kick/answered", {.batch = 1, .batches = 1001}, [&] {
    wanted.fetch_add(1);
    while (Must(thread.Run(vcpu)).reason() != ExitReason::kKicked) {
    }
    return NsSince(kicked_at.load());
  });
  stop.store(true);
  kicking.join();
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm;
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  BootGuest guest = SpinningUserGuest();
  LIBVMM_CHECK(VcpuThread::InstallKickHandler(SIGUSR1).ok());
  VcpuThread thread = Must(VcpuThread::Attach(SIGUSR1));
  BenchDeadline(bench, thread, guest.vcpu());
  if (bench.Wants("kick/answered")) BenchKick(bench, thread, guest.vcpu());
  return bench.Finish();
}
