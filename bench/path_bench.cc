// SPDX-License-Identifier: Apache-2.0
// What the library itself costs per exit, on the host alone: KVM_RUN is a function
// that writes an exit into the run page. The twin is that function called alone,
// through the same ioctl, so the difference is libvmm's whole path: decoding, bus,
// device and return.
#include <signal.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/must.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/kvm_stub.h"

namespace libvmm::bench {
namespace {

constexpr TwinBench::Options kCalls = {.batch = 20000, .batches = 101};
constexpr uint16_t kPort = 0x60;
constexpr uint64_t kMmio = 0xd0000000;

void PortWrite(kvm_run& run) {
  run.exit_reason = KVM_EXIT_IO;
  run.io = {.direction = KVM_EXIT_IO_OUT,
            .size = 1,
            .port = kPort,
            .count = 1,
            .data_offset = 0x1000};
}

void MmioRead(kvm_run& run) {
  run.exit_reason = KVM_EXIT_MMIO;
  run.mmio.phys_addr = kMmio;
  run.mmio.len = 4;
  run.mmio.is_write = 0;
}

// The least that a device can do.
class WordDevice final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    data[0] = static_cast<std::byte>(++accesses_);
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte> data) override {
    accesses_ += static_cast<uint64_t>(data[0]);
    return IoResult::kDone;
  }

 private:
  uint64_t accesses_ = 0;
};

struct ExitKind {
  const char* name;
  void (*run)(kvm_run& page);
};
constexpr ExitKind kKinds[] = {{"pio_out", &PortWrite},
                               {"mmio_read", &MmioRead}};

// Both buses with so many devices; the one that is hit is among them.
class Buses {
 public:
  explicit Buses(int devices) : devices_(static_cast<size_t>(devices)) {
    for (size_t i = 0; i < devices_.size(); ++i) {
      registrations_.push_back(
          Must(ports_.Register({kPort + 8 * i, 8}, devices_[i])));
      registrations_.push_back(
          Must(mmio_.Register({kMmio + 0x1000 * i, 0x1000}, devices_[i])));
    }
  }
  ExitDispatcher MakeDispatcher() { return ExitDispatcher(ports_, mmio_); }

 private:
  std::vector<WordDevice> devices_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  std::vector<IoRegistration> registrations_;
};

void BenchDecode(TwinBench& bench, Vcpu& vcpu, const ExitKind& kind) {
  LIBVMM_CHECK(testing::StubKvmRun(vcpu, kind.run).ok());
  uint64_t sum = 0;
  bench.Run(
      absl::StrCat("decode/", kind.name), kCalls,
      [&] {
        const Exit exit = Must(vcpu.Run());
        if (exit.reason() == ExitReason::kPio) {
          sum += exit.pio().port + exit.pio().data.size();
        } else {
          sum += exit.mmio().gpa.value() + exit.mmio().data.size();
        }
      },
      [&] { LIBVMM_CHECK(::ioctl(vcpu.fd(), KVM_RUN, 0) == 0); });
}

template <typename RunFunction>
void BenchPath(TwinBench& bench, Vcpu& vcpu, const ExitKind& kind,
               const std::string& name, int devices, RunFunction run) {
  if (!bench.Wants(name)) return;
  LIBVMM_CHECK(testing::StubKvmRun(vcpu, kind.run).ok());
  Buses buses(devices);
  ExitDispatcher dispatcher = buses.MakeDispatcher();
  bench.Run(
      name, kCalls,
      [&] {
        absl::StatusOr<Exit> exit = run();
        LIBVMM_CHECK(exit.ok());
        LIBVMM_CHECK(dispatcher.Dispatch(*exit) == DispatchResult::kHandled);
      },
      [&] { LIBVMM_CHECK(::ioctl(vcpu.fd(), KVM_RUN, 0) == 0); });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm;
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  const Kvm kvm = Must(testing::OpenKvmStub());
  const Vm vm = Must(Vm::Create(kvm));
  Vcpu vcpu = Must(Vcpu::Create(vm, 0));
  LIBVMM_CHECK(VcpuThread::InstallKickHandler(SIGUSR1).ok());
  VcpuThread thread = Must(VcpuThread::Attach(SIGUSR1));
  for (const ExitKind& kind : kKinds) {
    BenchDecode(bench, vcpu, kind);
    for (int devices : {1, 4096}) {
      BenchPath(bench, vcpu, kind,
                absl::StrCat("path/", kind.name, "/devices:", devices), devices,
                [&] { return vcpu.Run(); });
    }
    BenchPath(bench, vcpu, kind,
              absl::StrCat("path/", kind.name, "/vcpu_thread"), 1,
              [&] { return thread.Run(vcpu); });
  }
  return bench.Finish();
}
